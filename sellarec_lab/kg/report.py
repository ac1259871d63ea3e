"""What graphs are (`statistics`) and where they could mislead (`validate`)."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from sellarec_lab.data import SPLITS
from sellarec_lab.kg.graph import Graph, Graphs

HELD_OUT = ("valid", "test")
VERDICTS = {
    "duplicate triples": "note: the same fact counts more than once",
    "triples in two splits": "leak: answers that train or valid have told",
    "reversed test triples in train": "note: the same relation is known the other way round, so the answer is easy",
    "self-loops": "note: head and tail are one entity",
    "entities unseen in train": "note: nothing can be learned of them; their triples measure chance",
    "triples with an entity unseen in train": "note: ranks of these triples are by chance",
    "relations unseen in train": "note: nothing can be learned of them; their triples measure chance",
    "entities without a triple": "note: nothing is known of them, yet they are candidates in every ranking",
    "entities named as another one": "note: two ids for one name; an answer under the other id counts as wrong",
    "test triples that another graph tells": "note: the links translate them into train triples of another graph",
    "duplicate links": "note: the same link counts more than once",
    "entities linked to several of the other graph": "note: one thing is linked to two; sharing a row merges these",
    "links that contradict others": "note: round the three graphs, an entity is linked to another one of its own graph",
}


class Row(NamedTuple):
    """One line of the report."""

    check: str
    graph: str
    count: int
    verdict: str


def statistics(graphs: Graph | Graphs) -> pd.DataFrame:
    """One row a graph: sizes, `mean degree` (triples of train an entity is in), and the share of linked entities."""
    graphs = _several(graphs)
    return pd.DataFrame([_graph_statistics(graphs, name) for name in graphs], index=list(graphs))


def _graph_statistics(graphs: Graphs, name: str) -> dict[str, float]:
    graph = graphs[name]
    linked = np.concatenate([np.empty(0, dtype=np.int64), *(graphs.linked(name, o)[:, 0] for o in graphs.others(name))])
    return {
        "entities": graph.n_entities,
        "relations used": len(np.unique(graph.triples[:, 1])),
        **{part: len(graph.split(part)) for part in SPLITS},
        "mean degree": _mentions(graph.train, graph.n_entities).mean(),
        "linked share": len(np.unique(linked)) / graph.n_entities,
    }


def validate(graphs: Graph | Graphs) -> pd.DataFrame:
    """Look for what a model could know that it must not, and for what a reader of its numbers should know.

    Returns:
        DataFrame with the columns `check`, `graph` (its name; of links, the names joined by "-"), `count` and
        `verdict`: "ok" (nothing found), "leak: ..." (an evaluation is not to be trusted) or "note: ..." (allowed, but
        read your numbers with it in mind).
    """
    graphs = _several(graphs)
    rows = [row for name in graphs for row in (*_graph_rows(graphs[name]), *_told(graphs, name))]
    rows += [row for pair in graphs.links for row in _link_rows(graphs, pair)]
    rows += [_chain_row(graphs, three) for three in combinations(graphs, 3)]
    return pd.DataFrame(rows, columns=list(Row._fields))


def _several(graphs: Graph | Graphs) -> Graphs:
    return Graphs({graphs.name: graphs}, {}, shared_relations=False) if isinstance(graphs, Graph) else graphs


def _row(check: str, graph: str, count: int, part: str | None = None) -> Row:
    name = check if part is None else f"{check} ({part})"
    return Row(name, graph, int(count), "ok" if count == 0 else VERDICTS[check])


def _graph_rows(graph: Graph) -> Iterator[Row]:
    keys = {part: _keys(graph, graph.split(part)) for part in SPLITS}
    for part in SPLITS:
        yield _row("duplicate triples", graph.name, len(keys[part]) - len(np.unique(keys[part])), part)
    yield _row("triples in two splits", graph.name, _in_two(keys))
    yield _row("reversed test triples in train", graph.name, _reversed(graph, keys["train"]))
    yield _row("self-loops", graph.name, (graph.triples[:, 0] == graph.triples[:, 2]).sum())
    for part in HELD_OUT:
        yield from _unseen(graph, part)
    yield _row("entities without a triple", graph.name, (_mentions(graph.triples, graph.n_entities) == 0).sum())
    yield _row("entities named as another one", graph.name, pd.Series(graph.entities).duplicated().sum())


def _keys(graph: Graph, triples: np.ndarray) -> np.ndarray:
    """One number a triple, the same only for equal ones. int64 [n]"""
    return (triples[:, 0] * graph.n_relations + triples[:, 1]) * graph.n_entities + triples[:, 2]


def _in_two(keys: dict[str, np.ndarray]) -> int:
    """Distinct triples that stand in more than one split."""
    _, times = np.unique(np.concatenate([np.unique(part) for part in keys.values()]), return_counts=True)
    return int((times > 1).sum())


def _reversed(graph: Graph, train: np.ndarray) -> int:
    """Test triples whose tail stands before their head in train; self-loops are their own reverse and don't count."""
    test = graph.test[graph.test[:, 0] != graph.test[:, 2]]
    return int(np.isin(_keys(graph, test[:, ::-1]), train).sum())


