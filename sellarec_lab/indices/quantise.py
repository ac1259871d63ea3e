"""Residual quantisation: a vector becomes one code a level, each chosen for what the levels before it left over.

With codebooks v_1 .. v_L: r_0 = z, c_l = argmin_k |r_{l-1} - v_l,k|^2, r_l = r_{l-1} - v_l,c_l (arXiv 2311.09049, 3.2).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from sellarec_lab import runtime

Choice = Callable[[torch.Tensor], torch.Tensor]  # squared distances [B, K] to codes [B]


class Quantised(NamedTuple):
    """``codes`` [B, L] int64, and ``distances`` [B, K]: squared, of what was left over to the last level's codes."""

    codes: torch.Tensor
    distances: torch.Tensor


def squared_distances(points: torch.Tensor, codebook: torch.Tensor) -> torch.Tensor:
    """Points [B, w] to code vectors [K, w], [B, K]; without the faster product form, whose rounding depends on B."""
    return torch.cdist(points, codebook, compute_mode="donot_use_mm_for_euclid_dist").square()


def nearest(distances: torch.Tensor) -> torch.Tensor:
    """Distances [B, K] to the nearest code of each [B]; the first of equals."""
    return distances.argmin(1)


@torch.no_grad()
def quantise(points: torch.Tensor, codebooks: torch.Tensor, last: Choice = nearest) -> Quantised:
    """Codes of points [B, w] for codebooks [L, K, w]; ``last`` chooses at the last level, `nearest` before it."""
    residual, codes = points, []
    for level, codebook in enumerate(codebooks, 1):
        distances = squared_distances(residual, codebook)  # [B, K]
        codes.append(last(distances) if level == len(codebooks) else nearest(distances))
        residual = residual - codebook[codes[-1]]
    return Quantised(torch.stack(codes, dim=1), distances)


def code_vectors(codes: torch.Tensor, codebooks: torch.Tensor) -> torch.Tensor:
    """Codes [B, L] to their vectors [L, B, w]; gradients reach the codebooks."""
    return codebooks[torch.arange(len(codebooks), device=codes.device)[:, None], codes.T]


def residual_kmeans(points: torch.Tensor, levels: int, codes: int, seed: int = 0) -> torch.Tensor:
    """Codebooks [levels, codes, w] by k-means, level by level, on what the levels before left over of all points.

    Args:
        points: float32 [n, w] on the CPU.
        levels: how many codebooks.
        codes: vectors in each. Where fewer distinct residuals are left, each is a vector, and some are there twice.
        seed: of the starts (k-means++).
    """
    residual, codebooks = points.detach(), []
    rounding = 4 * torch.finfo(points.dtype).eps * points.abs().max()
    for level in range(levels):
        codebooks.append(_kmeans(residual, codes, seed, f"k-means of level {level}"))
        residual = residual - codebooks[-1][nearest(squared_distances(residual, codebooks[-1]))]
        residual = residual.where(residual.abs() > rounding, 0.0)  # no code is spent on rounding errors
    return torch.stack(codebooks)


def _kmeans(points: torch.Tensor, codes: int, seed: int, name: str) -> torch.Tensor:
    """Centres [codes, w] of points [n, w]."""
    with runtime.seeded(seed, name):
        start = int(torch.randint(2**31 - 1, ()))
    rows = points.numpy()
    distinct = len(np.unique(rows, axis=0))
    with threadpool_limits(1):  # the order of sums over threads, and so the last bits, would change from run to run
        found = KMeans(min(codes, distinct), max_iter=100, random_state=start).fit(rows)
    centres = torch.from_numpy(found.cluster_centers_)
    return centres[torch.arange(codes) % len(centres)]
