"""Untrained models of triples, planted graphs whose regularities are known, and PyKEEN to hold them against."""

from __future__ import annotations

import tempfile
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from sellarec_lab import kg
from sellarec_lab.config import TripleConfig
from sellarec_lab.kg import TripleModel

WAYS = [("transe", 1), ("transe", 2), ("distmult", 2), ("rotate", 1), ("rotate", 2), ("conve", 2)]
each = pytest.mark.parametrize(("name", "norm"), WAYS)


def small(name: str, norm: int = 2, **changes: object) -> TripleConfig:
    return TripleConfig(decoder=name, norm=norm, **{"dim": 12, "dropout": 0.0} | changes)


def untrained(settings: TripleConfig, n_entities: int = 50, n_relations: int = 3) -> TripleModel:
    torch.manual_seed(0)
    model = TripleModel(n_entities, n_relations, settings).eval()
    if model.weight is not None:
        nn.init.normal_(model.weight)
    return model


def kinds() -> kg.Graph:
    """40 entities of 5 kinds; each relation leads a kind to a hub of its own, so two facts tell all the others."""
    return planted([(i, r, 40 + 5 * r + i % 5) for i in range(40) for r in range(6)])


def ring() -> kg.Graph:
    """30 entities on a ring, and relations that go some places on."""
    return planted([(i, r, (i + step) % 30) for i in range(30) for r, step in enumerate((1, 2, 3, 5))])


def grid() -> kg.Graph:
    """7 x 7 places, and relations that go right, down, and both."""
    steps = ((0, 1), (1, 0), (1, 1), (2, 0), (0, 2))
    places = [(x, y, r, x + dx, y + dy) for x in range(7) for y in range(7) for r, (dx, dy) in enumerate(steps)]
    return planted([(7 * x + y, r, 7 * u + v) for x, y, r, u, v in places if max(u, v) < 7])


def mirrors() -> kg.Graph:
    """32 entities, and relations that flip some of an entity's five bits: each is its own inverse."""
    return planted([(i, r, i ^ mask) for i in range(32) for r, mask in enumerate((1, 2, 4, 8, 16, 7, 25))])


def planted(rows: list[tuple[int, int, int]]) -> kg.Graph:
    """A graph of the triples; a tenth is held out for valid, another for test."""
    table = np.random.default_rng(0).permutation(np.array(rows))
    entities, relations = (tuple(map(str, range(1 + table[:, place].max()))) for place in ([0, 2], 1))
    cut = len(table) // 10
    return kg.Graph("planted", entities, relations, table[2 * cut :], table[:cut], table[cut : 2 * cut])


def pykeen(module: str) -> ModuleType:
    """A module of PyKEEN's. On import it makes folders at home, and lists all optimisers by name, which fails where
    bitsandbytes has brought a second Adam."""
    resolver = pytest.importorskip("class_resolver").ClassResolver
    register = resolver.register
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("PYSTOW_HOME", folder)
        patch.setattr(resolver, "register", lambda *args, **kw: register(*args, **kw | {"raise_on_conflict": False}))
        return pytest.importorskip(f"pykeen.{module}")