def _mentions(triples: np.ndarray, n_entities: int) -> np.ndarray:
    """Number of triples that each entity is in, a self-loop once. int64 [n_entities]"""
    other_tails = triples[triples[:, 0] != triples[:, 2], 2]
    return np.bincount(np.concatenate([triples[:, 0], other_tails]), minlength=n_entities)


def _unseen(graph: Graph, part: str) -> Iterator[Row]:
    triples = graph.split(part)
    entity = ~np.isin(triples[:, [0, 2]], graph.train[:, [0, 2]])  # [n, 2]
    relation = ~np.isin(triples[:, 1], graph.train[:, 1])  # [n]
    yield _row("entities unseen in train", graph.name, len(np.unique(triples[:, [0, 2]][entity])), part)
    yield _row("triples with an entity unseen in train", graph.name, entity.any(axis=1).sum(), part)
    yield _row("relations unseen in train", graph.name, len(np.unique(triples[relation, 1])), part)


def _told(graphs: Graphs, name: str) -> Iterator[Row]:
    """Only where relations mean the same everywhere can a triple be translated."""
    if graphs.shared_relations and len(graphs) > 1:
        told = [_translated(graphs, name, other) for other in graphs.others(name)]
        yield _row("test triples that another graph tells", name, len(np.unique(np.concatenate(told))))


def _translated(graphs: Graphs, name: str, other: str) -> np.ndarray:
    """Rows of the test split whose translation stands in train of the other graph. int64 [n]"""
    graph, there = graphs[name], graphs[other]
    links = pd.DataFrame(graphs.linked(name, other), columns=["here", "there"])
    test = pd.DataFrame(graph.test, columns=["head", "relation", "tail"]).reset_index()
    test["relation"] = pd.Index(there.relations).get_indexer(pd.Index(graph.relations))[test["relation"]]
    both = test[test["relation"] >= 0].merge(links, left_on="head", right_on="here")
    both = both.merge(links, left_on="tail", right_on="here", suffixes=("_head", "_tail"))
    triples = both[["there_head", "relation", "there_tail"]].to_numpy()
    return both["index"].to_numpy()[np.isin(_keys(there, triples), _keys(there, there.train))]


def _link_rows(graphs: Graphs, pair: tuple[str, str]) -> Iterator[Row]:
    links, label = pd.DataFrame(graphs.linked(*pair)), "-".join(pair)
    distinct = links.drop_duplicates()
    several = sum(int((distinct[end].value_counts() > 1).sum()) for end in (0, 1))
    yield _row("duplicate links", label, len(links) - len(distinct))
    yield _row("entities linked to several of the other graph", label, several)


def _chain_row(graphs: Graphs, three: tuple[str, ...]) -> Row:
    """Chains a-b-c-a' with a' other than a, from each of the three graphs; the way back is the same chain."""
    starts = (three, three[1:] + three[:1], three[2:] + three[:2])
    return _row("links that contradict others", "-".join(three), sum(_astray(graphs, *start) for start in starts))


def _astray(graphs: Graphs, a: str, b: str, c: str) -> int:
    steps = [(a, b, ["start", "b"]), (b, c, ["b", "c"]), (c, a, ["c", "end"])]
    there, on, back = (pd.DataFrame(graphs.linked(x, y), columns=ends).drop_duplicates() for x, y, ends in steps)
    chains = there.merge(on, on="b").merge(back, on="c")
    return int((chains["start"] != chains["end"]).sum())
