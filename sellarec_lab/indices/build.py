"""Item vectors to item indices: quantise, then see to it that no two items are left with one index."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from sellarec_lab import training
from sellarec_lab.config import IndexConfig, Preset
from sellarec_lab.indices.assign import apart, spread_out
from sellarec_lab.indices.quantise import kmeans_codebooks, quantise, squared_distances, train_rqvae


class Indices(NamedTuple):
    """What `fit` made: ``codes`` [n_items + 1, levels], -1 for items that have none; ``codebooks`` [levels, K, d];
    ``errors`` [levels], the squared distance that is left after each level, as a share of the variance; and, if an
    RQ-VAE was trained, what happened."""

    codes: torch.Tensor
    codebooks: torch.Tensor
    errors: list[float]
    history: training.History | None


def build(vectors: torch.Tensor, cfg: Preset | IndexConfig, seed: int | None = None) -> torch.Tensor:
    """Codes [n_items + 1, levels], int64, row 0 (padding) -1, of item vectors [n_items + 1, d]; see `fit`."""
    settings = cfg if isinstance(cfg, IndexConfig) else cfg.indices
    return fit(vectors, settings, getattr(cfg, "seed", 0) if seed is None else seed).codes


def fit(
    vectors: torch.Tensor, settings: IndexConfig, seed: int = 0, items: Sequence[int] | None = None,
    checkpoint: Path | None = None,
) -> Indices:  # fmt: skip
    """Indices of item vectors [n_items + 1, d], computed in float32 on whatever type comes in.

    Args:
        settings: see `IndexConfig`.
        seed: of k-means, of the first weights and of the order of rows.
        items: ids that get an index, all by default; the others' rows are -1.
        checkpoint: where the training of an RQ-VAE is resumed from.

    Raises:
        ValueError: no table of finite numbers, an id outside of it, or (repair "exact") a prefix with more items than
            codes.
    """
    chosen = _checked(vectors, items)
    rows, history = vectors[chosen].detach().float().cpu(), None
    if settings.method == "rqvae":
        model, history = train_rqvae(rows, settings, seed, checkpoint)
        with torch.no_grad():
            rows = model.encoder(rows)
        books = model.codebooks.detach()
    else:
        books = kmeans_codebooks(rows, settings.levels, settings.codes, seed)
    found = quantise(rows, books)
    codes = torch.full((len(vectors), settings.levels), -1)
    codes[chosen] = _repaired(found.codes, squared_distances(found.residuals[:, -1], books[-1]), settings)
    return Indices(codes, books, errors(rows, books), history)


def _repaired(codes: torch.Tensor, distances: torch.Tensor, settings: IndexConfig) -> torch.Tensor:
    if settings.repair == "exact":
        return apart(codes, distances)
    if settings.repair == "sinkhorn":
        return spread_out(codes, distances, settings.epsilon, settings.iterations)
    return codes


def errors(rows: torch.Tensor, books: torch.Tensor) -> list[float]:
    """What each level leaves of vectors [n, d], as a share of their variance."""
    whole = (rows - rows.mean(0)).square().sum()
    left = [rows - quantise(rows, books[: level + 1]).vectors for level in range(len(books))]
    return [float(part.square().sum() / whole) for part in left]


def collisions(codes: torch.Tensor) -> int:
    """How many items have an index that another item has too."""
    own = codes[codes[:, 0] >= 0]
    _, sizes = own.unique(dim=0, return_counts=True)
    return int(sizes[sizes > 1].sum())


def _checked(vectors: torch.Tensor, items: Sequence[int] | None) -> torch.Tensor:
    if vectors.ndim != 2 or len(vectors) < 3 or not vectors.is_floating_point():
        found = f"{vectors.dtype} {list(vectors.shape)}"
        raise ValueError(f"item vectors are [n_items + 1, d], floats, with row 0 for padding; got {found}")
    chosen = torch.arange(1, len(vectors)) if items is None else torch.as_tensor(sorted(items))
    if len(chosen) < 2 or chosen.min() < 1 or chosen.max() >= len(vectors):
        raise ValueError(f"items must be at least two ids from 1 to {len(vectors) - 1}; got {chosen.tolist()[:5]} ...")
    odd = (~torch.isfinite(vectors[chosen]).all(1)).nonzero().flatten()
    if len(odd):
        raise ValueError(f"the vector of item {int(chosen[odd[0]])} is not finite; make it again in float32")
    return chosen
