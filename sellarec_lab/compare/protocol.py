"""A cell is one model with one seed: trained, scored and checked once, kept for good."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed

import numpy as np
import pandas as pd
import torch

from sellarec_lab import runtime, sella
from sellarec_lab.compare import catalogue
from sellarec_lab.compare.fusion import fuse
from sellarec_lab.compare.methods import METHODS, TITLES, Method, method, models_for
from sellarec_lab.compare.sanity import sanity
from sellarec_lab.config import Preset
from sellarec_lab.runtime import Artifact

Tick = Callable[[str], None]


class Scored(dict):
    """model -> its scored test frames, one a seed. ``seeds``: model -> those seeds; ``failures``: (model, seed) -> what
    went wrong."""

    def __init__(self, models: Iterable[str] = ()):
        models = list(models)
        super().__init__({name: [] for name in models})
        self.seeds: dict[str, list[int]] = {name: [] for name in models}
        self.failures: dict[tuple[str, int], str] = {}


def artifacts(cfg: Preset, data, model: str) -> dict[str, Artifact]:
    """All that a model's scores rest on, by stage, its own scores on test and valid last; finished or not."""
    chosen = method(model)
    found: dict[str, Artifact] = {}
    for part in chosen.fuses:
        found |= {f"{part}/{stage}": a for stage, a in artifacts(cfg, data, part).items()}
    found |= chosen.rests_on(cfg, data)
    inputs = {
        "model": model, "data": data.fingerprint, "seed": cfg.seed, "settings": chosen.settings(cfg),
        **{stage: a.key for stage, a in found.items()},
    }  # fmt: skip
    own = {s: Artifact(cfg.artifacts, cfg.name, "predictions", {**inputs, "split": s}) for s in ("valid", "test")}
    return found | own


def predictions(cfg: Preset, data, model: str, split: str = "test") -> pd.DataFrame:
    """A model's scores on valid or test: ``user_id, item_id, label, is_warm, score``; trains what is missing.

    Scores of a language model are believed only after the sanity battery, which runs with valid.

    Raises:
        ValueError: unknown model or split.
        RuntimeError: the sanity battery found something.
    """
    if split not in ("valid", "test"):
        raise ValueError(f"predictions are made for valid and test, not for {split!r}")
    frame, chosen = data.split(split), method(model)
    if chosen.recipe and split == "test":
        predictions(cfg, data, model, "valid")
    artifact = artifacts(cfg, data, model)[split]
    path = artifact.path("scores.safetensors")
    with artifact.claim() as missing:
        if missing:
            scores, facts = _scores(cfg, data, chosen, split)
            runtime.save_tensors(path, {"score": torch.tensor(scores)})
            artifact.finish(**facts)
    scores = runtime.load_tensors(path)[0]["score"].numpy()
    return frame[["user_id", "item_id", "label", "is_warm"]].assign(score=scores)


def _scores(cfg: Preset, data, chosen: Method, split: str) -> tuple[np.ndarray, dict]:
    """Scores of a split, float64 [n], and what the manifest should tell."""
    if chosen.fuses:
        valid, wanted = ([predictions(cfg, data, part, s) for part in chosen.fuses] for s in ("valid", split))
        return fuse(valid, wanted), {}
    frame = data.split(split)
    if chosen.recipe is None:
        return chosen.scorer(cfg, data)(frame)["score"].to_numpy(dtype=float), {}
    model = sella.train(cfg, data, chosen.recipe)
    scored = model.predict(frame)
    facts = {"distinct_scores": int(scored["score"].nunique())}
    if split == "valid":
        stages = list(chosen.rests_on(cfg, data).values())
        facts["sanity"] = _battery(model, data, scored, stages[-1].manifest["best"] if stages else None)
    return scored["score"].to_numpy(dtype=float), facts


def _battery(model: sella.Recommender, data, scored: pd.DataFrame, trained: float | None) -> list[dict]:
    checks = sanity(model, data.valid, scored, trained)
    wrong = checks[checks["verdict"] != "ok"]
    if len(wrong):
        lines = "; ".join(f"{r.check}: {r.value} ({r.verdict})" for r in wrong.itertuples())
        raise RuntimeError(f"{model.recipe.title} is not to be believed: {lines}")
    return checks.to_dict("records")


def full_ranking(cfg: Preset, data, model: str, users: int = 100) -> pd.DataFrame:
    """Full-catalogue ranking of a sample of users: ``hr@5, hr@10, ndcg@5, ndcg@10`` by user_id; see `catalogue`."""
    asked, chosen = catalogue.questions(data, users), method(model)
    rests = {stage: a.key for stage, a in artifacts(cfg, data, model).items()}
    artifact = Artifact(cfg.artifacts, cfg.name, "catalogue", {"model": model, "users": users, **rests})
    path = artifact.path("scores.safetensors")
    with artifact.claim() as missing:
        if missing:
            if chosen.recipe:
                predict = sella.train(cfg, data, chosen.recipe)
            else:
                predict = chosen.scorer(cfg, data)
            scores = catalogue.score_catalogue(predict, asked, data.n_items, f"{chosen.title}, whole catalogue")
            runtime.save_tensors(path, {"scores": torch.tensor(scores).float()})
            artifact.finish()
    return catalogue.ranking(runtime.load_tensors(path)[0]["scores"].numpy(), asked)


