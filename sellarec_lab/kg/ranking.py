"""Link prediction: where the right entity stands among all, known facts left out (Bordes et al. 2013).

Both directions are asked, the head as the tail of the inverse relation. Papers on the five DBpedia graphs ask for tails
alone, which is easier: `queries` says of each row which side it asks for, so either can be told.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from accelerate.utils.memory import should_reduce_batch_size

from sellarec_lab import metrics
from sellarec_lab.kg.graph import Graph
from sellarec_lab.kg.questions import learn_to_answer

SIDES = ("tail", "head")
_SCORES = 2**27  # most scores at once: half a gigabyte in float32
_FIRST = 4096  # most queries at once


def queries(graph: Graph, split: str = "test") -> pd.DataFrame:
    """Two questions a triple, indexed by ``query``: ``head, relation`` (from n_relations on: inverse), the right
    ``tail``, and ``side``, which end of the triple is asked for."""
    triples = graph.split(split)
    table = pd.DataFrame(graph.with_inverses(triples), columns=["head", "relation", "tail"])
    return table.assign(side=np.repeat(SIDES, len(triples))).rename_axis("query")


class Known(NamedTuple):
    """What is true, for looking up: sorted ``keys`` [n] (head · 2 · n_relations + relation) with their ``tails``."""

    keys: torch.Tensor
    tails: torch.Tensor
    n_relations: int

    @classmethod
    def of(cls, graph: Graph) -> "Known":
        """All three splits of a graph, with inverses; each once."""
        head, relation, tail = graph.with_inverses(graph.triples).T
        asked = head * 2 * graph.n_relations + relation
        keys, tails = np.divmod(np.unique(asked * graph.n_entities + tail), graph.n_entities)  # one number a triple
        return cls(torch.from_numpy(keys), torch.from_numpy(tails), graph.n_relations)

    @classmethod
    def among(cls, triples: np.ndarray, n_relations: int) -> "Known":
        """Triples [n, 3] with inverses, in any order and as often as they stand there."""
        head, relation, tail = triples[np.lexsort((triples[:, 1], triples[:, 0]))].T
        return cls(torch.tensor(head * 2 * n_relations + relation), torch.tensor(tail), n_relations)

    def cells(self, heads: torch.Tensor, relations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(row of the query, tail) of all true tails of queries [B]."""
        asked = heads * 2 * self.n_relations + relations
        first, last = (torch.searchsorted(self.keys, asked, right=right) for right in (False, True))
        many = last - first
        rows = torch.repeat_interleave(torch.arange(len(asked)), many)
        places = torch.arange(int(many.sum())) + torch.repeat_interleave(first - many.cumsum(0) + many, many)
        return rows, self.tails[places]


class LinkRanker:
    """Ranks entities; who mixes it in has a ``graph`` and scores all its entities for (head, relation):
    ``score_entities(heads [B], relations [B]) -> [B, n_entities]``. With ``entity_vectors() -> [n_entities, d]`` it
    answers questions as well."""

    graph: Graph

    def score_entities(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def entity_vectors(self) -> torch.Tensor:
        raise NotImplementedError

    def answer(self, asked: pd.DataFrame) -> pd.DataFrame:
        """`Ranks` of the held-out answers to multi-hop `questions`, by a reader that learns from the others; the
        vectors of entities stay as they are. See `learn_to_answer`."""
        return learn_to_answer(self.entity_vectors(), self.graph, asked)

    def rank(self, asked: pd.DataFrame) -> pd.DataFrame:
        """`Ranks` of the right tails of `queries`, every other known tail left out, ties at their mean; beside them
        ``best`` and ``worst``, the ranks with ties counted for or against, and ``side``.

        Raises:
            FloatingPointError: a score is NaN; names the query.
        """
        known = Known.of(self.graph)
        heads, relations, tails = (torch.tensor(asked[c].to_numpy()) for c in ("head", "relation", "tail"))

        size = max(1, min(_FIRST, _SCORES // self.graph.n_entities))
        better, equal, many = self._counted(known, (heads, relations, tails), size).numpy()
        ranks = {"query": asked.index, "target": tails.numpy(), "rank": 1 + better + equal / 2, "candidates": many}
        told = {"ties": "mean", "best": 1 + better, "worst": 1 + better + equal, "side": asked["side"].to_numpy()}
        return pd.DataFrame(ranks | told)

    def _counted(self, known: Known, asked: tuple[torch.Tensor, ...], size: int) -> torch.Tensor:
        """`_standing` of all queries, so many at a time; half as many where memory runs out."""
        try:
            parts = zip(*(column.split(size) for column in asked))
            return torch.cat([self._standing(known, *part) for part in parts], dim=1)
        except RuntimeError as error:
            if size == 1 or not should_reduce_batch_size(error):
                raise
        return self._counted(known, asked, size // 2)

    def _standing(
        self, known: Known, heads: torch.Tensor, relations: torch.Tensor, tails: torch.Tensor
    ) -> torch.Tensor:
        """How many candidates are better than the right one, how many others equal it, how many there are, [3, B]."""
        scores = self.score_entities(heads, relations).float().cpu()
        rows, true = known.cells(heads, relations)
        broken = scores.amax(1).isnan()  # a NaN anywhere would count as worse than the right one
        if broken.any():
            row = int(broken.nonzero()[0])
            asked = int(heads[row]), int(relations[row])
            raise FloatingPointError(f"a score of query {asked} (head, relation) is NaN: train it anew")
        own = scores.gather(1, tails[:, None])
        scores[rows, true] = -torch.inf
        scores.scatter_(1, tails[:, None], -torch.inf)
        left_out = torch.bincount(rows[true != tails[rows]], minlength=len(heads))
        return torch.stack([(scores > own).sum(1), (scores == own).sum(1), scores.shape[1] - left_out])


def quality(ranks: pd.DataFrame) -> dict[str, float]:
    """MRR and Hits@1/3/10 over both sides, and over tails alone."""
    names, tails = ("mrr", "hits@1", "hits@3", "hits@10"), ranks[ranks["side"] == "tail"]
    both = {name: metrics.value(ranks, name) for name in names}
    return both | {f"tail {name}": metrics.value(tails, name) for name in names}
