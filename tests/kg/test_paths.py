"""Walks over graphs: real, biased as asked, and the same for one seed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from cinemas_by_rule import cinema

from sellarec_lab import kg
from sellarec_lab.config import PathConfig


def both_ways(graph: kg.Graph) -> np.ndarray:
    return graph.with_inverses(graph.train)


def test_every_step_of_a_walk_is_a_triple() -> None:
    graph = cinema("cinema", 0, 0.6, 0.5)
    triples = both_ways(graph)
    walker = kg.Walker(triples, np.zeros(graph.n_entities, dtype=bool), PathConfig())
    paths = walker.walk(triples, 4, np.random.default_rng(0))
    known = set(map(tuple, triples.tolist()))
    assert paths.shape == (len(triples), 9)
    assert (paths[:, :3] == triples).all()
    assert all(tuple(path[i : i + 3]) in known for path in paths.tolist() for i in range(0, 7, 2))


def test_one_seed_gives_one_walk() -> None:
    graph = cinema("cinema", 0, 0.6, 0.5)
    walker = kg.Walker(both_ways(graph), np.zeros(graph.n_entities, dtype=bool), PathConfig())
    first, second, other = (walker.walk(both_ways(graph), 3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first == second).all() and (first != other).any()


def test_the_bias_is_what_it_says() -> None:
    """From a, over b, on to: a itself (near), c (near, since a leads to c), d (far), e (far and shared)."""
    names = {name: number for number, name in enumerate("abcde")}
    edges = [("a", "b"), ("b", "a"), ("b", "c"), ("b", "d"), ("b", "e"), ("a", "c")]
    triples = np.array([(names[h], 0, names[t]) for h, t in edges])
    shared = np.array([False, False, False, False, True])
    walker = kg.Walker(triples, shared, PathConfig(depth=0.8, crossing=0.6))
    start = np.tile([names["a"], 0, names["b"]], (40_000, 1))
    drawn = Counter(walker.walk(start, 2, np.random.default_rng(0))[:, -1].tolist())
    weights = {"a": 0.2 * 0.4, "c": 0.2 * 0.4, "d": 0.8 * 0.4, "e": 0.8 * 0.6}
    for name, weight in weights.items():
        assert drawn[names[name]] / 40_000 == pytest.approx(weight / sum(weights.values()), abs=0.01)


def test_a_dead_end_goes_back() -> None:
    triples = np.array([(0, 0, 1), (1, 1, 0)])
    walker = kg.Walker(triples, np.zeros(2, dtype=bool), PathConfig(depth=0.99))
    assert walker.walk(triples, 3, np.random.default_rng(0)).tolist() == [[0, 0, 1, 1, 0, 0, 1], [1, 1, 0, 0, 1, 1, 0]]


@pytest.mark.parametrize("wrong", [{"depth": 1.0}, {"crossing": 0.0}, {"hops": 0}, {"encoder": "x"}, {"dim": 6}])
def test_settings_that_can_not_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PathConfig(**wrong)
