"""What needs no learning: how often an entity stands behind a relation, and what linked graphs tell outright.

Of DBP-5L's Greek test triples two thirds stand in another language's train; so a look into the neighbours is what any
transfer has to beat.
"""

import numpy as np
import torch

from sellarec_lab.kg.combine import combine
from sellarec_lab.kg.graph import Graphs
from sellarec_lab.kg.ranking import Known, LinkRanker


class Frequency(LinkRanker):
    """Entities by how often they stand behind the relation in the target's train, whatever the head."""

    def __init__(self, graphs: Graphs):
        self.graph = graphs[graphs.target]
        _, relation, tail = self.graph.with_inverses(self.graph.train).T
        counts = torch.zeros(2 * self.graph.n_relations, self.graph.n_entities)
        self.counts = counts.index_put_((torch.tensor(relation), torch.tensor(tail)), torch.ones(()), accumulate=True)

    def score_entities(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        return self.counts[relations]


class Lookup(Frequency):
    """Entities by how many other graphs tell the triple, translated by the links; ties by `Frequency`."""

    def __init__(self, graphs: Graphs):
        super().__init__(graphs)
        told = self.graph.with_inverses(translated(graphs))
        self.known = Known.among(told, self.graph.n_relations)

    def score_entities(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        often = super().score_entities(heads, relations)
        votes = torch.zeros_like(often).index_put_(self.known.cells(heads, relations), torch.ones(()), accumulate=True)
        return votes + often / (1 + often.amax(1, keepdim=True))


def translated(graphs: Graphs) -> np.ndarray:
    """Train triples of the other graphs in the target's ids [n, 3], where the target has both ends and the relation;
    one row a graph that tells it."""
    joined = combine(graphs, list(graphs), "collapse")
    entity, relation = np.full(joined.n_entities, -1), np.full(joined.n_relations, -1)
    for table, rows in ((entity, joined.entities[graphs.target]), (relation, joined.relations[graphs.target])):
        table[rows] = np.arange(len(rows))
    told = [np.unique(joined.in_rows(name, graphs[name].train), axis=0) for name in graphs.others(graphs.target)]
    head, between, tail = np.concatenate([np.empty((0, 3), dtype=np.int64), *told]).T
    found = np.stack([entity[head], relation[between], entity[tail]], axis=1)
    return found[(found >= 0).all(axis=1)]
