"""The embedded world: a small world of films whose truth is known, and the texts that a mini-LLM learns about it from.

Everything follows from one seed. `build` writes the tables; pre-training the mini-LLM on `documents` is the language
model room's part; ``python -m sellarec_lab world`` does both.
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from sellarec_lab.world.audience import TRAIN_DAYS, make_audience, rate, true_probability
from sellarec_lab.world.films import make_films
from sellarec_lab.world.graphs import make_graphs
from sellarec_lab.world.texts import documents

__all__ = ["SEED", "build", "documents", "films_of", "generate"]

SEED, N_FILMS, N_USERS = 7, 400, 500
LATE_FILMS, LATE_USERS, ROWS_PER_DAY = 1 / 12, 1 / 8, 0.3
LATE_WINDOW = (TRAIN_DAYS, TRAIN_DAYS + 50)  # days in which late films come out
PUBLIC = ["title", "genre", "mood", "director", "era", "verdict"]


def films_of(seed: int = SEED) -> pd.DataFrame:
    """The films alone (see `films.make_films`)."""
    return make_films(np.random.default_rng([seed, 0]), N_FILMS, LATE_FILMS, LATE_WINDOW)


def generate(seed: int = SEED) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """Films, interactions and the true P(like) [n_users + 1, n_items + 1] of the world with this seed."""
    films = films_of(seed)
    audience = make_audience(np.random.default_rng([seed, 1]), N_USERS, LATE_USERS)
    truth = true_probability(audience, films)
    table = rate(np.random.default_rng([seed, 2]), audience, films, truth, ROWS_PER_DAY)
    return films, table, truth


def build(folder: Path, seed: int = SEED) -> None:
    """Write ``items.csv, users.csv, interactions.csv, truth.safetensors, hidden.json`` and the folder ``graphs``: the
    same bytes for one seed.

    ``hidden.json`` holds each film's scene for those who want to look behind the curtain; no model reads it.
    """
    films, table, truth = generate(seed)
    folder.mkdir(parents=True, exist_ok=True)
    films[PUBLIC].to_csv(folder / "items.csv", lineterminator="\n")
    pd.DataFrame({"user_id": np.arange(1, len(truth))}).to_csv(folder / "users.csv", index=False, lineterminator="\n")
    columns = ["user_id", "item_id", "label", "timestamp", "split"]
    table[columns].to_csv(folder / "interactions.csv", index=False, lineterminator="\n")
    save_file({"probability": torch.from_numpy(truth).half().contiguous()}, folder / "truth.safetensors")
    (folder / "graphs").mkdir(exist_ok=True)
    for name, rows in make_graphs(np.random.default_rng([seed, 3]), films).items():
        rows.to_csv(folder / "graphs" / f"{name}.tsv", sep="\t", index=False, header=False, lineterminator="\n")
    (folder / "hidden.json").write_text(json.dumps({"scene": films["scene"].tolist()}) + "\n", encoding="utf-8")
