"""A method, and what it answers to a task's questions: a stage like any other, so nothing is answered twice."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sellarec_lab import runtime
from sellarec_lab.compare.tasks import RATING, Task
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions, judging_rows
from sellarec_lab.runtime import Stage

# (model, its stage, the valid split, answers) -> a frame with check, value, verdict
Checks = Callable[[Any, Stage, pd.DataFrame, pd.DataFrame], pd.DataFrame]
_JUDGED = RATING, "valid"


@dataclass(frozen=True)
class Method:
    """One row of the table.

    Args:
        title: name in tables.
        group: "reference" (no learning, or the truth), "collaborative", "paper", "control", "ablation", "beyond".
        source: where it comes from and how ours departs.
        stage: (preset, data) -> the stage whose value is a model, with the verbs that its tasks ask for; all that the
            method rests on is below it.
        tasks: names of the tasks that it can do.
        checks: what its valid scores must pass before any score is believed.
        fits: whether it can run on this data at all.
    """

    title: str
    group: str
    source: str
    stage: Callable[[Preset, Interactions], Stage]
    tasks: tuple[str, ...] = ("rating", "next-item")
    checks: Checks | None = None
    fits: Callable[[Any], bool] = lambda data: True


def put_together(
    name: str, read: Callable[[Preset, Interactions], Any], below: Callable[..., tuple[Stage, ...]] | None = None,
    code: tuple[str, ...] = (),
) -> Callable[[Preset, Interactions], Stage]:  # fmt: skip
    """The stage of a model that is put together from the stages ``below(cfg, data)`` when it is read; nothing is left
    to make."""

    def stage(cfg: Preset, data: Interactions) -> Stage:
        rests = below(cfg, data) if below else ()
        return runtime.stage(cfg, data, name, {}, runtime.nothing, lambda _: read(cfg, data), *rests, code=code)

    return stage


def outcome(cfg: Preset, data: Interactions, method: Method, task: Task = RATING, split: str = "test") -> Stage:
    """A method's answers on a split, as a stage; its value is the frame with ``task.keeps``.

    Raises:
        ValueError: a method that can't do the task.
    """
    if task.name not in method.tasks:
        raise ValueError(f"{method.title} has no answer to {task.name!r}; it can do: {', '.join(method.tasks)}")
    below, judged = method.stage(cfg, data), method.checks is not None and (task, split) == _JUDGED

    def make(stage: Stage) -> dict:
        asked = _asked(cfg, data, task, split)
        model = _loaded(below)
        answers = getattr(model, task.verb)(asked)
        runtime.save_frame(stage.path("answers.safetensors"), answers[list(task.keeps)])
        return {"sanity": _believed(method, model, below, data.valid, answers)} if judged else {}

    first = () if method.checks is None or judged else (outcome(cfg, data, method, RATING, "valid"),)
    inputs = {"split": split, **task.options} | ({"valid_rows": cfg.valid_rows} if (task, split) == _JUDGED else {})
    return runtime.stage(cfg, data, task.name, inputs, make, _answers, below, *first, code=(task.ask.__module__,))


def rated(cfg: Preset, data: Interactions, method: Method, split: str) -> pd.DataFrame:
    """A method's scored rows of valid or test, under the index that they have there; of valid only those that judge
    the preset's trainings (`judging_rows`), for every method alike."""
    answers = outcome(cfg, data, method, RATING, split).value()
    return answers.set_index(_asked(cfg, data, RATING, split).index)


def _asked(cfg: Preset, data: Interactions, task: Task, split: str) -> pd.DataFrame:
    asked = task.ask(data, split, **task.options)
    return judging_rows(asked, cfg.valid_rows, cfg.seed) if (task, split) == _JUDGED else asked


def _answers(stage: Stage) -> pd.DataFrame:
    return runtime.load_frame(stage.path("answers.safetensors"))


_LAST: dict[str, Any] = {}  # the model that answered last; one, since large ones fit once


def _loaded(stage: Stage) -> Any:
    """The model of a stage; kept until another one is asked, or `forget` is called."""
    if stage.key not in _LAST:
        forget()
        _LAST[stage.key] = stage.value()
    return _LAST[stage.key]


def forget() -> None:
    """Let the model go that answered last."""
    _LAST.clear()


def _believed(method: Method, model: Any, stage: Stage, valid: pd.DataFrame, answers: pd.DataFrame) -> list[dict]:
    checks = method.checks(model, stage, valid, answers)
    wrong = checks[checks["verdict"] != "ok"]
    if len(wrong):
        lines = "; ".join(f"{r.check}: {r.value} ({r.verdict})" for r in wrong.itertuples())
        raise RuntimeError(f"{method.title} is not to be believed: {lines}")
    return checks.to_dict("records")
