"""From several graphs to a student of one of them, as stages (arXiv 2306.02679): teacher, linked subgraph, student."""

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sellarec_lab import config, metrics, runtime
from sellarec_lab.config import DECODERS, Preset
from sellarec_lab.data.errors import problem
from sellarec_lab.kg.build import split_triples
from sellarec_lab.kg.combine import Combined, combine, some_links
from sellarec_lab.kg.graph import Graph, Graphs
from sellarec_lab.kg.known import GraphModel, path_model
from sellarec_lab.kg.learning import Counterparts, Distillation, Material, Trained, train
from sellarec_lab.kg.model import PathModel
from sellarec_lab.kg.ranking import queries
from sellarec_lab.kg.subgraph import Subgraph, linked_subgraph, target_alone
from sellarec_lab.runtime import Stage

_HELD_OUT = 0.05
_NOT_THE_STUDENTS = ("teacher", *DECODERS, "graphs")  # settings that it does not hang on
_JUDGED = 1000  # so many valid triples of a graph judge a state


@dataclass(eq=False)
class Pipeline:
    """The stages of a preset's ``kg`` on several graphs; of a graph that has no splits a twentieth becomes valid.

    Raises:
        ValueError: a background graph that is not among them.
    """

    cfg: Preset
    graphs: Graphs

    def __post_init__(self):
        runtime.expect(self.cfg, self.graphs)
        for name in self.background:
            self.graphs[name]  # says which there are
        held = {name: with_valid(graph) for name, graph in self.graphs.graphs.items()}
        self.graphs = dataclasses.replace(self.graphs, graphs=held)

    @property
    def target(self) -> str:
        """The graph that the student is for."""
        return self.graphs.target

    @property
    def background(self) -> tuple[str, ...]:
        """The teacher's graphs."""
        return self.cfg.kg.background or tuple(self.graphs.others(self.target))

    @functools.cached_property
    def linked(self) -> Graphs:
        """The graphs with as many links as the settings say."""
        return some_links(self.graphs, self.cfg.kg.alignment, self.cfg.kg.noise, self.cfg.seed)

    @functools.cached_property
    def before(self) -> Combined:
        """What the teacher sees: the background, put together."""
        return combine(self.linked, self.background, self.cfg.kg.combine)

    @functools.cached_property
    def joined(self) -> Combined:
        """The background and the target, put together."""
        names = dict.fromkeys((self.target, *self.background))
        return combine(self.linked, list(names), self.cfg.kg.combine)

    @functools.cached_property
    def subgraph(self) -> Subgraph:
        """What the student sees."""
        settings = self.cfg.kg
        if not settings.subgraph:
            return target_alone(self.joined, self.target, self.graphs[self.target].train)
        return linked_subgraph(self.joined, self.target, settings.reach, settings.cap)

    def _stage(self, name: str, inputs: dict, make, *upstream: Stage) -> Stage:
        known = {n: getattr(self.cfg.kg, n) for n in ("combine", "alignment", "noise")} | inputs
        code = ("sellarec_lab.kg.pipeline",)
        return runtime.stage(self.cfg, self.graphs, name, known, make, _read, *upstream, code=code)

    @functools.cached_property
    def teacher(self) -> Stage:
        """Joint pre-training on the background; its value is the `PathModel`."""
        settings, joined = self.cfg.kg.teacher, self.before

        def make(stage: Stage) -> dict:
            material = Material(joined.triples, joined.n_entities, joined.n_relations, joined.shared)
            views = [(self.graphs[name], joined.entities[name], joined.relations[name]) for name in joined.names]
            checkpoint = stage.path("checkpoint.safetensors")
            trained = train(material, settings, _judge(views), seed=self.cfg.seed, checkpoint=checkpoint)
            return _kept(stage, trained)

        inputs = {"teacher": config.as_dict(settings), "background": list(self.background)}
        return self._stage("kg-teacher", inputs, make)

    @functools.cached_property
    def student(self) -> Stage:
        """Local re-training on the linked subgraph; its value is the student's `PathModel`."""
        settings = self.cfg.kg
        taught = bool(self.background) and (any(self._levels) or settings.start == "teacher")

        def make(stage: Stage) -> dict:
            part = self.subgraph
            material = Material(part.triples, len(part.rows), part.n_relations, part.shared)
            teacher = self.teacher.value() if taught else None
            view = (self.graphs[self.target], part.target, self.joined.relations[self.target])
            trained = train(
                material, settings.student, _judge([view]), seed=self.cfg.seed, label="student",
                checkpoint=stage.path("checkpoint.safetensors"), beside=lambda model: self._beside(model, teacher),
            )  # fmt: skip
            return _kept(stage, trained) | {"entities": len(part.rows), "triples": len(part.triples)}

        inputs = {n: v for n, v in config.as_dict(settings).items() if n not in _NOT_THE_STUDENTS}
        inputs |= {"target": self.target, "background": list(self.background)}
        return self._stage("kg-student", inputs, make, *([self.teacher] if taught else []))

    @property
    def _levels(self) -> tuple[float, float, float]:
        levels = self.cfg.kg.distillation
        return levels.features, levels.network, levels.predictions

    def _beside(self, student: PathModel, teacher: PathModel | None) -> torch.nn.Module:
        if teacher is None:
            return student
        known = self.counterparts
        if self.cfg.kg.start == "teacher":
            for table, theirs, rows in (
                (student.entities, teacher.entities, known.entities),
                (student.relations, teacher.relations, known.relations),
            ):
                start_at(table.weight, theirs.weight, rows)
        return Distillation(student, teacher, known, self.cfg.kg.distillation) if any(self._levels) else student

    @functools.cached_property
    def counterparts(self) -> Counterparts:
        """Which rows of the teacher the student's rows stand for."""
        entities = np.full(self.joined.n_entities, -1)
        relations = np.full(self.joined.n_relations, -1)
        for name in reversed(self.background):
            for table, (here, there) in (
                (entities, (self.joined.entities, self.before.entities)),
                (relations, (self.joined.relations, self.before.relations)),
            ):
                table[here[name]] = there[name]
            ours, theirs = self.linked.linked(self.target, name).T if name != self.target else ([], [])
            entities[self.joined.entities[self.target][ours]] = self.before.entities[name][theirs]
        inverse = np.where(relations < 0, -1, relations + self.before.n_relations)
        both = np.concatenate([relations, inverse])
        return Counterparts(torch.from_numpy(entities[self.subgraph.rows]), torch.from_numpy(both))

    @functools.cached_property
    def ranker(self) -> Stage:
        """The student as the target's model, a `GraphModel`; nothing is left to make."""
        code = ("sellarec_lab.kg.ranking",)
        asked, make = {"target": self.target}, runtime.nothing
        return runtime.stage(
            self.cfg, self.graphs, "kg-model", asked, make, lambda _: self.model(), self.student, code=code
        )

    def model(self) -> GraphModel:
        """The student as the target's model."""
        relations = self.joined.relations[self.target]
        return GraphModel(self.student.value(), self.graphs[self.target], self.subgraph.target, relations)

    def facts(self) -> pd.DataFrame:
        """The linked subgraph in names: ``head, relation, tail, graph``, a row a fact and graph that tells it. An
        entity is called as in the target, or as in the first background graph that has it."""
        names = dict.fromkeys((self.target, *self.background))
        called = np.full(self.joined.n_entities, "", dtype=object)
        for name in reversed(names):
            called[self.joined.entities[name]] = self.graphs[name].entities
        kept = np.isin(np.arange(self.joined.n_entities), self.subgraph.rows)
        tables = []
        for name in names:
            rows = self.joined.in_rows(name, self.graphs[name].train)
            inside, words = kept[rows[:, 0]] & kept[rows[:, 2]], np.array(self.graphs[name].relations, dtype=object)
            head, tail = called[rows[inside, 0]], called[rows[inside, 2]]
            relation = words[self.graphs[name].train[inside, 1]]
            tables.append(pd.DataFrame({"head": head, "relation": relation, "tail": tail, "graph": name}))
        return pd.concat(tables, ignore_index=True)

    def taught(self, name: str) -> GraphModel:
        """The teacher as the model of one of its graphs."""
        return GraphModel(
            self.teacher.value(), self.graphs[name], self.before.entities[name], self.before.relations[name]
        )


