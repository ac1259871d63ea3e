"""A cell is one model with one seed: trained, scored and checked once, kept for good; here or on a cluster."""

import contextlib
import dataclasses
import json
import os
import traceback
from collections.abc import Callable, Iterable, Iterator

import joblib
import pandas as pd
from joblib.externals.loky.process_executor import TerminatedWorkerError

from sellarec_lab import runtime
from sellarec_lab.compare.methods import METHODS, TITLES, method, models_for
from sellarec_lab.compare.outcomes import forget, outcome, rated
from sellarec_lab.compare.tasks import DECODING, LAST_ITEM, LINK, QUESTION, RATING, Task, next_item
from sellarec_lab.config import Preset
from sellarec_lab.data import DataError, Interactions
from sellarec_lab.kg import Graphs
from sellarec_lab.runtime import Stage

Tick = Callable[[str], None]
NEXT_METRICS = ("hr@10", "ndcg@10")  # what models of next items are compared by
Cell = tuple[Preset, str, tuple[tuple[Task, str], ...]]  # a preset with its seed, a model, and what it is asked


class Scored(dict):
    """model -> its scored test frames, one a seed. ``seeds``: model -> those seeds; ``failures``: (model, seed) -> what
    went wrong."""

    def __init__(self, models: Iterable[str] = ()):
        models = list(models)
        super().__init__({name: [] for name in models})
        self.seeds: dict[str, list[int]] = {name: [] for name in models}
        self.failures: dict[tuple[str, int], str] = {}


def predictions(cfg: Preset, data: Interactions, model: str, split: str = "test") -> pd.DataFrame:
    """A model's scores on valid or test, ``user_id, item_id, label, is_warm, score``, or for a model of next items its
    `Ranks`; trains what is missing.

    Scores of a language model are believed only after the sanity battery, which runs with valid.

    Raises:
        ValueError: unknown model or split.
        RuntimeError: the sanity battery found something.
    """
    if split not in ("valid", "test"):
        raise ValueError(f"predictions are made for valid and test, not for {split!r}")
    task = asked_first(model)
    try:
        if task == RATING:
            return rated(cfg, data, method(model), split)
        return outcome(cfg, data, method(model), task, split).value()
    finally:
        forget()


def asked_first(model: str) -> Task:
    """The task that a method is in the table for: to rate rows, to say what comes next, or what is linked."""
    return {task.name: task for task in (RATING, LAST_ITEM, LINK)}[method(model).tasks[0]]


def rating_stages(cfg: Preset, data: Interactions, model: str) -> dict[str, Stage]:
    """What the table needs of a model beside rankings of a sample: its answers on valid (where scores are calibrated)
    and test, as stages."""
    task = asked_first(model)
    return {s: outcome(cfg, data, method(model), task, s) for s in (("valid", "test") if task == RATING else ("test",))}


def full_ranking(cfg: Preset, data: Interactions, model: str, users: int = 100) -> pd.DataFrame:
    """`Ranks` of what a sample of users like in test, among the whole catalogue; see `tasks.likers`."""
    return _asked_beside(cfg, data, model, next_item(users))


def decoding(cfg: Preset, data: Interactions, model: str) -> pd.DataFrame:
    """How faithful a model's decoding is for a sample of test: ``query, survived, exists``; see `LCRec.inspect`."""
    return _asked_beside(cfg, data, model, DECODING)


def answers(cfg: Preset, graphs: Graphs, model: str) -> pd.DataFrame:
    """`Ranks` of the answers to multi-hop questions that hang on facts held out; see `kg.questions`."""
    return _asked_beside(cfg, graphs, model, QUESTION)


def _asked_beside(cfg: Preset, data: Interactions | Graphs, model: str, task: Task) -> pd.DataFrame:
    try:
        return outcome(cfg, data, method(model), task).value()
    finally:
        forget()


def finished(cfg: Preset, data: Interactions) -> list[str]:
    """Methods that were trained and scored before, in the table's order: to read them takes no time."""
    return [name for name in models_for(data, "all") if _finished(cfg, data, name)]


def _finished(cfg: Preset, data: Interactions, name: str) -> bool:
    try:
        return all(stage.finished for stage in rating_stages(cfg, data, name).values())
    except DataError:  # it rests on other data too, a graph, which is not at hand
        return False


