"""Graphs from your own triples, and splits for graphs that come without one."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from sellarec_lab.data import SPLITS
from sellarec_lab.data.errors import problem
from sellarec_lab.kg.graph import Graph, check_names

Names = Sequence[Sequence[str]] | np.ndarray


def from_triples(
    name: str,
    train: Names,
    valid: Names = (),
    test: Names = (),
    *,
    entities: Iterable[str] | None = None,
    relations: Iterable[str] | None = None,
    items: Mapping[str, str] | None = None,
) -> Graph:
    """Number the names in triples.

    Args:
        train, valid, test: (head, relation, tail), all text.
        entities, relations: all names in the order of their ids; without them those of all splits, sorted. Names
            unseen in train keep their ids: `validate` counts them.
        items: the shop's own id -> name of the entity.

    Raises:
        DataError: a triple that is not three names, or a name that is not listed; it names split and row.
    """
    given = zip(SPLITS, (train, valid, test), strict=True)
    parts = {part: _named(f"graph {name!r}, {part}", rows) for part, rows in given}
    every = np.concatenate(list(parts.values()))
    known = {
        "entity": _vocabulary(f"graph {name!r}, entities", entities, every[:, [0, 2]]),
        "relation": _vocabulary(f"graph {name!r}, relations", relations, every[:, [1]]),
    }
    numbered = {part: _numbered(f"graph {name!r}, {part}", rows, known) for part, rows in parts.items()}
    linked = None if items is None else _items(f"graph {name!r}, items", items, known["entity"])
    return Graph(name, tuple(known["entity"]), tuple(known["relation"]), **numbered, items=linked)


def split_triples(graph: Graph, valid_share: float, test_share: float, seed: int = 0) -> Graph:
    """Hold out triples at random; every entity and relation that has a triple keeps one in train.

    The distinct triples of all splits are dealt anew, in random order: a triple may leave train as long as head,
    relation and tail each have another one there. Equal triples count as one, since a copy in train would tell
    the answer. So rare entities are rarely asked for: the held-out part is easier than a blind draw.

    Args:
        valid_share, test_share: of the distinct triples, rounded to the nearest triple.

    Raises:
        ValueError: shares below 0, or nothing left for train.
        DataError: not that many triples can be held out.
    """
    if min(valid_share, test_share) < 0 or valid_share + test_share >= 1:
        raise ValueError(f"shares: expected 0 or more, together below 1, found {valid_share} and {test_share}")
    rows = pd.DataFrame(graph.triples).drop_duplicates().to_numpy()
    n_valid, n_test = (round(share * len(rows)) for share in (valid_share, test_share))
    rng = np.random.default_rng(seed)
    held = _spared(graph, rows, rng.permutation(len(rows)), n_valid + n_test)
    # The later a triple was found, the more triples its entities have: mixed, valid and test are alike.
    valid, test = np.split(rng.permutation(held), [n_valid])
    train = np.setdiff1d(np.arange(len(rows)), held)
    return Graph(graph.name, graph.entities, graph.relations, rows[train], rows[valid], rows[test], graph.items)


def _spared(graph: Graph, rows: np.ndarray, order: np.ndarray, wanted: int) -> np.ndarray:
    """The first `wanted` rows in order that the others can spare."""
    names = [{head, tail, graph.n_entities + relation} for head, relation, tail in rows.tolist()]
    left, held = Counter(chain.from_iterable(names)), []
    for row in order.tolist():
        if len(held) < wanted and all(left[name] > 1 for name in names[row]):
            left.subtract(names[row])
            held.append(row)
    if len(held) < wanted:
        do = "Lower the shares: each other triple is the last of an entity or relation."
        raise problem(f"graph {graph.name!r}", f"{wanted} triples that can be held out", len(held), do)
    return np.array(held, dtype=np.int64)


def _named(where: str, rows: Names) -> np.ndarray:
    """str objects [n, 3]"""
    if isinstance(rows, np.ndarray) and rows.ndim == 2 and rows.shape[1] == 3 and rows.dtype == object:
        return rows
    for row, triple in enumerate(rows):
        if isinstance(triple, str) or len(triple) != 3 or not all(isinstance(name, str) for name in triple):
            raise problem(f"{where}, row {row}", "head, relation and tail as text", repr(triple), "Repair the row.")
    return np.array([tuple(triple) for triple in rows], dtype=object).reshape(-1, 3)


def _vocabulary(where: str, listed: Iterable[str] | None, used: np.ndarray) -> pd.Index:
    names = sorted(pd.unique(used.ravel())) if listed is None else list(listed)
    check_names(where, names)
    return pd.Index(names, dtype=object)


def _numbered(where: str, rows: np.ndarray, known: Mapping[str, pd.Index]) -> np.ndarray:
    """int64 [n, 3]"""
    columns = [known[kind].get_indexer(rows[:, place]) for place, kind in enumerate(("entity", "relation", "entity"))]
    numbers = np.stack(columns, axis=1).astype(np.int64)
    unknown = (numbers < 0).any(axis=1)
    if unknown.any():
        row = int(unknown.argmax())
        found = rows[row][numbers[row] < 0][0]
        raise problem(f"{where}, row {row}", "names that are listed", repr(found), "List it, or drop the row.")
    return numbers


def _items(where: str, items: Mapping[str, str], entities: pd.Index) -> pd.Series:
    ids = entities.get_indexer(list(items.values()))
    if (ids < 0).any():
        item = list(items)[int((ids < 0).argmax())]
        raise problem(
            f"{where}, {item!r}", "an entity of the graph", repr(items[item]), "Drop the item, or add triples."
        )
    return pd.Series(ids.astype(np.int64), index=pd.Index(list(items), dtype=object), name="entity")
