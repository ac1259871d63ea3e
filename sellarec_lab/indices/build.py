"""Item vectors -> item indices: quantise, then repair where items share an index."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from numpy.typing import ArrayLike

from sellarec_lab.config import IndexConfig, Preset
from sellarec_lab.indices import rqvae
from sellarec_lab.indices.assign import REPAIRS
from sellarec_lab.indices.codes import shared
from sellarec_lab.indices.quantise import quantise, residual_kmeans
from sellarec_lab.training import History

Map = Callable[[torch.Tensor], torch.Tensor]


class Quantiser(NamedTuple):
    """``codebooks`` [L, K, w], the way into their space ([n, d] to [n, w]) and back, and how it was trained."""

    codebooks: torch.Tensor
    encode: Map
    decode: Map
    history: History | None


class Fitted(NamedTuple):
    """``codes`` [n_items + 1, levels] int64, -1 without an index; ``codebooks`` [levels, codes, w] float32; ``errors``
    [levels]: squared error of the vectors rebuilt from their first 1, 2 .. codes, as a share of their variance;
    ``shared``: how many items' indices are not their own; ``history`` of the RQ-VAE, None where nothing is trained.
    """

    codes: torch.Tensor
    codebooks: torch.Tensor
    errors: torch.Tensor
    shared: int
    history: History | None


def build(
    vectors: torch.Tensor, cfg: Preset | IndexConfig, seed: int | None = None, items: ArrayLike | None = None
) -> torch.Tensor:
    """Codes of items, int64 [n_items + 1, levels]; arguments and errors as in `fit`."""
    return fit(vectors, cfg, seed, items).codes


def fit(
    vectors: torch.Tensor,
    cfg: Preset | IndexConfig,
    seed: int | None = None,
    items: ArrayLike | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Indices of items from their vectors (arXiv 2311.09049).

    Args:
        vectors: [n_items + 1, d], any float dtype, row 0 = padding; computed in float32.
        cfg: a preset, whose ``indices`` and seed count, or an `IndexConfig`.
        seed: of all draws; by default the preset's, else 0.
        items: ids that get an index, all by default. The others are not looked at, and their codes are -1.
        checkpoint: file for the RQ-VAE to resume from and to write to, as in `training.fit`.

    Raises:
        ValueError: vectors that are no float table, or not finite; ids that are no items; with ``repair="exact"``, more
            items in a prefix than codes.
    """
    config, own_seed = (cfg.indices, cfg.seed) if isinstance(cfg, Preset) else (cfg, 0)
    ids = _ids(items, _table(vectors))
    rows = _finite(vectors, ids)  # [m, d]
    quantiser = METHODS[config.method](rows, config, own_seed if seed is None else seed, checkpoint)
    found = REPAIRS[config.repair](quantise(quantiser.encode(rows), quantiser.codebooks), config)  # [m, L]
    codes = torch.full((len(vectors), config.levels), -1)
    codes[ids] = found
    errors = _errors(rows, quantiser, found)
    return Fitted(codes, quantiser.codebooks, errors, int(shared(found).sum()), quantiser.history)


def _kmeans(rows: torch.Tensor, config: IndexConfig, seed: int, checkpoint: Path | None) -> Quantiser:
    codebooks = residual_kmeans(rows, config.levels, config.codes, seed)
    return Quantiser(codebooks, lambda x: x, lambda z: z, None)


def _rqvae(rows: torch.Tensor, config: IndexConfig, seed: int, checkpoint: Path | None) -> Quantiser:
    model, history = rqvae.train(rows, config, seed, checkpoint)
    model.requires_grad_(False)
    return Quantiser(model.codebooks.detach(), model.encoder, model.decoder, history)


METHODS = {"kmeans": _kmeans, "rqvae": _rqvae}


def _errors(rows: torch.Tensor, quantiser: Quantiser, codes: torch.Tensor) -> torch.Tensor:
    """As `Fitted` tells it, [L]."""
    spread = (rows - rows.mean(0)).square().sum().clamp(min=torch.finfo(rows.dtype).tiny)
    z, errors = 0.0, []
    for codebook, chosen in zip(quantiser.codebooks, codes.T):
        z = z + codebook[chosen]  # [m, w]
        errors.append((rows - quantiser.decode(z)).square().sum() / spread)
    return torch.stack(errors)


def _table(vectors: torch.Tensor) -> int:
    """The number of items in a float table [n_items + 1, d]."""
    if not isinstance(vectors, torch.Tensor) or not vectors.is_floating_point():
        found = vectors.dtype if isinstance(vectors, torch.Tensor) else type(vectors).__name__
        raise ValueError(f"vectors: expected a torch tensor of floats, got {found}; whole numbers were truncated")
    if vectors.ndim != 2 or len(vectors) < 2 or not vectors.shape[1]:
        shape = list(vectors.shape)
        raise ValueError(f"vectors: expected [n_items + 1, d], row 0 being padding, got shape {shape}")
    return len(vectors) - 1


def _ids(items: ArrayLike | None, n_items: int) -> torch.Tensor:
    """The chosen ids, ascending and each once."""
    ids = torch.arange(1, n_items + 1) if items is None else torch.as_tensor(items).cpu().long().flatten().unique()
    if not len(ids) or ids[0] < 1 or ids[-1] > n_items:
        found = f"{int(ids[0])} to {int(ids[-1])}" if len(ids) else "none"
        raise ValueError(f"items: expected ids from 1 to {n_items}, a row of vectors each, got {found}")
    return ids


def _finite(vectors: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The items' rows [m, d] as float32 on the CPU."""
    rows = vectors.detach().cpu()[ids].float()
    odd = (~torch.isfinite(rows).all(1)).nonzero().flatten()
    if len(odd):
        raise ValueError(
            f"vectors, item {int(ids[odd[0]])} and {len(odd) - 1} more: expected numbers that are finite in float32; "
            f"make their vectors anew, or leave them out (items=...)"
        )
    return rows
