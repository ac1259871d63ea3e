"""Stage 2b: a collaborative model whose item vectors are pulled towards what the language model says of the items.

Loss (arXiv 2504.10107, with the official code's weights): binary cross-entropy on ratings plus a contrastive term
between the projected item vector and the item's semantic vector. It is bidirectional when the semantic table may move.
The table moves at a rate of its own and decays towards what the language model said: at the full rate it gives up its
meaning and lies down on the collaborative vectors, which looks like perfect alignment and is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab import collab, metrics, runtime, training
from sellarec_lab.collab import MatrixFactorisation, Vectors
from sellarec_lab.config import AlignmentConfig, MFConfig
from sellarec_lab.data import Interactions
from sellarec_lab.runtime import Stage
from sellarec_lab.training import EmbeddingTable, History


class Head(nn.Sequential):
    """Two-layer projector: collaborative vector [.., d_in] to the width of the language model [.., d_out]."""

    def __init__(self, d_in: int, hidden: int, d_out: int):
        super().__init__(nn.Linear(d_in, hidden), nn.GELU(), nn.Linear(hidden, d_out))

    @torch.no_grad()
    def begin_as(self, weight: torch.Tensor, bias: torch.Tensor) -> Head:
        """Compute x @ weight.T + bias, exactly, for now: GELU(z) - GELU(-z) = z, so two units carry a number, and the
        others wait with outputs of zero.

        Raises:
            ValueError: fewer units than that takes.
        """
        d_in, hidden = self[0].in_features, self[0].out_features
        if hidden < 2 * d_in:
            raise ValueError(f"alignment.hidden is {hidden}; a head that begins linear takes {2 * d_in}, two a number")
        both = torch.cat([torch.eye(d_in), -torch.eye(d_in)])
        self[0].weight[: 2 * d_in], self[0].bias[: 2 * d_in] = both, 0.0
        self[2].weight.zero_()
        self[2].weight[:, : 2 * d_in] = weight @ both.T
        self[2].bias.copy_(bias)
        return self


class Aligned(NamedTuple):
    """What the stage leaves: collaborative tables, the semantic table [n_items + 1, width], and the head."""

    vectors: Vectors
    semantics: torch.Tensor
    head: Head


def keep(stage: Stage, aligned: Aligned, mf: MatrixFactorisation, snapshots: Snapshots) -> None:
    """Write what the stage leaves, as safetensors."""
    parts = {"users": aligned.vectors.users, "items": aligned.vectors.items, "semantics": aligned.semantics}
    parts |= {f"head.{n}": t for n, t in aligned.head.state_dict().items()}
    runtime.save_tensors(stage.path("aligned.safetensors"), parts)
    runtime.save_tensors(stage.path("mf.safetensors"), mf.state_dict())
    runtime.save_tensors(stage.path("snapshots.safetensors"), snapshots._asdict())


def load_snapshots(stage: Stage) -> Snapshots:
    """Where the tokens stood while the stage was made."""
    return Snapshots(**runtime.load_tensors(stage.path("snapshots.safetensors"))[0])


def load(stage: Stage) -> Aligned:
    """What the stage leaves for the next one."""
    tensors, _ = runtime.load_tensors(stage.path("aligned.safetensors"))
    hidden, d_in = tensors["head.0.weight"].shape
    head = Head(d_in, hidden, len(tensors["head.2.weight"]))
    head.load_state_dict({n.removeprefix("head."): t for n, t in tensors.items() if n.startswith("head.")})
    return Aligned(Vectors(tensors["users"], tensors["items"]), tensors["semantics"], head)


class Snapshots(NamedTuple):
    """Where the tokens stood at S moments of the alignment, from the start to the state that was kept.

    ``steps`` [S]; ``user_ids`` [u] and ``item_ids`` [m] are the rows of the tables that are followed, and
    ``warm_users`` [u], ``warm_items`` [m] say which of them train held. Float32 vectors in the language model's space:
    ``users`` [S, u, width] and ``items`` [S, m, width] are projected, ``semantics`` [S, m, width] is the moving table.
    """

    steps: torch.Tensor
    user_ids: torch.Tensor
    item_ids: torch.Tensor
    warm_users: torch.Tensor
    warm_items: torch.Tensor
    users: torch.Tensor
    items: torch.Tensor
    semantics: torch.Tensor

    @torch.no_grad()
    def starting_from(self, vectors: Vectors, head: Head) -> Snapshots:
        """The same walk, its first moment a collaborative model that was trained alone, behind an untrained head. Where
        a killed training went on, and the moments before are lost, it comes before those that were seen."""
        parts = {"users": (vectors.users, self.user_ids), "items": (vectors.items, self.item_ids)}
        first = {name: head(table[ids])[None] for name, (table, ids) in parts.items()}
        first |= {"steps": torch.zeros_like(self.steps[:1]), "semantics": self.semantics[:1]}
        seen = int(self.steps[0] == 0)  # the start, whose place is taken
        return self._replace(**{n: torch.cat([at, getattr(self, n)[seen:]]) for n, at in first.items()})


def infonce(anchors: torch.Tensor, candidates: torch.Tensor, temperature: float) -> torch.Tensor:
    """InfoNCE with cosine similarity: row i of ``anchors`` [B, d] belongs to row i of ``candidates`` [B, d].

    L = - mean_i log( exp(cos(a_i, c_i) / t) / sum_j exp(cos(a_i, c_j) / t) ). Items must be distinct: a repeated item
    would be its own negative.
    """
    similarity = F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=-1).T / temperature
    return F.cross_entropy(similarity, torch.arange(len(anchors), device=anchors.device))


def rince(anchors: torch.Tensor, candidates: torch.Tensor, temperature: float, q: float = 0.01, lam: float = 0.1):
    """Robust InfoNCE (Chuang et al., CVPR 2022) in the form of the official code: the positive counts twice."""
    similarity = (F.normalize(anchors, dim=-1) @ F.normalize(candidates, dim=-1).T / temperature).exp()
    positive = similarity.diagonal()
    return (-positive.pow(q) / q + (lam * (positive + similarity.sum(1))).pow(q) / q).mean()


LOSSES = {"infonce": infonce, "rince": rince}


def procrustes(vectors: torch.Tensor, semantics: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The rotation that takes collaborative vectors [n, d_in] nearest to what the items mean [n, d_out], by a singular
    value decomposition (Schoenemann 1966): alignment in closed form. Weight [d_out, d_in] with orthonormal columns, and
    the bias [d_out] that takes mean to mean. Rows of zeros, which training never saw, do not count."""
    seen = vectors.any(dim=1)
    x, y = vectors[seen].double(), semantics[seen].double()
    u, _, v = torch.linalg.svd((y - y.mean(0)).T @ (x - x.mean(0)), full_matrices=False)
    weight = u @ v
    return weight.float(), (y.mean(0) - weight @ x.mean(0)).float()