def finished(cfg: Preset, data) -> list[str]:
    """Methods that were trained and scored before, in the table's order: to read them takes no time."""
    return [n for n in models_for(data, "all") if all(a.finished for a in artifacts(cfg, data, n).values())]


def costs(cfg: Preset, data, model: str) -> dict[str, float]:
    """``seconds`` of training and scoring, from the manifests of all that the model rests on, and ``peak_gb``, the
    largest memory of the process in any of them. A backbone that was pre-trained here is not counted."""
    parts = {a.key: a.manifest for a in artifacts(cfg, data, model).values() if a.finished}
    return {
        "seconds": round(sum(m["seconds"] for m in parts.values()), 1),
        "peak_gb": max((m["peak_gb"] for m in parts.values()), default=0.0),
    }


def cell(cfg: Preset, data, model: str, rank_users: int = 0) -> None:
    """Make everything that the table needs of one model with one seed, and keep it."""
    for split in ("valid", "test"):
        predictions(cfg, data, model, split)
    if rank_users and not method(model).fuses and model != "oracle":
        full_ranking(cfg, data, model, rank_users)


def run(
    cfg: Preset,
    data,
    models: Iterable[str] | None = None,
    seeds: int = 1,
    tick: Tick | None = None,
    workers: int = 1,
    rank_users: int = 0,
    ablation_seeds: int | None = None,
) -> Scored:
    """Test predictions of every model with seeds ``cfg.seed, cfg.seed + 1, ...``.

    Finished cells are read, not made again. A cell that fails leaves its error in ``failures`` and the rest goes on.

    Args:
        tick: called with each cell that is done, for a progress bar.
        workers: processes at a time; each has its share of the threads.
        rank_users: rank the whole catalogue for so many users, with the first seed only; 0 for nobody.
        ablation_seeds: at most so many seeds for the group "ablation".
    """
    chosen = list(models or models_for(data))
    out = Scored(chosen)
    planned = plan(chosen, cfg.seed, seeds, ablation_seeds)
    jobs = [(dataclasses.replace(cfg, seed=s), n, rank_users if s == cfg.seed else 0) for n, s in _ordered(planned)]
    with _pool(data, min(workers, len(jobs))) as submit:
        for (c, name, _), error in submit(jobs):
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


def _ordered(cells: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """What others rest on comes first, so that two workers seldom wait for each other."""
    first = {"tallrec": 0, "mf": 1, "aligned-mf": 1}
    return sorted(cells, key=lambda p: (3 if METHODS[p[0]].fuses else first.get(p[0], 2), p[1]))


@contextlib.contextmanager
def _pool(data, workers: int):
    """``with _pool(data, workers) as submit``: ``submit(jobs)`` yields (job, error or None) as they are done."""
    if workers <= 1:
        yield lambda jobs: ((job, _attempt(job, data)) for job in jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    with _quiet_children(), ProcessPoolExecutor(workers, spawn, _start, (data, workers)) as executor:

        def submit(jobs):
            futures = {executor.submit(_attempt, job): job for job in jobs}
            for future in as_completed(futures):
                error = future.exception()
                yield futures[future], f"{type(error).__name__}: {error}" if error else future.result()

        yield submit


@contextlib.contextmanager
def _quiet_children():
    """Progress bars of several processes would overwrite each other: children show none."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        os.environ.pop("TQDM_DISABLE")
        if before is not None:
            os.environ["TQDM_DISABLE"] = before


_DATA = None  # what a worker process works on


def _start(data, workers: int) -> None:
    global _DATA
    _DATA = data
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))
    threading.Thread(target=_die_with, args=(os.getppid(),), daemon=True).start()


def _die_with(parent: int) -> None:
    """A worker whose parent was killed would train on, unseen; what it has so far is in its checkpoint."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def _attempt(job: tuple[Preset, str, int], data=None) -> str | None:
    """Make a cell; what went wrong as one line, or None. The whole traceback goes to a file beside the results."""
    cfg, model, rank_users = job
    try:
        cell(cfg, data if data is not None else _DATA, model, rank_users)
    except Exception as error:
        place = runtime.artifacts_folder(cfg.artifacts) / cfg.name / "errors" / f"{model}-seed{cfg.seed}.json"
        story = {"model": model, "seed": cfg.seed, "error": str(error), "traceback": traceback.format_exc()}
        runtime.write_text(place, json.dumps(story, indent=1))
        return f"{type(error).__name__}: {error}"
    return None
