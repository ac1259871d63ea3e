"""Graph knowledge as collaborative knowledge: tables of users and items that come from a knowledge graph.

Not in the papers: SeLLa-Rec's tokens are of interactions, and a graph knows items that nobody has met yet. Either the
graph gives every token ("tokens": an item is its entity's vector, a user the mean over what they liked in train), or it
fills in for items without interactions ("cold": a ridge regression from graph to collaborative vectors, fitted on items
that have both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.linear_model import RidgeCV

from sellarec_lab import kg, runtime
from sellarec_lab.alignment import Aligned
from sellarec_lab.collab import FixedVectors, Vectors
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions
from sellarec_lab.data.errors import problem
from sellarec_lab.runtime import Stage

if TYPE_CHECKING:
    from sellarec_lab.sella.pipeline import Pipeline

_STRENGTHS = np.logspace(-2, 4, 13)  # of the ridge; chosen by leave-one-out over the items


def graph_stage(cfg: Preset) -> Stage:
    """The stage whose value is the model of the preset's graph of items."""
    return kg.Pipeline(cfg, kg.load(cfg.kg.graphs, cfg.kg.root or None)).ranker


def graph_tables(pipeline: Pipeline, below: Stage) -> Stage:
    """Tables as the recipe's ``graph`` says; ``below`` makes those of interactions. Nothing is left to make."""
    graph, data, way = graph_stage(pipeline.cfg), pipeline.data, pipeline.recipe.graph

    def read(_: Stage) -> Aligned | FixedVectors:
        items = known_items(graph.value(), data)
        if way == "tokens":
            return FixedVectors(from_graph(data, items))
        made = below.value()
        if isinstance(made, Aligned):
            return made._replace(vectors=filled(data, made.vectors, items))
        return FixedVectors(filled(data, made.vectors(), items))

    rests = (graph,) if way == "tokens" else (graph, below)
    code = ("sellarec_lab.sella.graph",)
    return runtime.stage(pipeline.cfg, data, "graph-tables", {"way": way}, runtime.nothing, read, *rests, code=code)


def known_items(model: kg.GraphModel, data: Interactions) -> torch.Tensor:
    """The graph's vectors of the data's items [n_items + 1, d].

    Raises:
        DataError: the graph knows none of them.
    """
    items = model.item_vectors(data.items["external_id"].astype(str).tolist())
    if not items.any():
        found = (
            f"{list(model.graph.items.index[:3])} in the graph, {data.items['external_id'].tolist()[:3]} in the data"
        )
        raise problem(f"graph {model.graph.name!r}", f"items of {data.name}", found, "Set kg.graphs to its graph.")
    return items


def from_graph(data: Interactions, items: torch.Tensor) -> Vectors:
    """Items as their entities, each user as the mean over what they liked in train; no biases."""
    liked = data.train[data.train["label"] == 1]
    users, ids = (torch.tensor(liked[column].to_numpy()) for column in ("user_id", "item_id"))
    total = torch.zeros(data.n_users + 1, items.shape[1]).index_add_(0, users, items[ids])
    many = torch.bincount(users, minlength=data.n_users + 1).clamp(min=1)
    return Vectors(*(torch.nn.functional.pad(table, (0, 1)) for table in (total / many[:, None], items)))


def filled(data: Interactions, vectors: Vectors, items: torch.Tensor) -> Vectors:
    """The tables, with rows for items that are not in train but in the graph, told from the graph's vectors.

    Raises:
        DataError: fewer than ten items are in both.
    """
    met = torch.zeros(data.n_items + 1, dtype=torch.bool)
    met[torch.tensor(data.train["item_id"].unique())] = True
    held = items.any(dim=1)
    if (both := met & held).sum() < 10:
        raise problem("graph", "ten items that are in train and in the graph", int(both.sum()), "Take another graph.")
    ridge = RidgeCV(_STRENGTHS).fit(items[both].numpy(), vectors.items[both].numpy())
    table, cold = vectors.items.clone(), held & ~met
    if cold.any():
        table[cold] = torch.from_numpy(ridge.predict(items[cold].numpy())).to(table.dtype)
    return Vectors(vectors.users, table)
