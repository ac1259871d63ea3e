"""Who gets which code of the last level: shared out evenly (optimal transport), or so that no two items collide."""

import math

import torch
from scipy.optimize import linear_sum_assignment

from sellarec_lab.config import IndexConfig
from sellarec_lab.indices.codes import LETTERS, groups, number, shared
from sellarec_lab.indices.quantise import Quantised


def sinkhorn(distances: torch.Tensor, epsilon: float, iterations: int) -> torch.Tensor:
    """The plan P [B, K] that minimises <P, D> - epsilon H(P) with rows that sum to 1/B and columns that sum to 1/K.

    Alternating normalisation (Cuturi, NeurIPS 2013) of exp(-D / epsilon), rows first, in logarithms and float64: the
    columns are exact, the rows as near as ``iterations`` bring them. (arXiv 2311.09049, uniform semantic mapping.)
    """
    kernel = -distances.double() / epsilon  # [B, K]
    n_rows, n_columns = kernel.shape
    column = kernel.new_zeros(n_columns)
    for _ in range(iterations):
        row = -math.log(n_rows) - (kernel + column).logsumexp(1)  # [B]
        column = -math.log(n_columns) - (kernel + row[:, None]).logsumexp(0)  # [K]
    return (kernel + row[:, None] + column).exp()


def balanced(distances: torch.Tensor, epsilon: float, iterations: int) -> torch.Tensor:
    """Codes [B] for squared distances [B, K], shared out so that each gets about B / K items.

    Distances are centred and scaled to [-1, 1] first, so that ``epsilon`` means the same everywhere; an item gets the
    code to which most of its mass goes.
    """
    low, high = distances.aminmax()
    scaled = (distances - (high + low) / 2) / ((high - low) / 2 + 1e-5)
    if distances.device.type == "mps":
        scaled = scaled.cpu()  # Apple's GPU has no float64
    return sinkhorn(scaled, epsilon, iterations).argmax(1).to(distances.device)


def rounds(found: Quantised, config: IndexConfig) -> torch.Tensor:
    """Codes [B, L] after the paper's repair: items that share an index get last codes anew, together, by `balanced`.

    At most ``config.rounds`` times; what then still shares an index keeps it. A group is far smaller than a codebook,
    so its items fill up all codes evenly, and the code that one gets is seldom near: `exact` costs less.
    """
    codes = found.codes.clone()
    for _ in range(config.rounds):
        together = shared(codes).nonzero().flatten()
        for rows in groups(number(codes[together])):
            alike = together[rows]
            codes[alike, -1] = balanced(found.distances[alike], config.epsilon, config.iterations)
    return codes


def exact(found: Quantised, config: IndexConfig) -> torch.Tensor:
    """Codes [B, L] without any index that two items share, at the least total squared distance.

    Within each prefix (all codes but the last) where items collide, an optimal assignment of its items to distinct
    last codes (arXiv 2605.25330).

    Raises:
        ValueError: a prefix has more items than there are codes; names it.
    """
    codes, prefix = found.codes.clone(), number(found.codes[:, :-1])
    crowded = torch.isin(prefix, prefix[shared(codes)]).nonzero().flatten()
    for rows in groups(number(codes[crowded, :-1])):
        alike = crowded[rows]
        _require_room(codes[alike], found.distances.shape[1])
        _, last = linear_sum_assignment(found.distances[alike].double().numpy())
        codes[alike, -1] = torch.from_numpy(last)
    return codes


def _require_room(codes: torch.Tensor, room: int) -> None:
    """Refuse items [m, L] of one prefix that are more than a level's codes."""
    if len(codes) <= room:
        return
    prefix = "".join(f"<{letter}_{code}>" for letter, code in zip(LETTERS, codes[0, :-1].tolist()))
    raise ValueError(
        f"prefix {prefix or '(empty)'}: {len(codes)} items, expected at most {room}, a last code for each; "
        f"take more codes or more levels, or repair='sinkhorn', which lets items share an index"
    )


REPAIRS = {"exact": exact, "sinkhorn": rounds, "none": lambda found, config: found.codes}
