"""The rows of the table of links: what needs no learning, the student, and the student with one thing changed."""

from collections.abc import Callable
from typing import Any

from sellarec_lab import config, kg, runtime
from sellarec_lab.compare.outcomes import Method
from sellarec_lab.compare.tasks import QUESTION
from sellarec_lab.config import DistillationConfig, Preset
from sellarec_lab.kg import Graphs
from sellarec_lab.runtime import Stage

_PAPER = "arXiv 2306.02679, for which there is no public code: sizes, losses and weights are this project's"
_UNTAUGHT = {"kg__distillation": DistillationConfig(0.0, 0.0, 0.0), "kg__start": "random"}
_ALL = 10**6  # reach and cap of a subgraph that is everything


def _method(title: str, group: str, source: str, stage: Callable[[Preset, Graphs], Stage], *more: str) -> Method:
    return Method(title, group, source, stage, tasks=("link", *more))


def _looks(title: str, source: str, model: Callable[[Graphs], object]) -> Method:
    def stage(cfg: Preset, graphs: Graphs) -> Stage:
        inputs, code = {"target": graphs.target, "which": title}, ("sellarec_lab.kg.lookup",)
        return runtime.stage(cfg, graphs, "kg-lookup", inputs, runtime.nothing, lambda _: model(graphs), code=code)

    return _method(title, "reference", source, stage)


def _triples(title: str, name: str, source: str) -> Method:
    """A model of the target's triples alone."""

    def stage(cfg: Preset, graphs: Graphs) -> Stage:
        return kg.triple_stage(cfg, graphs[graphs.target], getattr(cfg.kg, name))

    return _method(title, "collaborative", source, stage, QUESTION.name)


def _student(title: str, group: str, source: str, **changes: Any) -> Method:
    """The student with fields of the preset changed, as ``kg__distillation__features=0.0``."""

    def stage(cfg: Preset, graphs: Graphs) -> Stage:
        return kg.Pipeline(config.changed(cfg, changes), graphs).ranker

    return _method(title, group, source, stage, QUESTION.name)


def _ablation(title: str, **changes: Any) -> Method:
    return _student(f"Student, {title}", "ablation", "the student with this one thing changed", **changes)


LINKS: dict[str, Method] = {
    "kg-frequency": _looks(
        "Frequency behind the relation", "how often an entity stands behind the relation in train", kg.Frequency
    ),
    "kg-lookup": _looks(
        "Look-up in linked graphs", "how many other graphs tell the triple, translated by the links", kg.Lookup
    ),
    "kg-transe": _triples("TransE, target alone", "transe", "Bordes et al. 2013, self-adversarial negatives"),
    "kg-distmult": _triples("DistMult, target alone", "distmult", "arXiv 1412.6575, softmax over all entities"),
    "kg-rotate": _triples("RotatE, target alone", "rotate", "arXiv 1902.10197, self-adversarial negatives"),
    "kg-alone": _student(
        "Student's model, target alone", "collaborative", "the same model on the target's own triples",
        kg__subgraph=False, **_UNTAUGHT,
    ),
    "kg-merged": _student(
        "Student's model, all graphs merged", "collaborative", "the same model on everything, without a teacher",
        kg__reach=_ALL, kg__cap=_ALL, **_UNTAUGHT,
    ),
    "kg-student": _student("Student", "paper", _PAPER),
    "kg-no-teacher": _ablation("no teacher", **_UNTAUGHT),
    "kg-no-features": _ablation("no features from the teacher", kg__distillation__features=0.0),
    "kg-no-network": _ablation("no states from the teacher", kg__distillation__network=0.0),
    "kg-no-predictions": _ablation("no predictions from the teacher", kg__distillation__predictions=0.0),
    "kg-random-start": _ablation("random start", kg__start="random"),
    "kg-no-subgraph": _ablation("no linked subgraph", kg__subgraph=False),
    **{
        f"kg-{name}": _ablation(f"{name} encoders", kg__teacher__encoder=name, kg__student__encoder=name)
        for name in ("transformer", "recurrent")
    },
    **{f"kg-links-{share}": _ablation(f"{share} % of the links", kg__alignment=share / 100) for share in (20, 50)},
    "kg-wrong-links": _ablation("20 % of the links wrong", kg__noise=0.2),
}  # fmt: skip
