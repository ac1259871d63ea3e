"""Binary codes of users and items, which a language model can read as text (BinLLM, arXiv 2406.03210).

A matrix factorisation whose factors are binarised by sign while it trains; the gradient passes the sign as if it were
a tanh. Biases stay real numbers: they carry what is good or strict, so the bits are free for taste.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from numpy.typing import ArrayLike
from torch import nn

from sellarec_lab.collab.pointwise import Pointwise
from sellarec_lab.training import Table


class Codes(NamedTuple):
    """Bits 0 and 1 as int8: ``users`` [n_users + 1, bits], ``items`` [n_items + 1, bits]; row 0 and unseen rows: -1."""

    users: torch.Tensor
    items: torch.Tensor


def binarised(x: torch.Tensor) -> torch.Tensor:
    """The sign of each number, -1.0 or 1.0 (1.0 at zero), with the gradient of tanh."""
    soft = torch.tanh(x)
    hard = torch.where(x >= 0, 1.0, -1.0)
    return soft + (hard - soft).detach()


class BinaryCodes(Pointwise):
    """logit = <c_u, c_i> / sqrt(bits) + b_u + b_i + b, codes c of -1 and 1.

    The divisor gives unrelated codes a product of variance 1, however many bits there are.
    """

    def __init__(self, n_users: int, n_items: int, bits: int, seed: int = 0):
        super().__init__(n_users, n_items)
        if bits < 1:
            raise ValueError(f"bits must be at least 1, got {bits}")
        draw = torch.Generator().manual_seed(seed)
        self.users = Table(0.1 * torch.randn(n_users + 1, bits, generator=draw))
        self.items = Table(0.1 * torch.randn(n_items + 1, bits, generator=draw))
        self.user_bias = Table(torch.zeros(n_users + 1, 1))
        self.item_bias = Table(torch.zeros(n_items + 1, 1))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Ids [B], [B] to logits [B]; code and bias of an unseen user or item count as zero."""
        known_user, known_item = self.seen_users[users], self.seen_items[items]  # [B]
        c_u, c_i = binarised(self.users(users)), binarised(self.items(items))  # [B, bits]
        dot = (c_u * c_i).sum(-1) / c_u.shape[-1] ** 0.5 * (known_user & known_item)
        b_u, b_i = self.user_bias(users).squeeze(-1) * known_user, self.item_bias(items).squeeze(-1) * known_item
        return dot + b_u + b_i + self.bias

    @torch.no_grad()
    def codes(self) -> Codes:
        """The bits of every user and item."""
        sides = (self.users, self.seen_users), (self.items, self.seen_items)
        bits = [((table.weight >= 0).to(torch.int8), seen[:, None]) for table, seen in sides]
        return Codes(*(torch.where(seen, values, torch.full_like(values, -1)).cpu() for values, seen in bits))


def as_text(row: ArrayLike) -> str:
    """One row of `Codes` [bits] as text in groups of four, "0110 1011"; "" for an unseen row."""
    bits = [int(bit) for bit in row]
    if -1 in bits:
        return ""
    digits = "".join(map(str, bits))
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))
