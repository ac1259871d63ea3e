"""The best that can be known of the embedded world: by definition on a few rows, and on the world itself."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from sellarec_lab import compare, config, data, metrics
from sellarec_lab.compare.methods import Oracle
from sellarec_lab.world import audience
from sellarec_lab.world.films import GENRES, MOODS
from sellarec_lab.world.knowable import Knowable

FILMS = pd.DataFrame(
    {"genre": ["crime", "comedy", "crime", "war"], "mood": ["dark", "dark", "tender", "solemn"],
     "verdict": ["praised", "panned", "praised", "panned"]}, index=range(1, 5),
)  # fmt: skip


@pytest.fixture(scope="module")
def world() -> data.Interactions:
    return data.load("tiny")


@pytest.fixture(scope="module")
def known(world) -> Knowable:
    return Knowable(world.items, world.train, world.n_users)


def _loved(options: int, loved: int) -> list[dict[int, float]]:
    low = -loved / (options - loved)
    return [
        {o: 1.0 if o in ways else low for o in range(options)} for ways in itertools.combinations(range(options), loved)
    ]


def _by_definition(rows: list[tuple[int, int]], asked: int, history: tuple[int, ...] = ()) -> float:
    """P(like) of a film by a user with these (film, label) rows, reading texts alone: a sum over tastes and biases. A
    like of the history is one out of all likes: as probable as it is among what is shown."""
    often = {film: 1 + sum(film == rated for rated, _ in rows) for film in FILMS.index}
    grid = np.linspace(-4, 4, 81) * audience.BIAS_STD
    top = bottom = 0.0
    for genres, moods in itertools.product(_loved(len(GENRES), 4), _loved(len(MOODS), 2)):

        def like(film: int, genres=genres, moods=moods) -> np.ndarray:
            genre, mood, verdict = FILMS.loc[film]
            sign = 1.0 if verdict == "praised" else -1.0
            logit = (
                audience.GENRE_WEIGHT * genres[GENRES.index(genre)] + audience.MOOD_WEIGHT * moods[MOODS.index(mood)]
            )
            logit = logit + audience.VERDICT_WEIGHT * sign + grid
            return (expit(logit + audience.SCENE_WEIGHT) + expit(logit - audience.SCENE_WEIGHT)) / 2

        weight = np.exp(-0.5 * (grid / audience.BIAS_STD) ** 2)
        for film, label in rows:
            weight = weight * (like(film) if label else 1 - like(film))
        shown = sum(often[film] * like(film) for film in FILMS.index) / sum(often.values())
        for film in history:
            weight = weight * like(film) / shown
        top, bottom = top + (weight * like(asked)).sum(), bottom + weight.sum()
    return top / bottom


@pytest.mark.parametrize("rows", [[], [(1, 1)], [(1, 0), (2, 1)], [(1, 1), (2, 0), (4, 0)]])
def test_text_alone_is_a_sum_over_tastes(rows: list[tuple[int, int]]) -> None:
    train = pd.DataFrame([(1, film, label) for film, label in rows], columns=["user_id", "item_id", "label"], dtype=int)
    known = Knowable(FILMS, train, 1, scenes=False)
    new = tuple(film for film in (3, 2) if film not in train["item_id"].to_numpy())
    for history in ((), new):
        asked = pd.DataFrame({"user_id": 1, "item_id": [1, 2, 3, 4], "history": [history] * 4})
        expected = [_by_definition(rows, film, history) for film in FILMS.index]
        assert known.predict(asked)["score"].tolist() == pytest.approx(expected, abs=1e-4)


def test_likes_of_the_history_count_where_train_tells_nothing() -> None:
    train = pd.DataFrame({"user_id": [2], "item_id": [4], "label": [1]})
    asked = pd.DataFrame({"user_id": 1, "item_id": 3, "history": [(), (1,), (2,)]})
    nothing, crime, comedy = Knowable(FILMS, train, 2, scenes=False).predict(asked)["score"]
    assert crime > nothing > comedy
    again = pd.DataFrame({"user_id": 2, "item_id": 3, "history": [(), (4,)]})  # its own train row, seen once more
    assert Knowable(FILMS, train, 2, scenes=False).predict(again)["score"].nunique() == 1


@pytest.mark.parametrize("later", [[(1, 0)], [(3, 1)], [(3, 1), (1, 0), (4, 0)]])
def test_what_is_told_of_likes_and_dislikes_counts_as_train_does(later: list[tuple[int, int]]) -> None:
    train = pd.DataFrame({"user_id": [1, 1], "item_id": [2, 4], "label": [1, 0]})
    liked, disliked = ((2, *(f for f, label in later if label)), (*(f for f, label in later if not label), 4))
    asked = pd.DataFrame({"user_id": 1, "item_id": [1, 2, 3, 4], "history": [liked] * 4, "disliked": [disliked] * 4})
    rows = [(2, 1), (4, 0), *(row for row in later if row[0] != 4)]  # train's own are known already
    expected = [_by_definition(rows, film) for film in FILMS.index]
    assert Knowable(FILMS, train, 1, scenes=False).predict(asked)["score"].tolist() == pytest.approx(expected, abs=1e-4)


def test_scenes_are_found_by_co_ratings(world, known) -> None:
    hidden = np.array(json.loads((data.tiny.default_folder() / "hidden.json").read_text())["scene"])
    rated = np.isin(world.items.index, world.train["item_id"])
    found = known.scenes.argmax(1)
    assert pd.crosstab(found[rated], hidden[rated]).to_numpy().max(1).sum() == rated.sum()
    assert np.allclose(known.scenes[~rated], 0.25)


def test_the_world_in_order(world, known) -> None:
    """Chance, text alone, co-ratings too, scenes given, the oracle; and what was reckoned independently."""
    hidden = np.eye(4)[json.loads((data.tiny.default_folder() / "hidden.json").read_text())["scene"]]
    models = {
        "text": Knowable(world.items, world.train, world.n_users, scenes=False), "knowable": known,
        "scenes": Knowable(world.items, world.train, world.n_users, found=hidden),
        "oracle": Oracle(world.truth),
    }  # fmt: skip
    auc = {name: metrics.quality(model.predict(world.test))["auc"] for name, model in models.items()}
    assert 0.5 < auc["text"] < auc["knowable"] < auc["scenes"] < auc["oracle"]
    assert auc["text"] == pytest.approx(0.81, abs=0.005) and auc["knowable"] == pytest.approx(0.882, abs=0.003)
    assert auc["scenes"] == pytest.approx(0.895, abs=0.003)


def test_it_is_a_row_of_this_world_alone(world, toy, known, tmp_path) -> None:
    assert {"knowable", "knowable-text"} <= set(compare.models_for(world))
    assert not {"knowable", "knowable-text", "knowable-so-far"} & set(compare.models_for(toy, "all"))
    with pytest.raises(ValueError, match="'knowable' knows the embedded world alone"):
        compare.check_fit(toy, ["knowable"])
    with pytest.raises(ValueError, match=r"the films lack \['genre'"):
        Knowable(toy.items.drop(columns="genres"), toy.train, toy.n_users)
    cfg = config.preset("tiny", artifacts=str(tmp_path))
    stage = compare.METHODS["knowable"].stage(cfg, world)
    scores = known.predict(world.test)["score"]
    assert np.allclose(stage.value().predict(world.test)["score"], scores, atol=1e-6)
    told = compare.METHODS["knowable-so-far"].stage(cfg, world).value().predict(world.test)
    assert list(told) == [*world.test, "score"]
    assert metrics.quality(told)["auc"] > metrics.quality(world.test.assign(score=scores))["auc"]
