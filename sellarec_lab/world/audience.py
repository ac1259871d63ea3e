"""Users of the embedded world, what they truly like, and what they were seen to rate.

Difficulty, fixed before the recommenders were ranked on it. Taste has a part that texts tell (genre, a little mood and
verdict) and a part that they can't (scene). The weights were raised until two simple yardsticks each closed about half
of the oracle's gap on valid: a counting model that knows every film's genre, mood and verdict and sees the last ten
likes (text alone can hardly do better), and plain matrix factorisation. A first world (weights 1.7, 0.8, 1.5, three
loved genres) was given up because the counting model closed only a third there, and a second (2.0, 2.0, 2.0) because
mood, which the mini-LLM knows but does not weigh, outdid genre. A twelfth of the films and an eighth of the users
arrive after the training period, so both cold cases occur.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from sellarec_lab.world.films import GENRES, MOODS, N_SCENES

GENRE_WEIGHT, MOOD_WEIGHT, SCENE_WEIGHT, VERDICT_WEIGHT, BIAS_STD = 2.4, 0.5, 2.0, 0.5, 0.4
TRAIN_DAYS, VALID_DAYS, TEST_DAYS = 200, 24, 36


class Audience(NamedTuple):
    """Tastes as arrays with one row a user: loved genres [U, 8], moods [U, 4], scenes [U, 4] as +1 / -1-like weights,
    bias [U] and the day of joining [U]."""

    genres: np.ndarray
    moods: np.ndarray
    scenes: np.ndarray
    bias: np.ndarray
    joined: np.ndarray


def _loved(rng: np.random.Generator, n_users: int, n_options: int, n_loved: int) -> np.ndarray:
    """[U, options]: +1 for loved options and a negative constant for the others, mean zero over the options."""
    ranks = rng.random((n_users, n_options)).argsort(axis=1).argsort(axis=1)
    return np.where(ranks < n_loved, 1.0, -n_loved / (n_options - n_loved))


def make_audience(rng: np.random.Generator, n_users: int, late_share: float) -> Audience:
    """Draw the users: each loves 4 of 8 genres, 2 of 4 moods and 2 of 4 scenes; late users join after training."""
    late = rng.random(n_users) < late_share
    joined = np.where(late, rng.integers(TRAIN_DAYS, TRAIN_DAYS + VALID_DAYS + TEST_DAYS // 2, n_users), 0)
    return Audience(
        genres=_loved(rng, n_users, len(GENRES), 4),
        moods=_loved(rng, n_users, len(MOODS), 2),
        scenes=_loved(rng, n_users, N_SCENES, 2),
        bias=rng.normal(0.0, BIAS_STD, n_users),
        joined=joined,
    )


def true_probability(audience: Audience, films: pd.DataFrame) -> np.ndarray:
    """P(like | user, item), float32 [n_users + 1, n_items + 1]; row and column 0 (padding) hold 0.5.

    This is the score of the ``oracle``: labels are drawn from it, so no model can be better in expectation.
    """
    genre = films["genre"].map(GENRES.index).to_numpy()
    mood = films["mood"].map(MOODS.index).to_numpy()
    verdict = np.where(films["verdict"] == "praised", 1.0, -1.0)
    logit = (
        GENRE_WEIGHT * audience.genres[:, genre]
        + MOOD_WEIGHT * audience.moods[:, mood]
        + SCENE_WEIGHT * audience.scenes[:, films["scene"].to_numpy()]
        + VERDICT_WEIGHT * verdict
        + audience.bias[:, None]
    )
    truth = np.full((logit.shape[0] + 1, logit.shape[1] + 1), 0.5, dtype=np.float32)
    truth[1:, 1:] = 1.0 / (1.0 + np.exp(-logit))
    return truth


def rate(
    rng: np.random.Generator, audience: Audience, films: pd.DataFrame, truth: np.ndarray, rows_per_day: float
) -> pd.DataFrame:
    """Simulate who rated what and when: ``user_id, item_id, label, timestamp, split``, ordered by user and time.

    A user rates at random moments, choosing among the films that are out and not yet rated, by popularity alone: what
    is shown does not depend on taste, so labels stay balanced. A timestamp counts seconds from day 0.
    """
    horizon = TRAIN_DAYS + VALID_DAYS + TEST_DAYS
    release, popularity = films["release"].to_numpy(), films["popularity"].to_numpy()
    parts = []
    for user, joined in enumerate(audience.joined, start=1):
        count = min(int(rng.poisson(rows_per_day * (horizon - joined))), len(films) // 2)
        seconds = np.sort(rng.choice(np.arange(joined * 86_400, horizon * 86_400, 60), count, replace=False))
        order = np.argsort(rng.exponential(size=len(films)) / popularity)  # without replacement, by popularity
        waiting, items = list(order), []
        for moment in seconds:
            pick = next(i for i in waiting if release[i] * 86_400 <= moment)
            waiting.remove(pick)
            items.append(pick + 1)
        parts.append(pd.DataFrame({"user_id": user, "item_id": items, "timestamp": seconds}))
    table = pd.concat(parts, ignore_index=True)
    chance = truth[table["user_id"], table["item_id"]]
    table.insert(2, "label", (rng.random(len(table)) < chance).astype(int))
    edges = np.array([TRAIN_DAYS, TRAIN_DAYS + VALID_DAYS]) * 86_400
    table["split"] = np.array(["train", "valid", "test"])[np.searchsorted(edges, table["timestamp"], side="right")]
    return table
