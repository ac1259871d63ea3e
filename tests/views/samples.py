"""What the views are shown: small, and known by construction."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from sellarec_lab import data as rooms
from sellarec_lab.training import History


def history(metrics: bool = True) -> History:
    records = [{"step": s, "epoch": 0, "loss": 1 / s, "learning_rate": 0.1, "seconds": 1.0} for s in range(1, 7)]
    if not metrics:
        return History(records)
    for step, auc in ((2, 0.6), (4, 0.7), (6, 0.65)):
        records[step - 1] |= {"auc": auc, "uauc": auc - 0.05}
    return History(records, best=0.7, best_step=4)


def world():
    """Three users, two films, one day apart; the last film and the last user are cold."""
    rows = pd.DataFrame(
        {
            "user_id": [1, 1, 2, 2, 3, 3],
            "item_id": [1, 2, 1, 2, 2, 3],
            "label": [1, 0, 1, 1, 0, 1],
            "timestamp": [0, 86_400, 172_800, 259_200, 345_600, 432_000],
            "split": ["train"] * 4 + ["valid", "test"],
        }
    )
    items = pd.DataFrame({"item_id": [1, 2, 3], "title": ["A", "B", "C"]})
    return rooms.from_frames(rows, items, name="mini", split="split")


def results() -> pd.DataFrame:
    values = {"text": 0.6, "oracle": 0.9, "sella": 0.8}
    rows = [
        {"model": m, "split": "test", "metric": "auc", "value": v, "low": v - 0.02, "high": v + 0.03}
        for m, v in values.items()
    ]
    return pd.DataFrame([*rows, rows[0] | {"metric": "uauc", "value": 0.55}, rows[0] | {"split": "valid"}])


def scored(n: int = 200, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n)
    frame = pd.DataFrame({"label": (rng.random(n) < truth).astype(int), "score": np.log(truth / (1 - truth))})
    return frame, truth


def named(figure: go.Figure, name: str):
    found = [trace for trace in figure.data if trace.name == name]
    assert found, [trace.name for trace in figure.data]
    return found[0]


def cloud(n: int, d: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def paired_table() -> pd.DataFrame:
    rows = [("text", 0.05, 0.02, 0.08, 0.01), ("mf", -0.01, -0.03, 0.01, 0.4), ("broken", *[np.nan] * 4)]
    table = pd.DataFrame(rows, columns=["model", "difference", "low", "high", "p_holm"])
    return table.assign(split="test", metric="auc")


def costs_table() -> pd.DataFrame:
    rows = [("text", 10.0, 1.5), ("text", 30.0, 2.5), ("sella", 100.0, np.nan), ("other", 5.0, 1.0)]
    return pd.DataFrame(rows, columns=["model", "seconds", "peak_gb"])
