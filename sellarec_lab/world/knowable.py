"""What can be known of the embedded world from its rows and texts: the best that any model can do, by Bayes.

The oracle knows every user's taste; who sees sixty rows of a user cannot. `Knowable` knows the form of the world (how
tastes are drawn and how they make a like, see `audience`) and what articles state of the films, and nothing else that
is hidden: tastes are inferred from the user's train rows and from what a row shows that was liked, or disliked, scenes
from who liked what in train, by expectation maximisation. Who reads texts alone takes scenes for chance.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pandas as pd

from sellarec_lab.world.audience import BIAS_STD, GENRE_WEIGHT, MOOD_WEIGHT, SCENE_WEIGHT, VERDICT_WEIGHT
from sellarec_lab.world.films import GENRES, MOODS, N_SCENES

STATED = ("genre", "mood", "verdict")  # columns of the films that a taste depends on
_NODES = 5  # of the normal bias, by Gauss and Hermite
_MOST, _SETTLED = 60, 1e-3  # rounds of expectation maximisation at most; the change of a scene's probability to stop at
_ROWS = 500  # rows at a time


class _Tastes(NamedTuple):
    """All tastes that somebody can have, [T]: P(like) of every kind of film, ``likes`` [T, kinds], and the logarithm of
    each taste's probability [T]. A kind is a genre, a mood, a verdict and a scene, in this order."""

    likes: np.ndarray
    prior: np.ndarray


def _loved(options: int, loved: int) -> np.ndarray:
    """Every way to love so many options, [ways, options]: 1 where loved, mean zero."""
    ways = list(itertools.combinations(range(options), loved))
    rows = np.full((len(ways), options), -loved / (options - loved))
    for row, chosen in zip(rows, ways, strict=True):
        row[list(chosen)] = 1.0
    return rows


