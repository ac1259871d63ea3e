"""What `test_training` runs in one process and in two: small trainings, and a file with what came out of them.

Call: python tests/launched.py CASE,CASE FOLDER_OF_A_LANGUAGE_MODEL FOLDER_OF_RESULTS
"""

import contextlib
import itertools
import sys
from pathlib import Path

import benches
import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn

from sellarec_lab import config, llm, runtime, sella, training
from sellarec_lab.training import Batches, EmbeddingTable

ROWS = torch.randn(36, 8, generator=torch.Generator().manual_seed(0))
STEPS = np.array_split(np.arange(36), [7, 14, 21, 28, 35])  # shards of 4 and 3 rows, and a step of a single row
LOOP = config.LoopConfig(learning_rate=0.05, epochs=3, weight_decay=0.5, evaluations=6, checkpoint_seconds=0.0)


class Toy(nn.Module):
    """A line and a table, a parameter that only one process of two reaches, and one that none does."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.line, self.table, self.dropout = nn.Linear(8, 1), EmbeddingTable(torch.ones(40, 8)), nn.Dropout(dropout)
        self.rare, self.never = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))

    def forward(self, rows):
        out = self.line(self.dropout(ROWS[rows]) * self.table(rows)).squeeze(1)
        if (rows < 4).any():
            out = torch.where(rows < 4, out * self.rare, out)
        return (out - 1.0).square().mean()


class Whole(Toy):
    """Compares each row with all others."""

    whole_batch = True

    def forward(self, rows):
        seen = self.table(rows) + ROWS[rows]
        return nn.functional.cross_entropy(seen @ seen.T, torch.arange(len(rows))) + super().forward(rows)


class Answer(nn.Module):
    """Cross-entropy of the last token, through a backbone with an adapter."""

    def __init__(self, folder: str):
        super().__init__()
        self.lm = llm.load(config.BackboneConfig(name=folder, quantisation="none"))
        with runtime.seeded(0, "adapter"):
            llm.attach(self.lm, config.LoraConfig(r=4, dropout=0.0))
        self.model = self.lm.model

    def forward(self, ids):
        hidden = self.lm.hidden(self.lm.embed(ids[:, :-1]), torch.ones_like(ids[:, :-1]))
        return nn.functional.cross_entropy(self.lm.logits(hidden[:, -1]), ids[:, -1])


def new(kind, *args):
    with runtime.seeded(0, "toy"):
        return kind(*args)


def train(module, make=torch.from_numpy, loop=LOOP, **kwargs):
    history = training.fit(module, lambda epoch: Batches(STEPS, make), loop, label="launched", **kwargs)
    found = {n: p.detach() for n, p in module.named_parameters() if p.requires_grad}
    digests = gather_object(["".join(map(runtime.tensor_digest, found.values()))])
    assert len(set(digests)) == 1, "the processes ended with different weights"
    return found | {"losses": torch.tensor([r["loss"] for r in history.records])}


def rising():
    """A validation that is better each time, so that the last state is kept."""
    number = itertools.count()
    return lambda: {"auc": next(number)}


def toy(folder, out):
    return train(new(Toy), validate=rising())


def whole(folder, out):
    return train(new(Whole), validate=rising())


def lora(folder, out, answer=None):
    ids = torch.randint(5, 300, (36, 9), generator=torch.Generator().manual_seed(1))
    loop = config.LoopConfig(learning_rate=2e-3, epochs=4, micro_batch=2)
    answer = answer or Answer(folder)

    @torch.no_grad()
    def validate():
        answer.eval()
        return {"auc": -float(answer(ids))}

    return train(answer, lambda rows: ids[rows], loop, validate=validate)


def sharded(folder, out):
    """The same, with the backbone's blocks spread over the processes."""
    answer = Answer(folder)
    weight = answer.lm.base.base_model.layers[0].mlp.down_proj.base_layer.weight
    assert 2 * weight.to_local().numel() == weight.numel()
    return lora(folder, out, answer)


def resumed(folder, out):
    """A run with dropout that is killed, and goes on."""

    class Killed(Exception):
        pass

    better = rising()

    def dying():
        found = better()
        if found["auc"] == 10:
            raise Killed
        return found

    with contextlib.suppress(Killed):
        train(new(Toy, 0.3), validate=dying, checkpoint=out.with_suffix(".part"))
    assert out.with_suffix(".part").is_file()
    return train(new(Toy, 0.3), validate=dying, checkpoint=out.with_suffix(".part"))


def uninterrupted(folder, out):
    return train(new(Toy, 0.3), validate=rising())


def failing(folder, out):
    """One process can't make a batch; the other waits for it."""

    def make(rows):
        if not runtime.is_main() and 13 in rows:
            raise OSError("row 13 can't be read")
        return torch.from_numpy(rows)

    return train(new(Toy), make)


def pipeline(folder, out):
    """All stages of SeLLa-Rec, with micro-batches; the scores of the recommender that they leave."""
    cfg = benches.toy_preset(folder, out.with_suffix(""))
    for stage in ("tuning", "injection"):
        cfg = config.replace(cfg, f"{stage}__loop__micro_batch", 8)
    bench = benches.toy_data()
    model = sella.train(cfg, bench)
    assert [stage.finished for stage in sella.stages(cfg, bench, model.recipe).values()] == [True] * 5
    return {"scores": torch.tensor(model.predict(bench.test)["score"].to_numpy())}


if __name__ == "__main__":
    cases, folder, out = sys.argv[1].split(","), sys.argv[2], Path(sys.argv[3])
    for case in cases:
        path = out / f"{case}.safetensors"
        runtime.save_tensors(path, globals()[case](folder, path))
