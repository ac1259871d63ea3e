"""`Graph` and `Graphs`: the forms in which the room hands on what is known.

Triples are rows of (head, relation, tail), all ids from 0 and without padding: they never leave this room. What a
recommender gets is a tensor of vectors by item.
"""

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from sellarec_lab.data import SPLITS
from sellarec_lab.data.errors import problem


@dataclass(frozen=True, eq=False, repr=False)
class Graph:
    """Facts of one source, split for link prediction.

    Args:
        name: what the graph is called in tables and messages.
        entities: name of each, by id; published names are not always unique.
        relations: name of each, by id; unique.
        train, valid, test: int64 [n, 3]: head, relation, tail. Only train may not be empty.
        items: int64, the entity of each item, indexed by the shop's own id (text, unique).

    Raises:
        DataError: a shape, dtype or id is not as described.
    """

    name: str
    entities: tuple[str, ...]
    relations: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray
    items: pd.Series | None = None

    def __post_init__(self) -> None:
        check_names(f"graph {self.name!r}, entities", self.entities, repeats=True)
        check_names(f"graph {self.name!r}, relations", self.relations)
        roles = {"head": self.n_entities, "relation": self.n_relations, "tail": self.n_entities}
        for part in SPLITS:
            _check_ids(f"graph {self.name!r}, {part}", self.split(part), roles)
        if not len(self.train):
            raise problem(f"graph {self.name!r}, train", "at least one triple", "none", "Check the source.")
        if self.items is not None:
            _check_items(f"graph {self.name!r}, items", self.items, self.n_entities)

    @property
    def n_entities(self) -> int:
        """Number of entities, those without a triple counted."""
        return len(self.entities)

    @property
    def n_relations(self) -> int:
        """Number of relations, those without a triple counted and inverses not."""
        return len(self.relations)

    @property
    def triples(self) -> np.ndarray:
        """All splits, train first. int64 [n, 3]"""
        return np.concatenate([self.split(part) for part in SPLITS])

    def split(self, name: str) -> np.ndarray:
        """The triples called `name`. Raises ValueError unless it is train, valid or test."""
        if name not in SPLITS:
            raise ValueError(f"unknown split {name!r}; choose one of {', '.join(SPLITS)}")
        return getattr(self, name)

    def with_inverses(self, triples: np.ndarray) -> np.ndarray:
        """The triples [n, 3] and then each turned round: (tail, relation + n_relations, head). int64 [2n, 3]"""
        head, relation, tail = triples.T
        return np.concatenate([triples, np.stack([tail, relation + self.n_relations, head], axis=1)])

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over everything but the name; equal content gives equal hex on any machine.
        Taken once: arrays are not meant to change in place."""
        return _digest(self._content())

    def _content(self) -> Iterator[bytes]:
        yield from (json.dumps(names).encode() for names in (self.entities, self.relations))
        yield from (_bytes(self.split(part)) for part in SPLITS)
        if self.items is not None:
            yield json.dumps(self.items.index.tolist()).encode()
            yield _bytes(self.items.to_numpy())

    def __repr__(self) -> str:
        rows = ", ".join(f"{part} {len(self.split(part)):,}" for part in SPLITS)
        known = "" if self.items is None else f", {len(self.items):,} items"
        return f"Graph({self.name!r}: {self.n_entities:,} entities{known}, {self.n_relations:,} relations; {rows})"


@dataclass(frozen=True, eq=False, repr=False)
class Graphs:
    """Several graphs, and which of their entities are the same thing.

    Args:
        graphs: by name.
        links: by the names of two graphs, in one order only: int64 [n, 2], entity of the first, entity of the second.
        shared_relations: whether a relation's name means the same in every graph.
        target: the graph that questions are about; the first one if none is named.

    Raises:
        DataError: a graph under another's name; links between unknown graphs, in both directions, or to no entity.
        ValueError: no graph of the target's name.
    """

    graphs: Mapping[str, Graph]
    links: Mapping[tuple[str, str], np.ndarray]
    shared_relations: bool
    target: str = ""

    def __post_init__(self) -> None:
        if not self.graphs:
            raise problem("graphs", "at least one", "none", "Add one.")
        for name, graph in self.graphs.items():
            if name != graph.name:
                raise problem(f"graphs, key {name!r}", "the graph's own name", repr(graph.name), "Rename one of them.")
        object.__setattr__(self, "target", self[self.target or next(iter(self.graphs))].name)
        for pair, rows in self.links.items():
            self._check_pair(pair)
            ends = {f"entity of {name}": self.graphs[name].n_entities for name in pair}
            _check_ids(f"links {'-'.join(pair)}", rows, ends)

    def __getitem__(self, name: str) -> Graph:
        """The graph called so. Raises ValueError for an unknown name."""
        if name not in self.graphs:
            raise ValueError(f"unknown graph {name!r}; choose one of {', '.join(self.graphs)}")
        return self.graphs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.graphs)

    def __len__(self) -> int:
        return len(self.graphs)

    def about(self, target: str) -> "Graphs":
        """The same graphs, with questions about another of them. Raises ValueError for an unknown name."""
        return replace(self, target=target)

    def others(self, name: str) -> list[str]:
        """The names of all graphs but this one."""
        return [other for other in self.graphs if other != self[name].name]

    def linked(self, first: str, second: str) -> np.ndarray:
        """Entities of two graphs that are the same thing, in this order, however stored. int64 [n, 2], n may be 0."""
        if self[first] is self[second]:
            raise ValueError(f"links: expected two graphs, found {first!r} twice")
        if (second, first) in self.links:
            return self.links[second, first][:, ::-1]
        return self.links.get((first, second), np.empty((0, 2), dtype=np.int64))

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the graphs, their names and the links; neither order nor direction of storage matters, nor
        which one is the target."""
        return _digest(self._content())

    def _content(self) -> Iterator[bytes]:
        yield json.dumps([sorted(self.graphs), self.shared_relations]).encode()
        yield from (self.graphs[name].fingerprint.encode() for name in sorted(self.graphs))
        yield from (_bytes(self.linked(*pair)) for pair in combinations(sorted(self.graphs), 2))

    def _check_pair(self, pair: tuple[str, str]) -> None:
        where, do = f"links {pair!r}", f"The graphs are {', '.join(self.graphs)}."
        if len(set(pair)) != 2 or not set(pair) <= set(self.graphs):
            raise problem(where, "the names of two of the graphs", repr(pair), do)
        if pair[::-1] in self.links:
            raise problem(where, "one direction", "both", "Keep one; linked() turns it round.")

    def __repr__(self) -> str:
        number = sum(map(len, self.links.values()))
        return f"Graphs({', '.join(self.graphs)}; {number:,} links)"