class AlignedModel(nn.Module):
    """MF, the head, and the semantic table, trained together on batches of ratings."""

    whole_batch = True  # the items of a batch are each other's negatives

    def __init__(self, mf: MatrixFactorisation, semantics: torch.Tensor, config: AlignmentConfig):
        super().__init__()
        self.mf, self.config = mf, config
        self.head = Head(mf.users.weight.shape[1] + 1, config.hidden, semantics.shape[1])
        self.register_buffer("said", semantics)  # what the language model said, [n_items + 1, width]
        # how far each item has moved from it, in units of the rate
        self.shift = EmbeddingTable(torch.zeros_like(semantics))
        self.shift.weight.requires_grad_(config.semantics_move)

    def semantics(self, items: torch.Tensor) -> torch.Tensor:
        """Semantic vectors of items [B, width]: what the language model said, and where training moved it."""
        return self.said[items] + self.config.semantics_rate * self.shift(items)

    @torch.no_grad()
    def semantic_table(self) -> torch.Tensor:
        return self.said + self.config.semantics_rate * self.shift.weight

    def now(self) -> Aligned:
        """Tables and head as they stand; the head is the very one that trains."""
        return Aligned(self.mf.vectors(), self.semantic_table(), self.head)

    def project_items(self, items: torch.Tensor) -> torch.Tensor:
        """Item ids [B] to vectors in the language model's space [B, width]."""
        return self.head(torch.cat([self.mf.items(items), self.mf.item_bias(items)], dim=-1))

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        users, items, labels = batch
        rating = F.binary_cross_entropy_with_logits(self.mf(users, items), labels)
        distinct = torch.unique(items)
        contrast = LOSSES[self.config.loss]
        pull = contrast(self.semantics(distinct), self.project_items(distinct), self.config.temperature)
        return rating + self.config.weight * pull


