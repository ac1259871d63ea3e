"""Collaborative tables as plain tensors, and the door for tables that were made elsewhere."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import nn

from sellarec_lab.data.errors import problem


class Vectors(NamedTuple):
    """The collaborative tables: ``users`` [n_users + 1, d], ``items`` [n_items + 1, d]; row 0 and unseen rows are zero.

    The last coordinate is the bias: zero everywhere in a model without biases.
    """

    users: torch.Tensor
    items: torch.Tensor


def score_pairs(vectors: Vectors, frame: pd.DataFrame, bias: torch.Tensor | float = 0.0) -> pd.DataFrame:
    """The frame's rows with ``score`` = p_u . q_i + b_u + b_i + ``bias``, a float logit."""
    users = vectors.users[torch.tensor(frame["user_id"].to_numpy())]  # [n, d]
    items = vectors.items[torch.tensor(frame["item_id"].to_numpy())]  # [n, d]
    dot = (users[:, :-1] * items[:, :-1]).sum(-1)  # [n]
    return frame.assign(score=(dot + users[:, -1] + items[:, -1] + bias).double().numpy())


class FixedVectors(nn.Module):
    """Tables that nothing here trained: scores are p_u . q_i, plus the biases where there are some."""

    def __init__(self, vectors: Vectors):
        super().__init__()
        self.register_buffer("users", vectors.users)
        self.register_buffer("items", vectors.items)

    def vectors(self) -> Vectors:
        """The tables; a zero column was appended as bias if they came without."""
        return Vectors(self.users, self.items)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with a float ``score``.

        Raises:
            DataError: an id has no row in the tables; names the frame's row.
        """
        for column, table in (("user_id", self.users), ("item_id", self.items)):
            bad = ~frame[column].between(1, len(table) - 1)
            if bad.any():
                raise problem(
                    f"frame, row {bad.idxmax()}, column {column}", f"an id from 1 to {len(table) - 1}",
                    frame.loc[bad.idxmax(), column],
                    "Give the embedding tables one row for each id, row 0 being padding.",
                )  # fmt: skip
        return score_pairs(self.vectors(), frame)


def from_vectors(users: ArrayLike, items: ArrayLike, biases: bool = False) -> FixedVectors:
    """Bring one's own embedding tables in, from any trainer.

    Args:
        users: [n_users + 1, d], numpy or torch; row 0 is padding and is set to zero.
        items: [n_items + 1, d].
        biases: the last coordinate of both is a bias; otherwise all d coordinates enter the dot product.

    Returns:
        A model with ``vectors()`` and ``predict(frame)``, as the trained ones have.

    Raises:
        DataError: not a table of finite numbers, or the widths differ; names the table and the row.
    """
    tables = [_checked("users", users, biases), _checked("items", items, biases)]
    widths = [table.shape[1] for table in tables]
    if widths[0] != widths[1]:
        raise problem(
            "items, row 0", f"width {widths[0]}, as users have", f"width {widths[1]}",
            "Take both tables from the same model; a dot product needs equal widths.",
        )  # fmt: skip
    if not biases:
        tables = [torch.cat([table, table.new_zeros(len(table), 1)], dim=1) for table in tables]
    return FixedVectors(Vectors(*tables))


def _checked(name: str, values: ArrayLike, biases: bool) -> torch.Tensor:
    """A float32 copy [rows, d] with row 0 zeroed."""
    values = values.detach().cpu().float().numpy() if isinstance(values, torch.Tensor) else values
    try:
        table = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        do = "Give one row of d numbers for each id, row 0 being padding."
        raise problem(name, "a table of numbers, equally long rows", error, do) from error
    least = 2 if biases else 1
    if table.ndim != 2 or len(table) < 2 or table.shape[1] < least:
        raise problem(
            name, f"a table [n_{name} + 1, d] with at least 2 rows and d >= {least}",
            f"shape {list(table.shape)}", "Give one row for each id, and a row 0 for padding.",
        )  # fmt: skip
    table[0] = 0.0  # whatever padding held elsewhere, here it is nothing
    # a double beyond float32 would turn into infinity without a word
    bad = ~(np.abs(table) <= np.finfo(np.float32).max)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise problem(
            f"{name}, row {row}, column {column}", "a finite number in float32", table[row, column],
            "Write zeros for an unseen id, and look at the training of the others.",
        )  # fmt: skip
    return torch.from_numpy(table.astype(np.float32))
