"""What preprocessing did, written down with its counts.

Two data sets of one name often differ in a step that nobody wrote down; here every step travels with the data.
"""

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd


class Step(NamedTuple):
    """What was done, and what remained after it."""

    step: str
    users: int
    items: int
    interactions: int
    note: str = ""


def counted(step: str, table: pd.DataFrame, note: str = "") -> Step:
    """The step with the counts of the `table` that it left: one row an interaction, with `user_id` and `item_id`."""
    return Step(step, table["user_id"].nunique(), table["item_id"].nunique(), len(table), note)


def steps_table(steps: Iterable[Step] = ()) -> pd.DataFrame:
    """One row a step, in order: `step`, `users`, `items`, `interactions`, `note`."""
    return pd.DataFrame(list(steps), columns=list(Step._fields))
