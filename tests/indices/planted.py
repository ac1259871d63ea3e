"""Item vectors whose hierarchy is known."""

import torch

from sellarec_lab.config import IndexConfig, LoopConfig

SMALL_LOOP = LoopConfig(
    learning_rate=5e-3, batch_size=128, epochs=60, evaluations=1, patience=999, schedule="constant", warmup=0.0
)
RQVAE = IndexConfig(method="rqvae", levels=2, codes=8, repair="none", hidden=(32,), width=8, loop=SMALL_LOOP)


def hierarchy(groups: int = 4, parts: int = 4, items: int = 8, d: int = 16, noise: float = 0.01):
    """Vectors [n_items + 1, d] of groups of parts of items, and the group and the part of each, -1 for padding."""
    draw = torch.Generator().manual_seed(0)
    group = torch.arange(groups).repeat_interleave(parts * items)
    part = torch.arange(groups * parts).repeat_interleave(items)
    vectors = torch.eye(groups, d)[group] * 4 + torch.randn(groups * parts, d, generator=draw)[part] / 4
    vectors = vectors + noise * torch.randn(len(part), d, generator=draw)
    padded = torch.full((1,), -1)
    return torch.cat([torch.zeros(1, d), vectors]), torch.cat([padded, group]), torch.cat([padded, part])


def same_partition(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two labellings [n] put the same things together."""
    return bool(((a[:, None] == a) == (b[:, None] == b)).all())