class Recorder:
    """Takes snapshots while `align` trains: of the start, and of moments between which the tokens moved about as far.

    It draws nothing at random and moves nothing, so training ends where it would have ended unwatched. It looks at
    every step at first, later at a step where a quarter more are done, and holds ``most`` moments. Of large
    catalogues, evenly spread rows are followed: ``rows`` at most, and a million numbers a table.
    """

    def __init__(self, most: int = 10, rows: int = 4000):
        if most < 3:
            raise ValueError(f"most is {most}, expected at least 3: a start, a moment between, and an end")
        self.most, self.rows, self._next = most, rows, 0
        self._moments: dict[int, tuple[torch.Tensor, ...]] = {}  # by the number of steps done

    def note(self, step: int, model: AlignedModel) -> None:
        """Look at the model, if it is time; when too much is held, forget the moment that the walk misses least."""
        if step < self._next:
            return
        self._next = max(step + 1, step * 5 // 4)
        self._moments[step] = self._look(model.now())
        if len(self._moments) > self.most:
            held = list(self._moments)
            bridged = {n: self._way(a, b) for a, n, b in zip(held, held[1:], held[2:])}
            del self._moments[min(bridged, key=bridged.get)]

    def _way(self, one: int, other: int) -> float:
        """How far the items are from one moment to another: 1 - cosine, on average."""
        before, after = (self._moments[step][1] for step in (one, other))
        return 1 - float(F.cosine_similarity(before, after, dim=-1).mean())

    def finish(self, kept: Aligned, history: History) -> Snapshots:
        """The moments up to the state that was kept, which comes last; what training threw away is left out."""
        found = {step: moment for step, moment in self._moments.items() if step < history.best_step}
        found[history.best_step] = self._look(kept)
        users, items = self._rows(kept.vectors.users, kept), self._rows(kept.vectors.items, kept)
        warm = kept.vectors.users[users].any(dim=1), kept.vectors.items[items].any(dim=1)
        tables = (torch.stack(table) for table in zip(*found.values(), strict=True))
        return Snapshots(torch.tensor(list(found)), users, items, *warm, *tables)

    def _rows(self, table: torch.Tensor, now: Aligned) -> torch.Tensor:
        """Ids that are followed, spread evenly over 1 .. n."""
        n = len(table) - 1
        many = min(n, self.rows, max(1, 1_000_000 // now.semantics.shape[1]))
        return 1 + torch.arange(many) * n // many

    @torch.no_grad()
    def _look(self, now: Aligned) -> tuple[torch.Tensor, ...]:
        """Projected users [u, width] and items [m, width], semantics [m, width]; copies on the CPU."""
        users, items = self._rows(now.vectors.users, now), self._rows(now.vectors.items, now)
        on = now.head[0].weight.device
        projected = [now.head(v.to(on)).cpu() for v in (now.vectors.users[users], now.vectors.items[items])]
        return *projected, now.semantics[items.to(now.semantics.device)].float().cpu()


def start(
    collab_config: MFConfig, config: AlignmentConfig, data: Interactions, semantics: torch.Tensor, seed: int = 0
) -> tuple[MatrixFactorisation, AlignedModel]:
    """What the alignment starts from: a matrix factorisation and a head that nobody has trained."""
    with runtime.seeded(seed, "alignment"):
        mf = MatrixFactorisation(data.n_users, data.n_items, collab_config.dim, collab_config.biases)
        return mf, AlignedModel(mf, semantics, config)


def align(
    collab_config: MFConfig,
    config: AlignmentConfig,
    data: Interactions,
    semantics: torch.Tensor,
    seed: int = 0,
    checkpoint: Path | None = None,
    recorder: Recorder | None = None,
) -> tuple[Aligned, MatrixFactorisation, History]:
    """Train on ``data.train``, stop on valid AUC of the ratings. The MF starts from nothing, as the paper's does.

    A ``recorder`` looks on: `Recorder.finish` gives its snapshots afterwards.
    """
    mf, model = start(collab_config, config, data, semantics, seed)
    mf.mark_seen(data.train)
    watch = None if recorder is None else lambda step: recorder.note(step, model)
    history = training.fit(
        model, collab.rating_batches(data.train, config.loop.batch_size, seed), config.loop,
        label="alignment", seed=seed, checkpoint=checkpoint, watch=watch,
        validate=lambda: metrics.quality(mf.predict(data.valid)),
    )  # fmt: skip
    return model.now(), mf, history
