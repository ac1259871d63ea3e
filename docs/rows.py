"""How fast a language model learns from rows and scores them: this lab beside two other ways, one machine, the same
weights and rows, in turns.

    python docs/rows.py [--preset tiny] [--data FILE] [--rows 256] [--few 4] [--items 256] [--rounds 3]

The official recipe (of the code of arXiv 2504.10107) goes row by row, pads every prompt to 768 tokens and makes logits
over the whole vocabulary at every position; plain transformers takes batches of similar length, padded to the longest
row, and makes all logits too. Here what rows begin with runs once, little is padded, the last layer runs where it is
read, and two logits are made. That all three find the same losses and scores is checked first. Training is forward and
backward over rows as an epoch of the preset brings them; scoring is a user's catalogue. The official recipe is given
``few`` rows: each takes it equally long.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import nn
from turns import in_turns, ratio

import sellarec_lab as lab
from sellarec_lab import llm, runtime
from sellarec_lab.config import Preset
from sellarec_lab.prompts import Prompt, PromptRows, Writer, shared_histories

FULL = 768  # tokens, in the official recipe
AIMS = {
    "training": {"plain transformers": 2.5, "official recipe": 15},
    "scoring": {"plain transformers": 2.5, "official recipe": 10},
}
CLOSE = {"float32": 1e-3, "float16": 0.1, "bfloat16": 0.5}  # losses and scores


class Reader(NamedTuple):
    """A model, what writes its tokens, its two answers, and how many rows it takes at a time."""

    lm: llm.LanguageModel
    encoder: llm.Encoder
    answers: tuple[int, int]
    size: int


class Whole(NamedTuple):
    """Some prompts as they are: their numbers [B], tokens and mask [B, L], where each predicts its answer [B]."""

    rows: np.ndarray
    ids: torch.Tensor
    mask: torch.Tensor
    last: torch.Tensor


def whole(reader: Reader, prompts: Sequence[Prompt], official: bool) -> Iterator[Whole]:
    """Row by row and padded to `FULL`, or many of similar length."""
    encoded = reader.encoder.encode_many(prompts)
    for rows in llm.by_length([len(e.ids) for e in encoded], 1 if official else reader.size):
        lengths = torch.tensor([len(encoded[i].ids) for i in rows])
        ids = torch.full((len(rows), FULL if official else int(lengths.max())), reader.encoder.pad)
        filled = torch.arange(ids.shape[1]) < lengths[:, None]
        ids[filled] = torch.tensor([token for i in rows for token in encoded[i].ids])
        yield Whole(rows, *(part.to(reader.lm.device) for part in (ids, filled.long(), lengths - 1)))


def all_logits(reader: Reader, read: Whole) -> torch.Tensor:
    return reader.lm.model(input_ids=read.ids, attention_mask=read.mask).logits.float()


def their_loss(reader: Reader, prompts: Sequence[Prompt], labels: np.ndarray, official: bool) -> float:
    """Learn as a causal language model does, with one label a prompt that counts; the mean loss."""
    reader.lm.model.train()
    total = 0.0
    for read in whole(reader, prompts, official):
        answers = torch.from_numpy(np.where(labels[read.rows] > 0.5, *reader.answers)).to(read.ids.device)
        wanted = torch.full_like(read.ids, -100).scatter(1, read.last[:, None], answers[:, None])
        loss = F.cross_entropy(all_logits(reader, read).flatten(0, 1), wanted.flatten())
        loss.backward()
        total += float(loss.detach()) * len(read.rows)
    return total / len(labels)


def our_loss(reader: Reader, examples: llm.Examples) -> float:
    """Learn as `llm.finetune` does, but for the optimiser's steps; the mean loss."""
    objective, total = llm.Objective(reader.lm, [llm.AnswerLoss(reader.answers)]).train(), 0.0
    drawn = examples.batches(reader.encoder, reader.size, seed=0)(0)
    for rows in drawn.rows:
        loss = objective(drawn.make(rows))
        loss.backward()
        total += float(loss.detach()) * len(rows)
    return total / len(examples.labels)


@torch.no_grad()
def their_scores(reader: Reader, prompts: Sequence[Prompt], official: bool) -> np.ndarray:
    reader.lm.model.eval()
    found = np.empty(len(prompts))
    for read in whole(reader, prompts, official):
        both = all_logits(reader, read)[torch.arange(len(read.rows)), read.last][:, list(reader.answers)]
        found[read.rows] = (both[:, 0] - both[:, 1]).cpu().numpy()
    return found


def same(what: str, ours: ArrayLike, theirs: ArrayLike, reader: Reader) -> None:
    """Two ways find the same, up to the rounding of the model's numbers; otherwise the program ends."""
    apart, most = float(np.abs(np.subtract(ours, theirs)).max()), CLOSE[reader.lm.decisions["dtype"].value]
    print(f"{what}: largest difference {apart:.1e}", flush=True)
    if not apart <= most:
        raise SystemExit(f"{what}: expected at most {most}; the ways do not do the same")


