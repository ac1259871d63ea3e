"""How fast existing indices are written: `llm.beam_search` beside transformers' beam search with a function of allowed
tokens, on one model, prompts and machine, in turns.

    python docs/decoding.py [--items 2000] [--prompts 16] [--beams 20] [--rounds 5]

Both return the same lists: that is checked first. Prints the seconds of each and their ratio, median and range.
"""

from __future__ import annotations

import argparse
import statistics
from collections import defaultdict

import numpy as np
import torch
from transformers import GenerationConfig
from turns import in_turns, ratio

from sellarec_lab import config, indices, llm, runtime
from sellarec_lab.config import LoraConfig
from sellarec_lab.prompts import Prompt, Text

LEVELS, CODES = 4, 64


def catalogue(items: int) -> torch.Tensor:
    """Codes of every item [items + 1, LEVELS], all different; row 0 is no item."""
    numbers = np.random.default_rng(0).choice(CODES**LEVELS, items, replace=False)
    codes = np.stack(np.unravel_index(np.sort(numbers), (CODES,) * LEVELS), axis=1)
    return torch.from_numpy(np.vstack([np.full((1, LEVELS), -1), codes]))


def ours(lm: llm.LanguageModel, prompts: list[Prompt], sequences: torch.Tensor, trie: indices.Trie, beams: int) -> list:
    """Lists of token sequences, best first, one list a prompt."""
    item = {int(leaf): row for row, leaf in enumerate(trie.leaf.tolist()) if leaf >= 0}
    found = llm.beam_search(lm, llm.Encoder(lm.tokenizer, "plain"), prompts, trie, beams)
    return [[tuple(sequences[item[leaf]].tolist()) for leaf in row] for row in found.leaves.tolist()]


def reference(lm: llm.LanguageModel, ids: torch.Tensor, allowed: dict[tuple, list[int]], beams: int) -> list:
    """The same by transformers; prompts [B, L] of one length."""
    rules = GenerationConfig(
        num_beams=beams, num_return_sequences=beams, max_new_tokens=LEVELS, do_sample=False, length_penalty=0.0,
        eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    start = ids.shape[1]
    out = lm.model.generate(
        ids, attention_mask=torch.ones_like(ids), generation_config=rules,
        prefix_allowed_tokens_fn=lambda _, row: allowed[tuple(row[start:].tolist())],
    )  # fmt: skip
    written = [tuple(row) for row in out[:, start:].tolist()]
    return [written[i : i + beams] for i in range(0, len(written), beams)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("items", 2000), ("prompts", 16), ("beams", 20), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    codes = catalogue(args.items)
    lm, words = llm.load(config.preset("tiny").backbone), indices.vocabulary(codes)
    llm.attach(lm, LoraConfig(), words=words)
    spelled = indices.tokens(codes)
    known = [lm.tokenizer(word, add_special_tokens=False)["input_ids"] for word in spelled[1:]]
    sequences = torch.tensor([[-1] * LEVELS, *known])
    trie, allowed = indices.Trie.of(sequences), defaultdict(list)
    for level in range(LEVELS):
        for row in sequences[1:, : level + 1].unique(dim=0).tolist():
            allowed[tuple(row[:-1])].append(row[-1])
    read = np.random.default_rng(1).integers(1, len(sequences), (args.prompts, 15))  # histories of 15 items
    prompts = [Prompt(tuple(Text(spelled[i], "token") for i in row), "", ("", ""), 0, 0) for row in read]
    encoder = llm.Encoder(lm.tokenizer, "plain")
    ids = torch.tensor([encoder.encode(p).ids for p in prompts])
    ways = {
        "function of allowed tokens": lambda: reference(lm, ids, allowed, args.beams),
        "trie as tensors": lambda: ours(lm, prompts, sequences, trie, args.beams),
    }
    print(f"{runtime.device()}; {args.items} items, {len(ids)} prompts of {ids.shape[1]} tokens, {args.beams} beams")
    slow, fast = (way() for way in ways.values())
    same = statistics.mean(len(set(a) & set(b)) / args.beams for a, b in zip(slow, fast, strict=True))
    print(f"the two find the same: {same:.1%}")
    seconds = in_turns(args.rounds, ways)
    for name, took in seconds.items():
        print(f"{name:<27} {statistics.median(took):.3f} s")
    slow, fast = seconds.values()
    print(ratio(fast, slow))


if __name__ == "__main__":
    main()