def run(
    cfg: Preset,
    data: Interactions,
    models: Iterable[str] | None = None,
    seeds: int = 1,
    tick: Tick | None = None,
    workers: int = 1,
    rank_users: int = 0,
    ablation_seeds: int | None = None,
    cluster: str | None = None,
) -> Scored:
    """Test predictions of every model with seeds ``cfg.seed, cfg.seed + 1, ...``.

    Finished cells are read, not made again. A cell that fails leaves its error in ``failures`` and the rest goes on.

    Args:
        tick: called with each cell that is done, for a progress bar.
        workers: processes at a time; each has its share of the threads.
        rank_users: rank the whole catalogue for so many users, with the first seed only; 0 for nobody.
        ablation_seeds: at most so many seeds for the group "ablation".
        cluster: address of a Dask scheduler whose workers see the same folder of artifacts; they take the place of
            ``workers``.
    """
    runtime.expect(cfg, data)
    chosen = list(models or models_for(data))
    out = Scored(chosen)
    planned = plan(chosen, cfg.seed, seeds, ablation_seeds)
    cfg = dataclasses.replace(cfg, artifacts=str(runtime.artifacts_folder(cfg.artifacts).resolve()))
    cells = [_cell(cfg, name, seed, rank_users) for name, seed in planned]
    for (c, name, _), error in cells_made(data, _lightest_first(cells, data), workers, cluster):
        if error:
            out.failures[name, c.seed] = error
        if tick is not None:
            tick(f"{TITLES[name]}, seed {c.seed}" + (" FAILED" if error else ""))
    for name, seed in planned:
        if (name, seed) not in out.failures:
            out[name].append(predictions(dataclasses.replace(cfg, seed=seed), data, name))
            out.seeds[name].append(seed)
    return out


def plan(models: Iterable[str], first: int, seeds: int, ablation_seeds: int | None = None) -> list[tuple[str, int]]:
    """The cells of `run`, as (model, seed), seed by seed."""
    counts = {n: min(seeds, ablation_seeds or seeds) if method(n).group == "ablation" else seeds for n in models}
    return [(n, first + offset) for offset in range(seeds) for n, count in counts.items() if offset < count]


def _cell(cfg: Preset, name: str, seed: int, rank_users: int) -> Cell:
    """Valid and test scores of a model, and with the first seed what it is asked beside."""
    task = asked_first(name)
    asked = [(task, split) for split in (("valid", "test") if task == RATING else ("test",))]
    beside = (DECODING, QUESTION) if seed == cfg.seed else ()
    asked += [(task, "test") for task in beside if task.name in METHODS[name].tasks]
    if rank_users and seed == cfg.seed and "next-item" in METHODS[name].tasks[1:]:
        asked.append((next_item(rank_users), "test"))
    return dataclasses.replace(cfg, seed=seed), name, tuple(asked)


def _lightest_first(cells: list[Cell], data: Interactions) -> list[Cell]:
    """What rests on little comes first: others rest on it, and two workers seldom wait for each other."""
    return sorted(cells, key=lambda cell: len(method(cell[1]).stage(cell[0], data).line))


def cells_made(
    data: Interactions, cells: list[Cell], workers: int, cluster: str | None
) -> Iterator[tuple[Cell, str | None]]:
    """Each cell with its error, or None, as they are done."""
    workers = min(workers, len(cells)) if cluster is None else -1
    waiting = list(cells)
    with _pool(workers, cluster) as parallel:
        try:
            for cell, error in parallel(joblib.delayed(_attempt)(cell, data, os.getpid()) for cell in cells):
                waiting.remove(cell)
                yield cell, error
        except TerminatedWorkerError as death:
            yield from ((cell, f"a worker was killed ({death}); run again to go on") for cell in waiting)


def _pool(workers: int, cluster: str | None) -> contextlib.AbstractContextManager[joblib.Parallel]:
    """Processes of this machine, or the workers of a Dask cluster: the same call."""
    return runtime.at_once(workers) if cluster is None else _on_cluster(cluster)


@contextlib.contextmanager
def _on_cluster(address: str) -> Iterator[joblib.Parallel]:
    from distributed import Client

    with Client(address), joblib.parallel_config(backend="dask"):
        yield joblib.Parallel(-1, return_as="generator_unordered", pre_dispatch="all")


def _attempt(cell: Cell, data: Interactions, caller: int) -> tuple[Cell, str | None]:
    """Make a cell; what went wrong as one line, or None. The whole traceback goes to a file beside the results."""
    cfg, name, asked = cell
    try:
        with runtime.at_work(caller):
            for task, split in asked:
                outcome(cfg, data, method(name), task, split).made()
    except Exception as error:
        place = runtime.artifacts_folder(cfg.artifacts) / cfg.name / "errors" / f"{name}-seed{cfg.seed}.json"
        story = {"model": name, "seed": cfg.seed, "error": str(error), "traceback": traceback.format_exc()}
        runtime.write_text(place, json.dumps(story, indent=1))
        return cell, f"{type(error).__name__}: {error}"
    finally:
        forget()
    return cell, None