def with_valid(graph: Graph) -> Graph:
    """The graph; where nothing is held out, with a twentieth of its triples as valid.

    Raises:
        DataError: a test split, but nothing to choose a state by.
    """
    if len(graph.valid):
        return graph
    if len(graph.test):
        raise problem(f"graph {graph.name!r}, valid", "at least one triple", "none", "Hold some out of train.")
    return split_triples(graph, max(_HELD_OUT, 1 / len(graph.train)), 0.0)


def teach(cfg: Preset, graphs: Graphs) -> Pipeline:
    """Pre-train the teacher jointly over the background graphs, or read it where that was done before.

    Returns:
        The `Pipeline`, which `retrain` takes for one target after the other; ``taught(name)`` is the teacher itself.
    """
    pipeline = Pipeline(cfg, graphs)
    pipeline.teacher.made()
    return pipeline


def retrain(cfg: Preset, teacher: Pipeline, target: str) -> GraphModel:
    """A student of one graph, re-trained on its linked subgraph beside the teacher.

    Args:
        cfg: the student's settings; the teacher stays as it is.

    Raises:
        ValueError: no graph of this name.
    """
    theirs = teacher.cfg.kg
    kept = {name: getattr(theirs, name) for name in ("combine", "alignment", "noise", "teacher")}
    kg = dataclasses.replace(cfg.kg, background=teacher.background, **kept)
    return Pipeline(dataclasses.replace(cfg, seed=teacher.cfg.seed, kg=kg), teacher.graphs.about(target)).model()


