"""The codes of items, [n_items + 1, levels]: what a table of them must be, and who shares an index with whom.

Row 0 is padding; it and every item without an index hold -1 at all levels.
"""

import string

import torch

LETTERS = string.ascii_lowercase  # the letter of a level in its words


def checked(codes: torch.Tensor) -> torch.Tensor:
    """The table [n_items + 1, levels] as int64 on the CPU.

    Raises:
        ValueError: no whole numbers, another shape, a padding row with codes, or a row that is neither all codes nor
            all -1; names the row.
    """
    if codes.is_floating_point() or codes.ndim != 2 or not 1 <= codes.shape[1] <= len(LETTERS):
        shape = f"{codes.dtype} of shape {list(codes.shape)}"
        raise ValueError(f"codes: expected whole numbers [n_items + 1, levels], levels 1 to 26, got {shape}")
    codes = codes.detach().cpu().long()
    good = (codes >= 0).all(1) | (codes == -1).all(1)  # [n_items + 1]
    good[:1] &= codes[:1, 0] == -1
    if not good.all():
        row = int((~good).nonzero()[0])
        expected = "codes from 0 on, or -1 at all levels for an item without an index" if row else "-1, being padding"
        raise ValueError(f"codes, row {row}: expected {expected}, got {codes[row].tolist()}")
    return codes


def indexed(codes: torch.Tensor) -> torch.Tensor:
    """Ids of the items that have an index, ascending."""
    return (codes[:, 0] >= 0).nonzero().flatten()


def number(rows: torch.Tensor) -> torch.Tensor:
    """Rows [n, L] to numbers [n]: equal rows get the same one, counted in lexicographic order."""
    if not rows.shape[1]:
        return torch.zeros(len(rows), dtype=torch.long)
    return torch.unique(rows, dim=0, return_inverse=True)[1]


def groups(numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Numbers [n] as of `number` to the positions of each, in the order of the numbers."""
    return numbers.argsort(stable=True).split(torch.bincount(numbers).tolist())


def shared(codes: torch.Tensor) -> torch.Tensor:
    """Which of the indices [n, L] is not its item's own, [n]."""
    numbers = number(codes)
    return torch.bincount(numbers)[numbers] > 1
