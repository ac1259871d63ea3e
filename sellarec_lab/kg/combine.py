"""Several graphs put together as one, under PyKEEN's names for a pair of graphs.

"collapse": entities that are linked share a row (the paper's parameter sharing, arXiv 2306.02679). "swap": rows stay
apart, and every triple of a linked entity stands a second time with its counterpart. "extra relation": rows stay apart,
and a relation "same as" leads from one to the other. "disjoint": nothing joins them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sellarec_lab.config import COMBINATIONS
from sellarec_lab.kg.graph import Graphs


@dataclass(frozen=True, eq=False)
class Combined:
    """One graph made of several.

    Args:
        names: of the graphs.
        triples: int64 [n, 3], the train triples of all, and those that the combination adds.
        entities: name -> row of each of its entities [n_entities of it].
        relations: name -> row of each of its relations.
        n_entities, n_relations: rows in all.
        shared: bool [n_entities], rows that stand for entities of several graphs.
        linked: int64 [n, 2], pairs of different rows that a link joins; none where they share one.
    """

    names: tuple[str, ...]
    triples: np.ndarray
    entities: Mapping[str, np.ndarray]
    relations: Mapping[str, np.ndarray]
    n_entities: int
    n_relations: int
    shared: np.ndarray
    linked: np.ndarray

    def in_rows(self, name: str, triples: np.ndarray) -> np.ndarray:
        """Triples of one graph in the rows of all."""
        head, relation, tail = triples.T
        known = self.entities[name]
        return np.stack([known[head], self.relations[name][relation], known[tail]], axis=1)


def combine(graphs: Graphs, names: Sequence[str], how: str = "collapse") -> Combined:
    """Put the graphs of these names together.

    Raises:
        ValueError: another way than the four.
    """
    if how not in COMBINATIONS:
        raise ValueError(f"how is one of {', '.join(COMBINATIONS)}, got {how!r}")
    entities, pairs, total = _side_by_side(graphs, names)
    if how == "collapse":
        entities, pairs, total = _collapsed(entities, pairs, total)
    relations, many = _relations(graphs, names)
    shared = np.zeros(total, dtype=bool)
    shared[pairs] = True
    apart = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    joined = Combined(tuple(names), np.empty((0, 3), dtype=np.int64), entities, relations, total, many, shared, apart)
    own = np.concatenate([joined.in_rows(name, graphs[name].train) for name in names])
    if how == "swap":
        own = np.concatenate([own, swapped(own, apart)])
    if how == "extra relation":
        same = np.insert(apart, 1, many, axis=1)  # a relation of its own, the last
        own, joined = np.concatenate([own, same]), replace(joined, n_relations=many + 1)
    return replace(joined, triples=np.unique(own, axis=0))


def swapped(triples: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Triples [n, 3] in which the head, or the tail, was replaced by what a pair [m, 2] links it to, both ways."""
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    found = [triples[:0]]
    for column in (0, 2):
        first, last = (np.searchsorted(both[:, 0], triples[:, column], side) for side in ("left", "right"))
        copies = np.repeat(triples, last - first, axis=0)
        place = np.repeat(first - np.cumsum(last - first) + (last - first), last - first) + np.arange(len(copies))
        copies[:, column] = both[place, 1]
        found.append(copies)
    return np.concatenate(found)


def some_links(graphs: Graphs, share: float, noise: float, seed: int) -> Graphs:
    """The graphs with this share of their links, and this share of those made wrong: their second entities are
    shuffled."""
    rng, links = np.random.default_rng([seed, 0]), {}
    for pair, table in graphs.links.items():
        kept = table[np.sort(rng.permutation(len(table))[: round(share * len(table))])].copy()
        wrong = rng.permutation(len(kept))[: round(noise * len(kept))]
        kept[wrong, 1] = np.roll(kept[wrong, 1], 1)
        links[pair] = kept
    return replace(graphs, links=links)


def _side_by_side(graphs: Graphs, names: Sequence[str]) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Rows of their own for all entities, the pairs of rows that links join [n, 2], and how many rows there are."""
    rows, total = {}, 0
    for name in names:
        rows[name] = total + np.arange(graphs[name].n_entities)
        total += graphs[name].n_entities
    joined = [(a, b) for a, b in graphs.links if a in rows and b in rows]
    pairs = [np.stack([rows[a][graphs.links[a, b][:, 0]], rows[b][graphs.links[a, b][:, 1]]], 1) for a, b in joined]
    return rows, np.concatenate([np.empty((0, 2), dtype=np.int64), *pairs]), total


def _collapsed(
    rows: Mapping[str, np.ndarray], pairs: np.ndarray, total: int
) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """The same, with one row for all that links join, directly or over a third."""
    joined = sparse.coo_array((np.ones(len(pairs), dtype=bool), tuple(pairs.T)), shape=(total, total))
    many, group = sparse.csgraph.connected_components(joined, directed=False)
    group = group.astype(np.int64)
    return {name: group[own] for name, own in rows.items()}, group[pairs], many


def _relations(graphs: Graphs, names: Sequence[str]) -> tuple[dict[str, np.ndarray], int]:
    """Rows of relations: one a name where equal names mean the same in all graphs, else one a graph and name."""
    known: dict[tuple[str, str], int] = {}
    rows = {}
    for name in names:
        place = "" if graphs.shared_relations else name
        rows[name] = np.array([known.setdefault((place, word), len(known)) for word in graphs[name].relations])
    return rows, len(known)
