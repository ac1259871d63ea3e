"""Decoders of triples: what a head and a relation together look for, and how much each entity is that.

Own code, since PyKEEN is 20 packages more (a toolkit of data bases among them), makes folders at home, fails where
bitsandbytes was imported before it, and lays out [B, N, d] numbers to score TransE or DistMult against all entities,
which a matrix product does 28 times faster. The tests hold each decoder against PyKEEN's, on the same weights.
"""

from itertools import repeat

import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab.config import TripleConfig

_AT_ONCE = 2**24  # most complex differences at once: 128 megabytes


class Decoder(nn.Module):
    """``score(head [B, d], relation [B, d_r], entities) -> [B, N]``, float32 whatever the weights are; entities
    [N, d] are asked for by all rows, [B, N, d] row by row. Relations have ``relation_dim`` numbers."""

    is_distance = False  # scores are negative distances, from which a margin can be told
    has_weight = False  # entities bring a number of their own, which is added

    def __init__(self, settings: TripleConfig):
        super().__init__()
        self.dim, self.norm = settings.dim, settings.norm
        self.relation_dim = settings.dim

    def start(self, entities: torch.Tensor, relations: torch.Tensor) -> None:
        """Fill the two tables before training."""
        for table in (entities, relations):
            nn.init.normal_(table, std=self.dim**-0.5)

    def score(self, head: torch.Tensor, relation: torch.Tensor, entities: torch.Tensor) -> torch.Tensor:
        return self.compare(self.query(head, relation).float(), entities.float())

    def query(self, head: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        """The point, or the direction, at which the tail should lie [B, d]."""
        raise NotImplementedError

    def compare(self, query: torch.Tensor, entities: torch.Tensor) -> torch.Tensor:
        """Dot products [B, N]."""
        return query @ entities.T if entities.dim() == 2 else (entities @ query[..., None])[..., 0]


class DistMult(Decoder):
    """Σ h · r · t (Yang et al. 2015, arXiv 1412.6575)."""

    def query(self, head: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        return head.float() * relation.float()


class TransE(Decoder):
    """-|h + r - t|, in the norm of the settings (Bordes et al. 2013, NeurIPS)."""

    is_distance = True

    def start(self, entities: torch.Tensor, relations: torch.Tensor) -> None:
        for table in (entities, relations):
            nn.init.normal_(table, std=0.1)

    def query(self, head: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        return head.float() + relation.float()

    def compare(self, query: torch.Tensor, entities: torch.Tensor) -> torch.Tensor:
        """Negative distances [B, N]; the square of an L2 distance is taken apart, so that it is a matrix product."""
        if entities.dim() == 2:
            return -torch.cdist(query, entities, p=self.norm)
        return -torch.cdist(query[:, None], entities, p=self.norm)[:, 0]


class RotatE(TransE):
    """-Σ |h ∘ r - t| over d / 2 complex numbers, each r a rotation (Sun et al. 2019, arXiv 1902.10197). Norm 1 is that
    sum, as the authors' code has it; norm 2 the root of the sum of squares, as in PyKEEN, a matrix product."""

    def __init__(self, settings: TripleConfig):
        super().__init__(settings)
        self.relation_dim = settings.dim // 2

    def start(self, entities: torch.Tensor, relations: torch.Tensor) -> None:
        nn.init.normal_(entities, std=0.1)
        nn.init.uniform_(relations, -torch.pi, torch.pi)

    def query(self, head: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        angle = relation.float()
        turned = _complex(head.float()) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat([turned.real, turned.imag], dim=-1)

    def compare(self, query: torch.Tensor, entities: torch.Tensor) -> torch.Tensor:
        """Negative distances [B, N]; a sum of moduli is no matrix product, so it is taken some rows at a time."""
        if self.norm == 2:
            return super().compare(query, entities)
        rows = max(1, _AT_ONCE // (entities.shape[-2] * self.relation_dim))
        asked, others = _complex(query), _complex(entities)
        beside = repeat(others) if entities.dim() == 2 else others.split(rows)
        return -torch.cat([(q[:, None] - e).abs().sum(-1) for q, e in zip(asked.split(rows), beside)])


class ConvE(Decoder):
    """relu(vec(relu([h; r] ∗ w)) W) · t + b_t: h and r as images, one above the other, under 32 filters of 3 x 3
    (Dettmers et al. 2018, arXiv 1707.01476).

    Batch normalisation is replaced by normalisation of each row: a row's score must not hang on the rows beside it,
    since a step may be split. Dropout is the authors' .2 on the maps; on the rest the settings'.
    """

    has_weight = True
    filters = 32

    def __init__(self, settings: TripleConfig):
        super().__init__(settings)
        self.height = max(n for n in range(1, int(self.dim**0.5) + 1) if self.dim % n == 0)
        width = self.dim // self.height
        if width < 3:
            raise ValueError(f"ConvE needs an image at least 3 wide, and dim {self.dim} gives {width}; raise dim")
        maps = (2 * self.height - 2) * (width - 2)
        self.convolution = nn.Conv2d(1, self.filters, 3)
        self.project = nn.Linear(self.filters * maps, self.dim)
        self.before, self.between = nn.GroupNorm(1, 1), nn.GroupNorm(self.filters, self.filters)
        self.after, self.maps, self.dropout = nn.LayerNorm(self.dim), nn.Dropout2d(0.2), nn.Dropout(settings.dropout)

    def query(self, head: torch.Tensor, relation: torch.Tensor) -> torch.Tensor:
        images = [part.view(len(part), 1, self.height, -1) for part in (head, relation)]
        x = self.convolution(self.before(torch.cat(images, dim=2)))  # [B, 32, 2 · height - 2, width - 2]
        x = self.project(self.maps(F.relu(self.between(x))).flatten(1))
        return F.relu(self.after(self.dropout(x)))


def _complex(table: torch.Tensor) -> torch.Tensor:
    """[..., d] to [..., d / 2]: the first half are the real parts."""
    return torch.complex(*table.chunk(2, dim=-1))


KINDS: dict[str, type[Decoder]] = {"transe": TransE, "distmult": DistMult, "rotate": RotatE, "conve": ConvE}


def decoder(settings: TripleConfig) -> Decoder:
    """The decoder that the settings name."""
    return KINDS[settings.decoder](settings)
