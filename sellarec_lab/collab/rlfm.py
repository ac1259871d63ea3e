"""RLFM: latent factors with priors that features tell and that are learned (Agarwal and Chen, KDD 2009).

logit(u, i) = w_u . x_i with x_i = (1, f_i, v_i): an item's features, which are given, and factors v_i, which ratings
tell. Users have w_u ~ N(mean, spread), both learned, items v_i ~ N(0, 1 / strength). So an item without ratings has
what its features say, a user without ratings the mean user's taste, and both move away from that as far as ratings
warrant.

Departs from the paper: features of items alone, and they enter with a weight of each user, not through a regression of
the factors; modes with Laplace's covariance instead of Monte-Carlo samples. Whoever is scored is judged anew from their
train rows and the likes that the row's history shows beyond them; such a like, of which nobody knows what was refused
beside it, is one item preferred to the mean of what train shows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm.auto import tqdm

from sellarec_lab import runtime
from sellarec_lab.config import RLFMConfig
from sellarec_lab.data import Interactions, Ranker, asked, both_classes

_NEWTON = 6  # steps to a mode; logistic losses with a normal prior are there after four or five
_AT_ONCE = 256  # users or items whose rows are padded to one length
_FLAT = 1e-4  # the least curvature of a row: at P = 0 or 1 nothing is left of it


class Evidence(NamedTuple):
    """What speaks for or against somebody's weights, padded: ``x`` [B, R, K], ``label`` and ``weight`` [B, R] (0: no
    row), and ``offset`` [B, R], what is known of the logit already."""

    x: torch.Tensor
    label: torch.Tensor
    weight: torch.Tensor
    offset: torch.Tensor | float = 0.0


def posterior(given: Evidence, mean: torch.Tensor, precision: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logistic regressions with a common normal prior, many at a time: modes [B, K] and Laplace's covariances
    [B, K, K]; ``mean`` [K] and ``precision`` [K, K] are the prior's."""
    w = mean.expand(len(given.x), -1)
    for _ in range(_NEWTON):
        p = torch.sigmoid((given.x @ w[:, :, None]).squeeze(-1) + given.offset)
        curved = given.weight * (p * (1 - p)).clamp(min=_FLAT)
        hessian = given.x.transpose(1, 2) @ (curved[:, :, None] * given.x) + precision
        slope = torch.einsum("brk,br->bk", given.x, given.weight * (given.label - p)) - (w - mean) @ precision
        w = w + torch.linalg.solve(hessian, slope)
    return w, torch.linalg.inv(hessian)


