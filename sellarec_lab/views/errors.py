"""Where a model fails: the users and items it serves worst, and rows with a past against rows without."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import expit

from sellarec_lab import metrics
from sellarec_lab.views.results import results_forest
from sellarec_lab.views.scores import _columns
from sellarec_lab.views.style import dress, need_columns


def worst_users(scored: pd.DataFrame, k: int = 10, least: int = 4) -> pd.DataFrame:
    """The k users with the lowest AUC of their own: indexed by user_id with ``auc, rows, positives``.

    Args:
        scored: user_id, label, score.
        least: users with fewer rows are left out; so are those with one class, who have no AUC. With few rows an AUC
            is low by chance alone: read it beside the counts.

    Raises:
        ValueError: a column is missing or a score is not finite.
    """
    need_columns(scored, ("user_id",), "scored")
    labels, scores = _columns(scored)
    table = metrics.user_auc(scored["user_id"], labels, scores)
    table = table[table["rows"] >= least]
    return table.sort_values(["auc", "rows"], ascending=[True, False], kind="stable").head(k)


def worst_items(scored: pd.DataFrame, titles: Sequence[str] | None = None, k: int = 10, least: int = 4) -> pd.DataFrame:
    """The k items with the highest mean log-loss: indexed by item_id with ``log_loss, rows, liked, predicted``.

    ``liked`` is the share of likes, ``predicted`` the mean P(like): far apart, the level is wrong; alike, the model
    can't tell this item's admirers from the others.

    Args:
        scored: item_id, label, score.
        titles: by item_id; adds a column ``title``.
        least: items with fewer rows are left out.

    Raises:
        ValueError: a column is missing, a score is not finite, or an item_id has no title.
    """
    need_columns(scored, ("item_id",), "scored")
    labels, scores = _columns(scored)
    if titles is not None and scored["item_id"].max() >= len(titles):
        raise ValueError(f"titles has shape {(len(titles),)}, scored reaches item_id {scored['item_id'].max()}")
    loss = np.logaddexp(0, np.where(labels == 1, -scores, scores))  # −log of the probability of what happened
    rows = pd.DataFrame({"item_id": scored["item_id"].to_numpy(), "loss": loss, "label": labels, "p": expit(scores)})
    table = rows.groupby("item_id").agg(
        log_loss=("loss", "mean"), rows=("label", "size"), liked=("label", "mean"), predicted=("p", "mean")
    )
    table = table[table["rows"] >= least].sort_values("log_loss", ascending=False, kind="stable").head(k)
    return table if titles is None else table.assign(title=[titles[i] for i in table.index])


def warm_against_cold(scored: pd.DataFrame, metric: str = "auc", samples: int = 300, seed: int = 0) -> go.Figure:
    """The metric on all rows, on warm rows (user and item in train) and on cold ones, with bootstrap intervals.

    Args:
        scored: user_id, label, score, is_warm.
        metric: any that `metrics.interval` knows.

    Raises:
        ValueError: a column is missing, or no part has both classes.
    """
    need_columns(scored, ("user_id", "is_warm"), "scored")
    _columns(scored)
    warm = scored["is_warm"].to_numpy(dtype=bool)
    rows = []
    for name, part in (("all", scored), ("warm", scored[warm]), ("cold", scored[~warm])):
        both = part.groupby("user_id")["label"].nunique() if metric != "auc" else pd.Series([part["label"].nunique()])
        found = metrics.interval(part, metric, samples, seed) if (both > 1).any() else (np.nan,) * 3
        rows.append((f"{name}: {len(part):,} rows, {part['label'].mean():.0%} liked", "these rows", metric, *found))
    table = pd.DataFrame(rows, columns=["model", "split", "metric", "value", "low", "high"])
    figure = results_forest(table, metric, "these rows")
    missing = table["value"].isna().sum()
    note = "value and 95 % interval over users; dotted: chance" + ("; a part of one class is left out" * bool(missing))
    return dress(figure, f"{metric.upper()} with and without a past", note, figure.layout.height)
