"""One graph as a trained model knows it: it ranks links, and gives vectors of entities and of items."""

import json
from pathlib import Path

import numpy as np
import torch

from sellarec_lab import config, runtime
from sellarec_lab.config import LoopConfig, PathConfig
from sellarec_lab.kg.graph import Graph
from sellarec_lab.kg.model import PathModel
from sellarec_lab.kg.ranking import LinkRanker


class GraphModel(LinkRanker):
    """A path model, seen from one of the graphs that it was trained on.

    Args:
        model: of all rows.
        graph: whose entities are ranked.
        entities: the model's row of each of its entities [n_entities].
        relations: the model's row of each of its relations [n_relations].
    """

    def __init__(self, model: PathModel, graph: Graph, entities: np.ndarray, relations: np.ndarray):
        self.model, self.graph = model, graph
        self.entities = torch.tensor(entities)
        inverse = relations + len(model.relations.weight) // 2
        self.relations = torch.tensor(np.concatenate([relations, inverse]))

    @torch.no_grad()
    def score_entities(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        """Logits of the graph's entities behind (head, relation), [B, n_entities]; in evaluation mode."""
        was_training, on = self.model.training, self.model.weight.device
        self.model.eval()
        rows = (self.entities[heads], self.relations[relations], self.entities)
        scores = self.model.score(*(row.to(on) for row in rows))
        self.model.train(was_training)
        return scores

    def entity_vectors(self) -> torch.Tensor:
        """Vectors of the graph's entities [n_entities, d], float32."""
        return self.model.entities.weight.detach().float().cpu()[self.entities]

    def item_vectors(self, external_ids: list[str]) -> torch.Tensor:
        """Vectors of items [n_items + 1, d] in the order of these ids of the shop; zero for padding and for items
        that the graph does not hold.

        Raises:
            ValueError: the graph is not one of items.
        """
        if self.graph.items is None:
            raise ValueError(f"graph {self.graph.name!r} knows no items; load one of items, or give it `items`")
        out = torch.zeros(len(external_ids) + 1, self.model.settings.dim)
        entity = self.graph.items.reindex([str(name) for name in external_ids])
        held = entity.notna().to_numpy()
        out[1 + np.flatnonzero(held)] = self.entity_vectors()[entity[held].to_numpy(dtype=np.int64, copy=True)]
        return out

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``model.safetensors`` and ``kg_config.json``; the graph itself stays where it lies."""
        with runtime.saving(folder, "kg") as place:
            self._write(place)

    def _write(self, folder: Path) -> None:
        rows = {"rows.entities": self.entities, "rows.relations": self.relations[: self.graph.n_relations]}
        runtime.save_tensors(folder / "model.safetensors", {**self.model.state_dict(), **rows})
        told = {"settings": config.as_dict(self.model.settings), "graph": self.graph.fingerprint}
        runtime.write_text(folder / "kg_config.json", json.dumps(told, indent=1))


def load(folder: str | Path, graph: Graph) -> GraphModel:
    """Load what `GraphModel.save_pretrained` wrote, for the graph that it was trained on.

    Raises:
        FileNotFoundError: the folder holds no saved model.
        ValueError: another graph, or a file that is cut.
    """
    folder = runtime.look_at(folder, "kg")
    told = runtime.read_json(folder / "kg_config.json")
    if told.get("graph") != graph.fingerprint:
        raise ValueError(f"{folder} was trained on another graph than {graph.name!r} as it is now; load that one")
    with runtime.believed(folder / "kg_config.json"):
        loop = LoopConfig(**told["settings"].pop("loop"))
        settings = PathConfig(**told["settings"], loop=loop)
    with runtime.believed(folder / "model.safetensors"):
        tensors, _ = runtime.load_tensors(folder / "model.safetensors")
        rows = [tensors.pop(f"rows.{name}").numpy() for name in ("entities", "relations")]
        return GraphModel(path_model(tensors, settings), graph, *rows)


def path_model(state: dict[str, torch.Tensor], settings: PathConfig) -> PathModel:
    """A trained model from its tensors, in evaluation mode."""
    model = PathModel(len(state["entities.weight"]), len(state["relations.weight"]) // 2, settings)
    model.load_state_dict(state)
    return model.eval()