class Rows:
    """Rows by whose they are: ``own`` [n] ids from 0 to ``many`` - 1, ``other`` [n] ids, ``label`` [n]."""

    def __init__(self, own: torch.Tensor, other: torch.Tensor, label: torch.Tensor, many: int):
        order = own.argsort(stable=True)
        self.other, self.label = other[order], label[order]
        self.count = own.bincount(minlength=many)
        self._first = self.count.cumsum(0) - self.count

    def of(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The rows of ids [B], padded: other ids, labels, and 1 where there is a row, each [B, R]."""
        place = torch.arange(int(self.count[ids].max()))
        held = (place < self.count[ids][:, None]).float()
        at = (self._first[ids][:, None] + place) * held.long()
        return (self.other[at], self.label[at], held) if len(self.other) else (at, held, held)

    def parts(self) -> Iterator[torch.Tensor]:
        """All ids that have rows, those with equally many together, some at a time."""
        ids = self.count.argsort(stable=True)
        return iter(ids[self.count[ids] > 0].split(_AT_ONCE))


class RLFM(nn.Module, Ranker):
    """What `train_rlfm` learns: ``items`` [n_items + 1, K], the x_i, and the users' prior, ``mean`` [K] and ``spread``
    [K, K]."""

    def __init__(self, data: Interactions, items: torch.Tensor, mean: torch.Tensor, spread: torch.Tensor):
        super().__init__()
        self.data = data
        for name, part in (("items", items), ("mean", mean), ("spread", spread)):
            self.register_buffer(name, part)

    @functools.cached_property
    def rows(self) -> Rows:
        """Train by user."""
        return Rows(*_columns(self.data.train), self.data.n_users + 1)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows (``user_id, item_id, history``) with a float ``score`` (a logit).

        Raises:
            DataError: a column is missing, or holds what the data does not know; names the row.
        """
        if frame.empty:
            return frame.assign(score=0.0)
        frame = asked.rows(self.profiles, frame)
        people = pd.DataFrame({"user": frame["user_id"], "history": frame["history"].map(tuple)})
        who = people.groupby(["user", "history"], sort=False).ngroup().to_numpy(copy=True)  # each is judged once
        weights = self._judged(people.iloc[np.unique(who, return_index=True)[1]])
        x = self.items[torch.tensor(frame["item_id"].to_numpy())]
        return frame.assign(score=(weights[torch.from_numpy(who)] * x).sum(-1).double().numpy())

    def _judged(self, people: pd.DataFrame) -> torch.Tensor:
        """Weights [n, K] of users (``user``) with the histories that are shown of them (``history``)."""
        users, more = torch.tensor(people["user"].to_numpy()), self._beyond_train(people)
        precision, shown = torch.linalg.inv(self.spread), self.items[self.rows.other].mean(0)
        out = torch.empty(len(people), len(self.mean))
        for part in torch.arange(len(people)).split(_AT_ONCE):
            (item, label, held), (liked, one, told) = self.rows.of(users[part]), more.of(part)
            x = torch.cat([self.items[item], self.items[liked] - shown], dim=1)
            given = Evidence(x, torch.cat([label, one], dim=1), torch.cat([held, told], dim=1))
            out[part] = posterior(given, self.mean, precision)[0]
        return out

    def _beyond_train(self, people: pd.DataFrame) -> Rows:
        """The likes of the histories that are not among the user's rows of train, by place in ``people``."""
        pairs = people.assign(place=range(len(people))).explode("history").dropna(subset="history")
        train = self.data.train
        known = pd.MultiIndex.from_arrays([train["user_id"], train["item_id"]])
        new = pairs[~pd.MultiIndex.from_arrays([pairs["user"], pairs["history"].astype(int)]).isin(known)]
        place, item = (torch.tensor(new[column].to_numpy().astype(np.int64)) for column in ("place", "history"))
        return Rows(place, item, torch.ones(len(new)), len(people))


def train_rlfm(settings: RLFMConfig, data: Interactions, features: torch.Tensor, seed: int = 0) -> RLFM:
    """Learn from ``data.train``, by expectation maximisation; valid and test are not looked at.

    Args:
        features: of items [n_items + 1, d]; their ``settings.features`` principal components are read.
        seed: of the first factors.

    Raises:
        DataError: train or valid holds likes alone, or none.
        ValueError: features of other items than the data's, or not finite.
    """
    both_classes(data)
    if len(features) != data.n_items + 1 or not torch.isfinite(features).all():
        wanted = f"a row of finite numbers for each of {data.n_items} items, and row 0"
        raise ValueError(f"features: expected {wanted}; got {tuple(features.shape)}; distil them anew")
    user, item, label = _columns(data.train)
    by_item = Rows(item, user, label, data.n_items + 1)
    model = _start(settings, data, features, by_item.count > 0, seed)
    users = _learn_users(model)
    for _ in tqdm(range(settings.rounds), "RLFM", leave=False, delay=2):
        _learn_items(model, users, by_item, settings)
        users = _learn_users(model)
    return model


def components(features: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal components of the items' rows [n_items + 1, c], each of variance 1 (row 0: zeros), and the share of
    each one's variance of the first's [c]; there are no more than the features have."""
    centred = (features[1:] - features[1:].mean(0)).float()
    left, size, _ = torch.linalg.svd(centred, full_matrices=False)
    many = min(most, int((size > 1e-5 * size.max()).sum()))
    held = left[:, :many] * len(left) ** 0.5
    return torch.cat([held.new_zeros(1, many), held]), (size[:many] / size.max()) ** 2


def _start(settings: RLFMConfig, data: Interactions, features: torch.Tensor, met: torch.Tensor, seed: int) -> RLFM:
    """Random factors for the items that train has ``met``, and a prior as wide as the features' components."""
    known, share = components(features, settings.features)
    with runtime.seeded(seed, "RLFM"):
        free = 0.5 * torch.randn(len(known), settings.dim) * met[:, None]
    spread = torch.cat([torch.tensor([0.5]), 0.5 * share, torch.ones(settings.dim)])
    items = torch.cat([torch.ones(len(known), 1), known, free], dim=1)
    return RLFM(data, items, torch.zeros(len(spread)), spread.diag())


def _learn_users(model: RLFM) -> torch.Tensor:
    """The weights of users who have rows [n_users + 1, K], and with them the prior."""
    users, precision = torch.zeros(model.data.n_users + 1, len(model.mean)), torch.linalg.inv(model.spread)
    within, met = torch.zeros_like(model.spread), model.rows.count > 0
    for part in model.rows.parts():
        item, label, held = model.rows.of(part)
        users[part], covariance = posterior(Evidence(model.items[item], label, held), model.mean, precision)
        within += covariance.sum(0)
    model.mean[:] = users[met].mean(0)
    apart = users[met] - model.mean
    model.spread[:] = (within + apart.T @ apart) / len(apart)
    return users


def _learn_items(model: RLFM, users: torch.Tensor, by_item: Rows, settings: RLFMConfig) -> None:
    """The free factors of the items that train has met, given the users."""
    known = len(model.mean) - settings.dim
    if settings.dim == 0:
        return
    mean, precision = torch.zeros(settings.dim), settings.strength * torch.eye(settings.dim)
    for part in by_item.parts():
        user, label, held = by_item.of(part)
        w = users[user]
        told = (w[..., :known] @ model.items[part, :known, None]).squeeze(-1)
        model.items[part, known:] = posterior(Evidence(w[..., known:], label, held, told), mean, precision)[0]


def _columns(rows: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """User ids, item ids and labels as floats, each [n]."""
    user, item, label = (torch.tensor(rows[column].to_numpy()) for column in ("user_id", "item_id", "label"))
    return user, item, label.float()
