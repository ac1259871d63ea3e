"""The tree of existing indices as tensors, so that a search over it needs no loop over beams, nodes or vocabulary.

Nodes of a level are numbered in the order of their prefixes, so the children of a node are a range of the next level:
compressed sparse rows, one array of starts and one of tokens a level.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Trie:
    """``start[l]`` [nodes of level l + 1 more], ``token[l]`` [nodes of level l + 1]; level 0 is the root alone.
    ``leaf`` [n_items + 1] is the leaf of every item, -1 for one that is not in the tree."""

    start: list[torch.Tensor]
    token: list[torch.Tensor]
    leaf: torch.Tensor

    @classmethod
    def of(cls, sequences: torch.Tensor) -> Trie:
        """From codes or token ids [n_items + 1, depth]; a row that begins below zero is no item.

        Raises:
            ValueError: no item at all.
        """
        there = sequences[:, 0] >= 0
        if not there.any():
            raise ValueError("no row of the sequences is an item: all begin below zero")
        rows = sequences[there]
        start, token, before = [], [], torch.zeros(len(rows), dtype=torch.long)
        for level in range(rows.shape[1]):
            nodes, owner = rows[:, : level + 1].unique(dim=0, return_inverse=True)  # in the order of prefixes
            parent = torch.zeros(len(nodes), dtype=torch.long).index_put_((owner,), before)
            start.append(torch.searchsorted(parent, torch.arange(int(before.max()) + 2)))
            token.append(nodes[:, -1].contiguous())
            before = owner
        leaf = torch.full((len(sequences),), -1).masked_scatter_(there, before)
        return cls(start, token, leaf)

    @property
    def depth(self) -> int:
        return len(self.token)

    @property
    def n_leaves(self) -> int:
        return len(self.token[-1])

    def to(self, device: torch.device | str) -> Trie:
        moved = ([part.to(device) for part in parts] for parts in (self.start, self.token))
        return Trie(*moved, self.leaf.to(device))

    def children(self, level: int, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Nodes [N] of a level to the tokens, the nodes and a mask of their children, [N, W] each; W is the largest
        number of children that a node of this level has."""
        start, token = self.start[level], self.token[level]
        first, many = start[nodes], start[nodes + 1] - start[nodes]  # [N]
        place = torch.arange(int(start.diff().max()), device=nodes.device)
        below = (first[:, None] + place).clamp_max(len(token) - 1)
        return token[below], below, place < many[:, None]

    def leaf_of(self, items: torch.Tensor) -> torch.Tensor:
        """Items to their leaves, -1 for one that is not in the tree."""
        return self.leaf[items]
