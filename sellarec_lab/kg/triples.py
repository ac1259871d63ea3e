"""Models of triples alone: a table of entities, one of relations, and a decoder.

The inverse of a relation is learned as a relation of its own, r + n_relations, so asking for a head is asking for a
tail (Lacroix et al. 2018, arXiv 1806.07297). Two losses: the softmax over all entities, and negative sampling that
minds the hard ones more (Sun et al. 2019).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab.config import TripleConfig
from sellarec_lab.kg.decoders import decoder
from sellarec_lab.kg.graph import Graph
from sellarec_lab.kg.ranking import LinkRanker


class TripleModel(nn.Module):
    """Scores of triples.

    Args:
        n_entities: rows of the table of entities.
        n_relations: relations; the inverse of r is r + n_relations.
        settings: decoder, sizes, dropout.
    """

    def __init__(self, n_entities: int, n_relations: int, settings: TripleConfig):
        super().__init__()
        self.settings, self.decoder = settings, decoder(settings)
        self.entities = nn.Embedding(n_entities, settings.dim)
        self.relations = nn.Embedding(2 * n_relations, self.decoder.relation_dim)
        self.decoder.start(self.entities.weight, self.relations.weight)
        self.dropout = nn.Dropout(settings.dropout)
        self.weight = nn.Parameter(torch.zeros(n_entities)) if self.decoder.has_weight else None

    def score(self, heads: torch.Tensor, relations: torch.Tensor, entities: torch.Tensor | None = None) -> torch.Tensor:
        """Scores [B, N] of what stands behind heads and relations [B], float32: of all entities, of those named for all
        rows [N], or of each row's own [B, N]."""
        head, relation = self.dropout(self.entities(heads)), self.dropout(self.relations(relations))
        table = self.entities.weight if entities is None else self.entities(entities)
        scores = self.decoder.score(head, relation, table)
        if self.weight is None:
            return scores
        return scores + (self.weight if entities is None else self.weight[entities]).float()


class Told(NamedTuple):
    """Questions with all their answers: ``heads, relations`` [B], and (row, entity) of each of the M answers."""

    heads: torch.Tensor
    relations: torch.Tensor
    rows: torch.Tensor
    tails: torch.Tensor

    def to(self, device: str) -> "Told":
        return Told(*(part.to(device) for part in self))


class Drawn(NamedTuple):
    """Triples ``heads, relations, tails`` [B] and entities that are drawn against them, for all [N] or each [B, N]."""

    heads: torch.Tensor
    relations: torch.Tensor
    tails: torch.Tensor
    negatives: torch.Tensor

    def to(self, device: str) -> "Drawn":
        return Drawn(*(part.to(device) for part in self))


class Softmax(nn.Module):
    """``forward(Told)``: L = - mean_(h, r) Σ_t y_t log softmax(s(h, r, .))_t, with y the same for all of a question's
    answers, but for ε of it that is spread over all entities (label smoothing). Questions with many answers are scored
    once, which on FB15k-237 makes an epoch 3.7 times shorter than one softmax a triple."""

    def __init__(self, model: TripleModel):
        super().__init__()
        self.model = model

    def forward(self, batch: Told) -> torch.Tensor:
        scores, smoothing = self.model.score(batch.heads, batch.relations), self.model.settings.smoothing
        many = torch.bincount(batch.rows, minlength=len(scores))
        told = (scores[batch.rows, batch.tails] / many[batch.rows]).sum() / len(scores)
        loss = scores.logsumexp(1).mean() - (1 - smoothing) * told
        return loss - smoothing * scores.mean() if smoothing else loss


class SelfAdversarial(nn.Module):
    """``forward(Drawn)``: L = - log σ(γ + s(t)) - Σ_n p_n log σ(-γ - s(n)), p = softmax(α s(n)) without gradient; the
    higher a negative stands, the more it counts (Eq. 5 and 6, arXiv 1902.10197). γ is the margin of distances, and 0
    for other scores. A negative may happen to be true, as in the paper."""

    def __init__(self, model: TripleModel):
        super().__init__()
        self.model = model

    def forward(self, batch: Drawn) -> torch.Tensor:
        model, settings = self.model, self.model.settings
        margin = settings.margin if model.decoder.is_distance else 0.0
        right = model.score(batch.heads, batch.relations, batch.tails[:, None])[:, 0]
        wrong = model.score(batch.heads, batch.relations, batch.negatives)
        share = F.softmax(settings.temperature * wrong.detach(), dim=1)
        return -(F.logsigmoid(margin + right) + (share * F.logsigmoid(-margin - wrong)).sum(1)).mean()


class TripleGraphModel(LinkRanker):
    """A graph as a model of its triples knows it: it ranks links, and gives vectors of entities.

    Args:
        model: of this graph's entities and relations.
        graph: whose entities are ranked.

    Raises:
        ValueError: the model has other numbers of entities or relations.
    """

    def __init__(self, model: TripleModel, graph: Graph):
        has = len(model.entities.weight), len(model.relations.weight) // 2
        if has != (graph.n_entities, graph.n_relations):
            raise ValueError(f"a model of {has} entities and relations is not one of {graph!r}; train one for it")
        self.model, self.graph = model, graph

    @torch.no_grad()
    def score_entities(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """Scores of all entities behind (head, relation), [B, n_entities]; in evaluation mode."""
        was_training, on = self.model.training, self.model.entities.weight.device
        self.model.eval()
        scores = self.model.score(heads.to(on), relations.to(on))
        self.model.train(was_training)
        return scores

    def entity_vectors(self) -> torch.Tensor:
        """Vectors of the entities [n_entities, d], float32."""
        return self.model.entities.weight.detach().float().cpu()
