"""Graphs whose facts follow a rule: a film's director decides its genre. The target tells genres alone, and not all of
them; the backgrounds know the directors."""

from __future__ import annotations

import numpy as np

from sellarec_lab import config, kg

FILMS, DIRECTORS, GENRES = 48, 8, 4
NAMES = (
    *(f"film {i:02d}" for i in range(FILMS)),
    *(f"director {i}" for i in range(DIRECTORS)),
    *(f"genre {i}" for i in range(GENRES)),
)


def cinema(name: str, seed: int, genres: float, directors: float) -> kg.Graph:
    """A share of the films' genres in train, the rest held out, half of it test; and a share of their directors."""
    order = np.random.default_rng(seed).permutation(FILMS)
    told = [(f"film {i:02d}", "genre", f"genre {i % DIRECTORS % GENRES}") for i in order]
    made = [(f"film {i:02d}", "by", f"director {i % DIRECTORS}") for i in order[: round(directors * FILMS)]]
    cut = round(genres * FILMS)
    half = (cut + FILMS) // 2
    return kg.from_triples(name, told[:cut] + made, told[cut:half], told[half:], entities=NAMES)


def cinemas() -> kg.Graphs:
    """Target "here", backgrounds "there" (all entities linked) and "elsewhere" (half of the films linked)."""
    graphs = {"here": cinema("here", 1, 0.5, 0.05), "there": cinema("there", 2, 0.8, 1.0)}
    graphs["elsewhere"] = cinema("elsewhere", 3, 0.8, 0.5)
    same = np.repeat(np.arange(len(NAMES))[:, None], 2, axis=1)
    links = {("here", "there"): same, ("elsewhere", "here"): same[: FILMS // 2]}
    return kg.Graphs(graphs, links, shared_relations=True)


def preset(tmp_path, **changes) -> config.Preset:
    """Small and quick on the cinemas."""
    loop = {"learning_rate": 1e-2, "batch_size": 32, "epochs": 20, "patience": 20}
    small = {f"kg__{who}__loop__{name}": value for who in ("teacher", "student") for name, value in loop.items()}
    small |= {f"kg__{who}__{name}": 0 for who in ("teacher", "student") for name in ("negatives",)}
    small |= {"kg__teacher__dim": 32, "kg__student__dim": 16, "kg__teacher__layers": 1, "kg__student__layers": 1}
    return config.preset("tiny", **({"artifacts": str(tmp_path)} | small | changes))
