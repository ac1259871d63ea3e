"""Binary codes of users and items, which a language model can read as text (BinLLM, arXiv 2406.03210).

A matrix factorisation whose factors are binarised by sign while it trains; the gradient passes the sign as if it were
a tanh. Biases stay real numbers: they carry what is good or strict, so the bits are free for taste.
"""

from typing import NamedTuple

import torch

from sellarec_lab.collab.mf import MatrixFactorisation
from sellarec_lab.training import EmbeddingTable


class Bits(NamedTuple):
    """Bits 0 and 1 as int8: ``users`` [n_users + 1, bits], ``items`` [n_items + 1, bits]; row 0 and unseen rows: -1."""

    users: torch.Tensor
    items: torch.Tensor


def binarised(x: torch.Tensor) -> torch.Tensor:
    """The sign of each number, -1.0 or 1.0 (1.0 at zero), with the gradient of tanh."""
    soft = torch.tanh(x)
    hard = torch.where(x >= 0, 1.0, -1.0)
    return soft + (hard - soft).detach()


class BinaryCodes(MatrixFactorisation):
    """logit = <c_u, c_i> / sqrt(bits) + b_u + b_i + b, codes c of -1 and 1.

    The divisor gives unrelated codes a product of variance 1, however many bits there are.
    """

    def __init__(self, n_users: int, n_items: int, bits: int):
        super().__init__(n_users, n_items, bits)

    def factors(self, table: EmbeddingTable, ids: torch.Tensor) -> torch.Tensor:
        """Codes of ids [B], scaled so that a product of two is divided by sqrt(bits): [B, bits]."""
        return binarised(table(ids)) / table.embedding_dim**0.25

    @torch.no_grad()
    def codes(self) -> Bits:
        """The bits of every user and item."""
        sides = (self.users, self.seen_users), (self.items, self.seen_items)
        bits = [((table.weight >= 0).to(torch.int8), seen[:, None]) for table, seen in sides]
        return Bits(*(torch.where(seen, values, torch.full_like(values, -1)).cpu() for values, seen in bits))