@torch.no_grad()
def start_at(table: torch.Tensor, teacher: torch.Tensor, rows: torch.Tensor) -> None:
    """Put a student's rows [n, d_S] at their counterparts' [m, d_T] principal components, scaled to the spread that the
    table has; rows without one (-1) stay."""
    known = rows >= 0
    taken = teacher[rows[known]]
    if len(taken) < table.shape[1]:
        return
    centred = taken - taken.mean(0)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)
    parts = centred @ directions[: table.shape[1]].T
    table[known] = parts * (table.std() / parts.std())


def _judge(views: list[tuple[Graph, np.ndarray, np.ndarray]]):
    """PathModel -> mean reciprocal rank on a sample of valid of these graphs, each among its own entities."""
    asked = []
    for graph, *_ in views:
        table = queries(graph, "valid")
        asked.append(table.sample(min(len(table), 2 * _JUDGED), random_state=0))

    def judged(model: PathModel) -> float:
        ranks = [GraphModel(model, *view).rank(table) for view, table in zip(views, asked)]
        return float(np.mean([metrics.value(table, "mrr") for table in ranks]))

    return judged


def _kept(stage: Stage, trained: Trained) -> dict:
    runtime.save_tensors(
        stage.path("model.safetensors"), trained.model.state_dict(), config.as_dict(trained.model.settings)
    )
    many = sum(parameter.numel() for parameter in trained.model.parameters())
    return trained.history.keep(stage.path("history.json")) | {"parameters": many}


def _read(stage: Stage) -> PathModel:
    tensors, settings = runtime.load_tensors(stage.path("model.safetensors"))
    loop = config.LoopConfig(**settings.pop("loop"))
    return path_model(tensors, config.PathConfig(**settings, loop=loop))