def compare(what: str, rounds: int, ways: dict[str, tuple[int, Callable[[], object]]]) -> float:
    """Time ways, each with so many rows, in turns; returns the seconds that a row takes ours."""
    seconds = in_turns(rounds, {name: way for name, (_, way) in ways.items()})
    a_row = {name: [took / ways[name][0] for took in many] for name, many in seconds.items()}
    for name, took in a_row.items():
        told = f"{what:<9} {name:<19} {1 / statistics.median(took):8.2f} rows a second"
        print(told if name == "ours" else f"{told}; {ratio(a_row['ours'], took)}, aim {AIMS[what][name]}", flush=True)
    return statistics.median(a_row["ours"])


def learning(
    reader: Reader, writer: Writer, cfg: Preset, train: pd.DataFrame, many: int, few: int, rounds: int
) -> None:
    """Train on rows as the preset's epoch begins with them."""
    branches, train = cfg.tuning.branches, shared_histories(train, cfg.tuning.older)
    families = PromptRows(writer, train).families()
    drawn = np.concatenate(llm.grouped_rows(families, reader.size, 0, 0, None, branches))[:many]
    families, labels = families[drawn], train["label"].to_numpy()[drawn]
    prompts = list(PromptRows(writer, train.iloc[drawn]))

    def ours(rows: int) -> float:
        given = llm.Examples(prompts[:rows], labels[:rows], families=families[:rows], branches=branches)
        return our_loss(reader, given)

    ways = {
        "ours": (many, lambda: ours(many)),
        "plain transformers": (many, lambda: their_loss(reader, prompts, labels, official=False)),
        "official recipe": (few, lambda: their_loss(reader, prompts[:few], labels[:few], official=True)),
    }
    if not cfg.lora.dropout:  # with it each way has its own draw
        same("loss, plain transformers", ours(many), ways["plain transformers"][1](), reader)
        same("loss, official recipe", ours(few), ways["official recipe"][1](), reader)
    took = compare("training", rounds, ways)
    tokens = sum(len(e.ids) for e in reader.encoder.encode_many(prompts)) / many
    print(f"training  {tokens / took:.0f} tokens of prompts a second; {share(reader.lm, 2 * tokens / took)}")


def scoring(reader: Reader, prompts: Sequence[Prompt], few: int, rounds: int) -> None:
    """Score a user's catalogue."""
    ways = {
        "ours": (len(prompts), lambda: llm.score_shared(reader.lm, reader.encoder, prompts, reader.answers)),
        "plain transformers": (len(prompts), lambda: their_scores(reader, prompts, official=False)),
        "official recipe": (few, lambda: their_scores(reader, prompts[:few], official=True)),
    }
    ours, plain, official = (way() for _, way in ways.values())
    same("scores, plain transformers", ours, plain, reader)
    same("scores, official recipe", ours[:few], official, reader)
    compare("scoring", rounds, ways)


def share(lm: llm.LanguageModel, passes: float) -> str:
    """What so many passes of a token through the layers' weights, in a second, are of the machine's speed."""
    dense = [m for m in lm.base.base_model.modules() if isinstance(m, nn.Linear)]  # adapters and 4-bit layers too
    done = 2 * passes * sum(m.in_features * m.out_features for m in dense)
    a = torch.randn(1024, 1024, device=lm.device, dtype=lm.base.get_input_embeddings().weight.dtype)
    fastest = 2 * 1024**3 / min(in_turns(20, {"": lambda: (a @ a)[0, 0].item()})[""])
    return f"without sharing that would be {done / fastest:.0%} of the {fastest / 1e9:.0f} GFLOP/s of matrices alone"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--data", help="where it does not ship; by default sought in SELLAREC_DATA")
    for name, default in (("rows", 256), ("few", 4), ("items", 256), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    cfg = lab.preset(args.preset)
    data = lab.data.load(cfg.dataset, args.data)
    lm, writer = llm.load(cfg.backbone), Writer.of(cfg.prompt, data.titles)
    llm.attach(lm, cfg.lora, cfg.backbone.gradient_checkpointing)
    user, history = data.train.iloc[-1][["user_id", "history"]]
    catalogue = [writer.write(user, item, history) for item in range(1, 1 + min(args.items, data.n_items))]
    encoder = llm.Encoder(lm.tokenizer, lm.template)
    reader = Reader(lm, encoder, encoder.answer_ids(catalogue[0]), cfg.tuning.loop.batch_size)
    print(runtime.describe(cfg), end="\n\n")
    learning(reader, writer, cfg, data.train, args.rows, args.few, args.rounds)
    scoring(reader, catalogue, args.few, args.rounds)


if __name__ == "__main__":
    main()
