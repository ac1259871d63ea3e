"""Relational paths e0, r0, e1, r1, e2 ... over one graph or several, drawn as a biased walk.

The bias is RSN's (Guo, Sun & Hu, ICML 2019, arXiv 1905.04914): a step rather leads away from where the walk comes from
(``depth``), and rather to entities that several graphs share (``crossing``).
"""

import numpy as np

from sellarec_lab.config import PathConfig


class Walker:
    """Draws walks, all rows at once.

    Args:
        triples: [n, 3], head, relation, tail; inverse triples included, so every walk can go on.
        shared: bool [n_entities], the entities that several graphs share.
        settings: ``depth``, ``crossing``.
    """

    def __init__(self, triples: np.ndarray, shared: np.ndarray, settings: PathConfig):
        ordered = triples[np.argsort(triples[:, 0], kind="stable")]
        self.relation, self.tail = ordered[:, 1], ordered[:, 2]
        self.start = np.searchsorted(ordered[:, 0], np.arange(len(shared) + 1))  # [n_entities + 1]
        self.edges = np.unique(ordered[:, 0] * len(shared) + ordered[:, 2])
        self.shared, self.settings = shared, settings

    def walk(self, triples: np.ndarray, hops: int, rng: np.random.Generator) -> np.ndarray:
        """Paths [m, 2 · hops + 1] that begin with these triples [m, 3]."""
        path = triples
        for _ in range(hops - 1):
            path = np.concatenate([path, self._step(path[:, -3], path[:, -1], rng)], axis=1)
        return path

    def _step(self, before: np.ndarray, here: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One more relation and entity [m, 2]; drawn evenly, and kept as often as the bias says (rejection sampling:
        what remains follows the bias exactly)."""
        taken, waiting = np.empty(len(here), dtype=np.int64), np.arange(len(here))
        first, ways = self.start[here], self.start[here + 1] - self.start[here]
        while len(waiting):
            drawn = first[waiting] + rng.integers(ways[waiting])
            kept = rng.random(len(waiting)) < self._chance(before[waiting], self.tail[drawn])
            kept |= ways[waiting] == 1
            taken[waiting[kept]] = drawn[kept]
            waiting = waiting[~kept]
        return np.stack([self.relation[taken], self.tail[taken]], axis=1)

    def _chance(self, before: np.ndarray, tail: np.ndarray) -> np.ndarray:
        """How often a step to ``tail`` is kept, 1 for the most welcome ones."""
        depth, crossing = self.settings.depth, self.settings.crossing
        near = (before == tail) | self.linked(before, tail)
        weight = np.where(near, 1 - depth, depth) * np.where(self.shared[tail], crossing, 1 - crossing)
        return weight / (max(depth, 1 - depth) * max(crossing, 1 - crossing))

    def linked(self, heads: np.ndarray, tails: np.ndarray) -> np.ndarray:
        """Whether some relation leads from head to tail, bool [m]."""
        wanted = heads * len(self.shared) + tails
        place = np.searchsorted(self.edges, wanted).clip(max=len(self.edges) - 1)
        return self.edges[place] == wanted
