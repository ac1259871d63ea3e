"""The linked subgraph: what the background knows around a target's entities (arXiv 2306.02679, section 4).

The paper cuts it out by entity alignment; reach and cap are this project's choice.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from sellarec_lab.kg.combine import Combined


@dataclass(frozen=True, eq=False)
class Subgraph:
    """Rows of a combined graph that are kept, numbered anew: the target's own first.

    Args:
        rows: int64 [n], the row in the combined graph of each row here.
        triples: int64 [m, 3], in the rows here; relations keep their numbers.
        n_relations: of the combined graph.
        target: row here of each of the target's entities.
        shared: bool [n], rows that several graphs share.
        distance: int [n], how many relations a row is away from an aligned or target entity.
    """

    rows: np.ndarray
    triples: np.ndarray
    n_relations: int
    target: np.ndarray
    shared: np.ndarray
    distance: np.ndarray


def linked_subgraph(joined: Combined, target: str, reach: int = 1, cap: int = 50) -> Subgraph:
    """The target's entities, their counterparts, and all that lies up to ``reach`` relations away, at most ``cap``
    neighbours of an entity: those with the most triples. All triples among them.

    Raises:
        ValueError: no graph of this name.
    """
    own = _own(joined, target)
    near = sparse.coo_array((np.ones(len(joined.linked)), tuple(joined.linked.T)), shape=(joined.n_entities,) * 2)
    near = (near + near.T).tocsr()
    here = np.unique(np.concatenate([own, near[own].indices]))
    distance = np.full(joined.n_entities, -1)
    distance[here] = 0
    around = _strongest(joined, cap)
    for step in range(1, reach + 1):
        found = np.unique(around[np.flatnonzero(distance == step - 1)].indices)
        found = found[distance[found] < 0]
        if not len(found):
            break
        distance[found] = step
    return _kept(joined, own, distance)


def target_alone(joined: Combined, target: str, train: np.ndarray) -> Subgraph:
    """The target's entities and its own triples ``train`` [m, 3]; nothing of the background, which may speak of the
    same entities."""
    own = _own(joined, target)
    distance = np.full(joined.n_entities, -1)
    distance[own] = 0
    return _kept(replace(joined, triples=joined.in_rows(target, train)), own, distance)


def _own(joined: Combined, target: str) -> np.ndarray:
    if target not in joined.entities:
        raise ValueError(f"no graph {target!r}; there are {', '.join(joined.names)}")
    return joined.entities[target]


def _strongest(joined: Combined, cap: int) -> sparse.csr_array:
    """Who stands beside whom, each with its ``cap`` neighbours of the most triples."""
    ends = joined.triples[:, [0, 2]]
    pairs = np.unique(np.concatenate([ends, ends[:, ::-1]]), axis=0)
    degree = np.bincount(ends.ravel(), minlength=joined.n_entities)
    pairs = pairs[np.lexsort((pairs[:, 1], -degree[pairs[:, 1]], pairs[:, 0]))]
    first = np.searchsorted(pairs[:, 0], pairs[:, 0])
    pairs = pairs[np.arange(len(pairs)) - first < cap]
    return sparse.csr_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(joined.n_entities,) * 2)


def _kept(joined: Combined, own: np.ndarray, distance: np.ndarray) -> Subgraph:
    first = np.unique(own)
    rows = np.concatenate([first, np.setdiff1d(np.flatnonzero(distance >= 0), first)])
    place = np.full(joined.n_entities, -1)
    place[rows] = np.arange(len(rows))
    head, relation, tail = joined.triples.T
    inside = (place[head] >= 0) & (place[tail] >= 0)
    triples = np.stack([place[head], relation, place[tail]], axis=1)[inside]
    return Subgraph(rows, triples, joined.n_relations, place[own], joined.shared[rows], distance[rows])
