"""Which rows of valid judge a training, and every method of its table."""

import pandas as pd


def judging_rows(valid: pd.DataFrame, rows: int | None, seed: int) -> pd.DataFrame:
    """The rows of valid by which a state is judged: all, or all those of users drawn until there are ``rows``.

    Raises:
        ValueError: no user drawn has both likes and dislikes.
    """
    if rows is None:
        return valid
    held = valid.groupby("user_id").size().sample(frac=1, random_state=seed)
    drawn = valid[valid["user_id"].isin(held.index[held.cumsum() - held < rows])]
    if drawn.groupby("user_id")["label"].nunique().max() < 2:
        found = f"none of the {drawn['user_id'].nunique()} users drawn likes one item and dislikes another"
        raise ValueError(f"valid_rows={rows}: {found}, so there is no AUC within a user; set it higher")
    return drawn
