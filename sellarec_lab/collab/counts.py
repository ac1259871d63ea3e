"""Baselines that count and learn nothing. They return the frame with a float ``score``; all but one read ``train``
alone."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from sellarec_lab.data import Interactions, Profiles, Ranker

STRENGTH = 5.0  # pseudo-ratings at the global mean; best on ML-1M's valid split among 0.5, 1, 2, 5, 10


def item_mean_scores(train: pd.DataFrame, frame: pd.DataFrame, strength: float = STRENGTH) -> pd.DataFrame:
    """Logit of the item's mean label in train, pulled towards the global mean by ``strength`` pseudo-ratings.

    An unseen item counts as the global mean.
    """
    return frame.assign(score=_mean_logits(train, frame, "item_id", strength))


def user_mean_scores(train: pd.DataFrame, frame: pd.DataFrame, strength: float = STRENGTH) -> pd.DataFrame:
    """Logit of the user's mean label in train, smoothed as in `item_mean_scores`.

    It can't order the items of one user: its UAUC is 0.5.
    """
    return frame.assign(score=_mean_logits(train, frame, "user_id", strength))


def mean_scores(train: pd.DataFrame, frame: pd.DataFrame, strength: float = STRENGTH) -> pd.DataFrame:
    """The anchor that every model is read against: smoothed item mean and user mean, as a sum of logits.

    Two numbers a row, from ``train`` alone: mean label of the item and of the user, each pulled towards the global
    mean by ``strength`` pseudo-ratings. An unseen user or item counts as the global mean.
    """
    items, users = (_mean_logits(train, frame, column, strength) for column in ("item_id", "user_id"))
    return frame.assign(score=items + users)


def mean_so_far_scores(train: pd.DataFrame, frame: pd.DataFrame, strength: float = STRENGTH) -> pd.DataFrame:
    """Item mean in train and the user's share of likes before each row, as a sum of logits: what a model is measured
    against that is told what users liked and disliked (``history`` and ``disliked``), also after train."""
    overall = train["label"].mean()
    liked, disliked = (frame[column].map(len).to_numpy() for column in ("history", "disliked"))
    share = (liked + strength * overall) / (liked + disliked + strength)
    return frame.assign(score=_mean_logits(train, frame, "item_id", strength) + np.log(share / (1 - share)))


def popularity_scores(train: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Number of train rows of the item, liked or not; an unseen item has 0."""
    counts = train["item_id"].value_counts()
    return frame.assign(score=frame["item_id"].map(counts).fillna(0).astype(float))


def _mean_logits(train: pd.DataFrame, frame: pd.DataFrame, column: str, strength: float) -> np.ndarray:
    overall = train["label"].mean()
    groups = train.groupby(column)["label"].agg(["sum", "count"])
    mean = (groups["sum"] + strength * overall) / (groups["count"] + strength)
    p = frame[column].map(mean).fillna(overall).clip(1e-6, 1 - 1e-6).to_numpy()
    return np.log(p / (1 - p))


class Counts(Ranker):
    """A baseline as a model: ``scores(train, frame)`` is one of the functions above."""

    def __init__(self, scores: Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame], data: Interactions):
        self.profiles, self._scores, self._train = Profiles.of(data), scores, data.train

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with a float ``score``."""
        return self._scores(self._train, frame)


class MeanSoFar(Counts):
    """`mean_so_far_scores` as a model."""

    def __init__(self, data: Interactions):
        super().__init__(mean_so_far_scores, data)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with a float ``score``."""
        return frame.assign(score=super().predict(self.profiles.with_disliked(frame))["score"])