def check_names(where: str, names: Sequence[str], repeats: bool = False) -> None:
    """Raise for the first name that is no text or empty or, unless `repeats` are allowed, stood there before."""
    seen = set()
    for row, name in enumerate(names):
        if not isinstance(name, str) or not name or (name in seen and not repeats):
            raise problem(
                f"{where}, row {row}", "text" if repeats else "text, each once", repr(name), "Rename or drop it."
            )
        seen.add(name)


def _check_ids(where: str, table: np.ndarray, columns: Mapping[str, int]) -> None:
    """int64 [n, columns], each id below the column's limit."""
    shape = (*np.shape(table), 0, 0)[:2]
    if not isinstance(table, np.ndarray) or table.ndim != 2 or shape[1] != len(columns) or table.dtype != np.int64:
        found = f"{table.dtype} {list(table.shape)}" if isinstance(table, np.ndarray) else type(table).__name__
        raise problem(where, f"int64 [n, {len(columns)}]: {', '.join(columns)}", found, "Build it with from_triples.")
    for place, (column, limit) in enumerate(columns.items()):
        outside = (table[:, place] < 0) | (table[:, place] >= limit)
        if outside.any():
            row = int(outside.argmax())
            do = "List it, or drop the row."
            raise problem(f"{where}, row {row}, {column}", f"an id below {limit}", int(table[row, place]), do)


def _check_items(where: str, items: pd.Series, n_entities: int) -> None:
    check_names(where, items.index.tolist())
    _check_ids(where, items.to_numpy().reshape(-1, 1), {"entity": n_entities})


def _digest(pieces: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(hashlib.sha256(piece).digest())
    return digest.hexdigest()


def _bytes(array: np.ndarray) -> bytes:
    return np.ascontiguousarray(array, dtype="<i8").tobytes()
