"""A prefix tree over sequences of whole numbers, as flat tensors: which numbers may follow a prefix, for many at once.

The nodes of a level are numbered in lexicographic order of their prefixes, so the children of a node are a range of
the next level's nodes: compressed sparse rows, as in arXiv 2602.22647. No method loops over nodes, beams or numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from sellarec_lab.indices.codes import number


class Children(NamedTuple):
    """``tokens`` [N, W] that may follow and the ``nodes`` [N, W] they lead to; where ``mask`` [N, W] is False there is
    no child, and both are 0, so that gathering by them is safe."""

    tokens: torch.Tensor
    nodes: torch.Tensor
    mask: torch.Tensor


class Held(NamedTuple):
    """Sparse rows: ``items`` [M] and, for each, the position [M] in what was asked for; in its order, then by id."""

    rows: torch.Tensor
    items: torch.Tensor


@dataclass(frozen=True, eq=False)
class Trie:
    """Level 0 has one node, the root; level ``depth`` has the leaves, each with one or more items.

    ``start[l]`` [nodes of level l + 1] is where the children of a node begin among those of level l + 1, ``token[l]``
    [nodes of level l + 1] what leads to each, ``width[l]`` the most children that a node of level l has. The items of
    leaf n are ``item[held[n] : held[n + 1]]``; ``leaf`` [n_items + 1] is -1 for no leaf.
    """

    start: tuple[torch.Tensor, ...]
    token: tuple[torch.Tensor, ...]
    width: tuple[int, ...]
    held: torch.Tensor
    item: torch.Tensor
    leaf: torch.Tensor

    @classmethod
    def of(cls, sequences: torch.Tensor) -> Trie:
        """The trie of sequences [n_items + 1, L], one an item; rows whose first number is negative are no item.

        Raises:
            ValueError: no whole numbers, another shape, or no item.
        """
        if sequences.is_floating_point() or sequences.ndim != 2 or not sequences.shape[1]:
            found = f"{sequences.dtype} of shape {list(sequences.shape)}"
            raise ValueError(f"sequences: expected whole numbers [n_items + 1, L], got {found}")
        sequences = sequences.detach().cpu().long()
        ids = (sequences[:, 0] >= 0).nonzero().flatten()
        if not len(ids):
            raise ValueError("sequences: expected at least one item, got only rows that begin with a negative number")
        return cls._grown(sequences[ids], ids, len(sequences))

    @classmethod
    def _grown(cls, rows: torch.Tensor, ids: torch.Tensor, n: int) -> Trie:
        start, token, above = [], [], number(rows[:, :0])  # the node that an item passes, [m]
        for level in range(rows.shape[1]):
            node = number(rows[:, : level + 1])
            parent, last = (torch.empty(int(node.max()) + 1, dtype=torch.long) for _ in range(2))
            parent[node], last[node] = above, rows[:, level]
            start.append(_starts(parent, int(above.max()) + 1))
            token.append(last)
            above = node
        leaf = torch.full((n,), -1)
        leaf[ids] = above
        width = tuple(int(s.diff().max()) for s in start)
        return cls(tuple(start), tuple(token), width, _starts(above, len(last)), ids[above.argsort(stable=True)], leaf)

    @property
    def depth(self) -> int:
        return len(self.start)

    @property
    def n_leaves(self) -> int:
        return len(self.held) - 1

    def children(self, level: int, nodes: torch.Tensor) -> Children:
        """What may follow the ``nodes`` [N] of a level, 0 to depth - 1; W is the most children of any node there."""
        begin, end = self.start[level][nodes, None], self.start[level][nodes + 1, None]  # [N, 1]
        reached = begin + torch.arange(self.width[level], device=begin.device)  # [N, W]
        mask = reached < end
        reached = reached * mask
        return Children(self.token[level][reached] * mask, reached, mask)

    def items(self, leaves: torch.Tensor) -> Held:
        """Ids of the items at leaves [N]."""
        begin, counts = self.held[leaves], self.held[leaves + 1] - self.held[leaves]  # [N]
        rows = torch.repeat_interleave(counts)  # [M]
        within = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
        return Held(rows, self.item[begin[rows] + within])

    def leaf_of(self, items: torch.Tensor) -> torch.Tensor:
        """Leaves of items, in the shape of the ids; -1 for an item without a sequence."""
        return self.leaf[items]

    def to(self, device: torch.device | str) -> Trie:
        """A copy on a device."""
        lists = (tuple(t.to(device) for t in part) for part in (self.start, self.token))
        return Trie(*lists, self.width, *(t.to(device) for t in (self.held, self.item, self.leaf)))


def _starts(parents: torch.Tensor, n: int) -> torch.Tensor:
    """Where the children of each of n parents begin, [n + 1]; children [m] are in the order of their parents."""
    counts = torch.bincount(parents, minlength=n)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])