def _tastes(with_scenes: bool) -> _Tastes:
    """With scenes, or with scenes as a coin: of four scenes two are loved, so any film's is with one half."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    genres, moods, scenes = _loved(len(GENRES), 4), _loved(len(MOODS), 2), _loved(N_SCENES, 2)
    scenes = scenes if with_scenes else np.zeros((1, N_SCENES))
    g, m, s, b = (part.ravel() for part in np.indices((len(genres), len(moods), len(scenes), _NODES)))
    genre, mood, verdict, scene = np.indices((len(GENRES), len(MOODS), 2, N_SCENES)).reshape(4, -1)
    logit = GENRE_WEIGHT * genres[g][:, genre] + MOOD_WEIGHT * moods[m][:, mood]
    logit += SCENE_WEIGHT * scenes[s][:, scene] + VERDICT_WEIGHT * (2 * verdict - 1) + BIAS_STD * nodes[b][:, None]
    coin = (0.0,) if with_scenes else (-SCENE_WEIGHT, SCENE_WEIGHT)
    likes = np.mean([1 / (1 + np.exp(-(logit + shift))) for shift in coin], axis=0)
    return _Tastes(likes.astype(np.float32), np.log(weights / weights.sum())[b])


class Knowable:
    """P(like) of rows by Bayes.

    Args:
        films: indexed by item_id 1, 2, ...: ``genre, mood, verdict``.
        train: ``user_id, item_id, label``.
        n_users: ids of users run from 1 to this.
        scenes: whether co-ratings are read for scenes; without, what remains is knowable from text alone.
        found: P(scene) of every film [n, 4] from an earlier look, to spare the search.
    """

    def __init__(
        self, films: pd.DataFrame, train: pd.DataFrame, n_users: int, scenes: bool = True,
        found: np.ndarray | None = None,
    ):  # fmt: skip
        if missing := [column for column in STATED if column not in films]:
            raise ValueError(f"the films lack {missing}; only the embedded world's are known to the form of the world")
        self.tastes, self.n_users = _tastes(scenes), n_users
        self._like, self._not = np.log(self.tastes.likes), np.log1p(-self.tastes.likes)
        genre, mood = films["genre"].map(GENRES.index).to_numpy(), films["mood"].map(MOODS.index).to_numpy()
        praised = (films["verdict"] == "praised").to_numpy()
        self._kind = ((genre * len(MOODS) + mood) * 2 + praised) * N_SCENES  # of a film, with scene 0
        self._user, self._film = train["user_id"].to_numpy() - 1, train["item_id"].to_numpy() - 1
        self._liked = train["label"].to_numpy(dtype=np.float32)
        self._rated = set(zip(train["user_id"], train["item_id"], strict=True))
        even = np.full((len(films), N_SCENES), 1 / N_SCENES)
        self.scenes = even if not scenes else found if found is not None else self._find_scenes()

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows (``user_id, item_id, history``) with P(like) as ``score``.

        Likes of the history that are not of train count as what they are, likes alone: how much more probable a taste
        makes it that this film, of all that are shown, was liked. Rows that have ``disliked`` too say all that was
        rated so far: there a like is one of two answers, as in train.
        """
        seen, shown = self._evidence(self.scenes), self._shown()
        score = np.empty(len(frame))
        for start in range(0, len(frame), _ROWS):
            part = frame.iloc[start : start + _ROWS]
            told, many = self._told(part, "history")
            weight = seen[part["user_id"].to_numpy() - 1] + told @ self._like.T
            weight += self._told(part, "disliked")[0] @ self._not.T if "disliked" in part else -many[:, None] * shown
            likes = _posterior(weight + self.tastes.prior) @ self.tastes.likes  # [rows, kinds]
            film = part["item_id"].to_numpy() - 1
            kinds = self._kind[film][:, None] + np.arange(N_SCENES)
            by_scene = np.take_along_axis(likes, kinds, axis=1)
            score[start : start + _ROWS] = (by_scene * self.scenes[film]).sum(1)
        return frame.assign(score=score)

    def _find_scenes(self) -> np.ndarray:
        """P(scene) of every film [n, 4] by mean-field expectation maximisation; even where train holds no row. Scenes
        are found up to their names, which nothing depends on."""
        rng = np.random.default_rng(0)
        scenes = rng.dirichlet(np.full(N_SCENES, 5.0), len(self._kind))
        scenes[~np.isin(np.arange(len(self._kind)), self._film)] = 1 / N_SCENES
        for _ in range(_MOST):
            tastes = _posterior(self._evidence(scenes) + self.tastes.prior)
            like, unlike = tastes @ self._like, tastes @ self._not  # [users, kinds], means over tastes
            rows = (self._user[:, None], self._kind[self._film][:, None] + np.arange(N_SCENES))
            told = self._liked[:, None] * like[rows] + (1 - self._liked[:, None]) * unlike[rows]
            weight = np.zeros_like(scenes)
            np.add.at(weight, self._film, told)
            before, scenes = scenes, _posterior(weight)
            if np.abs(scenes - before).max() < _SETTLED:
                break
        return scenes

    def _evidence(self, scenes: np.ndarray) -> np.ndarray:
        """Log-likelihood of every user's train rows under every taste [users, T]."""
        like, unlike = (
            self._counts(self.n_users, self._user, self._film, weight[:, None] * scenes[self._film])
            for weight in (self._liked, 1 - self._liked)
        )
        return like @ self._like.T + unlike @ self._not.T

    def _counts(self, rows: int, row: np.ndarray, film: np.ndarray, share: np.ndarray) -> np.ndarray:
        """How often each row's films are of each kind [rows, kinds], a film's weight being shared out over its scenes,
        ``share`` [n, 4]."""
        out = np.zeros((rows, self.tastes.likes.shape[1]), dtype=np.float32)
        np.add.at(out, (row[:, None], self._kind[film][:, None] + np.arange(N_SCENES)), share)
        return out

    def _told(self, frame: pd.DataFrame, column: str) -> tuple[np.ndarray, np.ndarray]:
        """Kinds of the films in each row's column that are none of train's [rows, kinds], and how many [rows]."""
        pairs = [
            (row, film - 1)
            for row, (user, films) in enumerate(zip(frame["user_id"], frame[column], strict=True))
            for film in films
            if (user, film) not in self._rated
        ]
        row, film = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        told = self._counts(len(frame), row, film, self.scenes[film])
        return told, np.bincount(row, minlength=len(frame)).astype(np.float32)

    def _shown(self) -> np.ndarray:
        """Logarithm of each taste's share of likes among what is shown [T]; films as often as train shows them."""
        often = np.bincount(self._film, minlength=len(self._kind)) + 1.0
        kinds = self._kind[:, None] + np.arange(N_SCENES)
        share = np.zeros(self.tastes.likes.shape[1])
        np.add.at(share, kinds, often[:, None] * self.scenes)
        return np.log(self.tastes.likes @ (share / share.sum()))


def _posterior(weight: np.ndarray) -> np.ndarray:
    """Rows of log-weights as probabilities that add up to 1."""
    out = np.exp(weight - weight.max(axis=1, keepdims=True))
    return (out / out.sum(axis=1, keepdims=True)).astype(np.float32)
