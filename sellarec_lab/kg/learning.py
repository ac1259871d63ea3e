"""Training on paths: the teacher alone, the student beside its teacher."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab import runtime, training
from sellarec_lab.config import DistillationConfig, PathConfig
from sellarec_lab.kg.model import PathModel, Paths
from sellarec_lab.kg.paths import Walker
from sellarec_lab.training import Batches, History, Monitor

JUDGE = Monitor("mrr")


class Material(NamedTuple):
    """What a model learns from: ``triples`` [n, 3] in its rows, how many rows there are, which are ``shared``."""

    triples: np.ndarray
    n_entities: int
    n_relations: int
    shared: np.ndarray

    @property
    def both_ways(self) -> np.ndarray:
        """The triples and their inverses [2n, 3]."""
        head, relation, tail = self.triples.T
        return np.concatenate([self.triples, np.stack([tail, relation + self.n_relations, head], axis=1)])


class Counterparts(NamedTuple):
    """The teacher's row of each of the student's entities [n] and relations [2 · n_relations]; -1 for none."""

    entities: torch.Tensor
    relations: torch.Tensor


class Trained(NamedTuple):
    """The model in its best state, on the CPU, and what happened."""

    model: PathModel
    history: History


def train(
    material: Material, settings: PathConfig, judged: Callable[[PathModel], float], *, seed: int = 0,
    label: str = "teacher", checkpoint: Path | None = None, beside: Callable[[PathModel], nn.Module] | None = None,
) -> Trained:  # fmt: skip
    """A model of paths over the material, stopped by ``judged``, its MRR on triples held out.

    Args:
        beside: puts the model into a module whose loss has more to it (see `Distillation`).
        label, seed, checkpoint: as `training.fit` takes them.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    with runtime.seeded(seed, label):
        model = PathModel(material.n_entities, material.n_relations, settings)
        module = model if beside is None else beside(model)
    history = training.fit(
        module, _batches(material, settings, seed), settings.loop, label=label, seed=seed,
        validate=lambda: {JUDGE.name: judged(model)}, monitor=JUDGE, checkpoint=checkpoint,
    )  # fmt: skip
    return Trained(model.cpu().eval(), history)


def _batches(material: Material, settings: PathConfig, seed: int) -> Callable[[int], Batches]:
    """epoch -> batches of paths: each triple, either way round, begins one an epoch."""
    triples, on = material.both_ways, runtime.device().value
    walker, size = Walker(triples, material.shared, settings), settings.loop.batch_size

    def batches(epoch: int) -> Batches:
        order = np.random.default_rng([seed, epoch]).permutation(len(triples))[: settings.loop.rows]

        def make(rows: np.ndarray) -> Paths:
            rng = np.random.default_rng([seed, epoch, int(rows[0])])
            paths = walker.walk(triples[rows], settings.hops, rng)
            others = rng.integers(material.n_entities, size=settings.negatives)
            return paths_batch(paths, others if settings.negatives else np.arange(material.n_entities)).to(on)

        return Batches([order[i : i + size] for i in range(0, len(order), size)], make)

    return batches


def paths_batch(paths: np.ndarray, others: Sequence[int]) -> Paths:
    """Paths [B, T] with their told entities and others as candidates, each once."""
    told = paths[:, 2::2]
    candidates, place = np.unique(np.concatenate([told.ravel(), others]), return_inverse=True)
    targets = place[: told.size].reshape(told.shape)
    return Paths(torch.from_numpy(paths), torch.from_numpy(candidates), torch.from_numpy(targets))


class Distillation(nn.Module):
    """A student beside its frozen teacher; ``forward`` is the student's loss and what it takes over, by weight:

    features: 1 - cos(M e_S, e_T), mean over entities of the batch that the teacher knows;
    network: |N h_S - h_T|^2, mean over elements of the paths that the teacher knows in full;
    predictions: tau^2 KL(softmax(z_T / tau) || softmax(z_S / tau)), over the candidates that the teacher knows.

    The three levels are the paper's (arXiv 2306.02679), their forms and weights this project's choice.
    """

    def __init__(
        self, student: PathModel, teacher: PathModel, counterparts: Counterparts, settings: DistillationConfig
    ):
        super().__init__()
        self.student, self.teacher, self.settings = student, teacher.requires_grad_(False), settings
        for name, rows in counterparts._asdict().items():
            self.register_buffer(name, rows)
        widths = student.settings.dim, teacher.settings.dim
        self.features, self.network = nn.Linear(*widths, bias=False), nn.Linear(*widths)

    def train(self, mode: bool = True) -> "Distillation":
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, batch: Paths) -> torch.Tensor:
        states = self.student.states(batch.paths[:, :-1])  # [B, 2 · hops, d_S]
        loss, levels = self.student.loss(states, batch), self.settings
        if levels.features:
            loss = loss + levels.features * self._features(batch)
        seen = self._seen(batch.paths)
        if not seen.any() or not (levels.network or levels.predictions):
            return loss
        with torch.no_grad():
            taught = self.teacher.states(self._translated(batch.paths[seen, :-1]))
        if levels.network:
            loss = loss + levels.network * F.mse_loss(self.network(states[seen]), taught)
        if levels.predictions:
            loss = loss + levels.predictions * self._predictions(states[seen], taught, batch.candidates)
        return loss

    def _seen(self, paths: torch.Tensor) -> torch.Tensor:
        """Paths that the teacher can read but for their last element, bool [B]."""
        return (self.entities[paths[:, 0:-1:2]] >= 0).all(1) & (self.relations[paths[:, 1::2]] >= 0).all(1)

    def _translated(self, paths: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(paths)
        out[:, 0::2], out[:, 1::2] = self.entities[paths[:, 0::2]], self.relations[paths[:, 1::2]]
        return out

    def _features(self, batch: Paths) -> torch.Tensor:
        known = batch.candidates[self.entities[batch.candidates] >= 0]
        mapped, wanted = self.features(self.student.entities(known)), self.teacher.entities(self.entities[known])
        return 1 - F.cosine_similarity(mapped, wanted).mean() if len(known) else mapped.sum()

    def _predictions(self, states: torch.Tensor, taught: torch.Tensor, candidates: torch.Tensor) -> torch.Tensor:
        known, tau = candidates[self.entities[candidates] >= 0], self.settings.temperature
        ours = F.log_softmax(self.student.told(states[:, 1::2], known) / tau, dim=-1)
        with torch.no_grad():
            theirs = F.log_softmax(self.teacher.told(taught[:, 1::2], self.entities[known]) / tau, dim=-1)
        return tau**2 * F.kl_div(ours, theirs, log_target=True, reduction="none").sum(-1).mean()
