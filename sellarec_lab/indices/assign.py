"""Who gets which code: in balance by entropic optimal transport, or so that no two items are left with one index."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

ROUNDS = 20  # of the paper's repair


def sinkhorn(distances: torch.Tensor, epsilon: float, iterations: int = 50) -> torch.Tensor:
    """The transport plan [B, K], float64, that gives each of B rows mass 1/B and each of K columns 1/K: it minimises
    the mean distance less ``epsilon`` times the entropy (Cuturi 2013), by ``iterations`` scalings in log form."""
    cost = -distances.double() / epsilon  # [B, K]
    rows, columns = (-torch.log(torch.tensor(float(n), dtype=torch.float64)) for n in distances.shape)
    v = torch.zeros(distances.shape[1], dtype=torch.float64, device=cost.device)
    for _ in range(iterations):
        u = rows - (cost + v).logsumexp(1)  # [B]
        v = columns - (cost + u[:, None]).logsumexp(0)  # [K]
    return (cost + u[:, None] + v).exp()


def balanced(distances: torch.Tensor, epsilon: float, iterations: int = 50) -> torch.Tensor:
    """Uniform semantic mapping (arXiv 2311.09049): the code of each row [B], as the balanced plan prefers; distances
    [B, K] are first shifted and scaled to [-1, 1]."""
    low, high = distances.min(), distances.max()
    half = ((high - low) / 2).clamp_min(1e-12)
    return sinkhorn((distances - (low + high) / 2) / half, epsilon, iterations).argmax(1)


def apart(codes: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """Codes [n, levels] without any collision: within each prefix (all codes but the last) the last codes are handed
    out anew, each once, with the least total distance (Hungarian method).

    ``distances`` [n, K] are those from what is left of each item to the codes of the last level.

    Raises:
        ValueError: a prefix has more items than there are codes.
    """
    codes, costs = codes.clone(), distances.double().cpu().numpy()
    for rows in _together(codes[:, :-1]):
        if len(rows) > costs.shape[1]:
            prefix = tuple(codes[rows[0], :-1].tolist())
            raise ValueError(
                f"prefix {prefix} has {len(rows)} items, and the last level has {costs.shape[1]} codes: no two can "
                f"differ; set indices.codes to at least {len(rows)}, or add a level"
            )
        _, last = linear_sum_assignment(costs[rows])
        codes[rows, -1] = torch.from_numpy(last)
    return codes


def spread_out(codes: torch.Tensor, distances: torch.Tensor, epsilon: float, iterations: int = 50) -> torch.Tensor:
    """The paper's repair: up to 20 rounds in which each group of items with one index is assigned anew at the last
    level, in balance. What still collides is kept."""
    codes = codes.clone()
    for _ in range(ROUNDS):
        groups = _together(codes)
        if not groups:
            break
        for rows in groups:
            codes[rows, -1] = balanced(distances[rows], epsilon, iterations).to(codes)
    return codes


def _together(keys: torch.Tensor) -> list[np.ndarray]:
    """Row numbers of those rows [n, k] that are equal, for every group of at least two."""
    _, group, sizes = np.unique(keys.cpu().numpy(), axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(group.ravel(), kind="stable")
    parts = np.split(order, np.cumsum(sizes)[:-1])
    return [part for part in parts if len(part) > 1]
