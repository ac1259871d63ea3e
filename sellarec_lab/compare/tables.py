"""From scores to tables: values with intervals, paired tests, costs.

Intervals come from a bootstrap over users; with several seeds a value is the mean over seeds.
"""

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from sellarec_lab import metrics, runtime
from sellarec_lab.compare.methods import METHODS
from sellarec_lab.compare.protocol import (
    NEXT_METRICS,
    Scored,
    answers,
    asked_first,
    decoding,
    full_ranking,
    predictions,
    rating_stages,
)
from sellarec_lab.compare.tasks import DECODING, QUESTION, next_item
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions, warmth
from sellarec_lab.runtime import Stage

METRICS = ("auc", "uauc")  # in every part of test
WITHIN = ("ndcg", "map")  # on the whole test split; within a user, as UAUC is
CALIBRATION = ("log_loss", "ece")  # after a logistic calibration that is fitted on valid, the same for every model
RANKING = next_item().metrics
Runs = Sequence[pd.DataFrame]  # a model's scored test frames, one a seed
Models = Mapping[str, Runs]
LINK_METRICS = ("mrr", "hits@1")  # what models of links are compared by
UNCORRECTED = "ties count as hits"
TAILS = "test-tails"  # of links: tails alone, as papers on DBP-5L ask
_BINS = 10  # of equal width, for the expected calibration error


def parts(frame: pd.DataFrame, data: Interactions | None = None) -> dict[str, np.ndarray]:
    """Row masks of the test split and of its warm and cold rows. Warm: user and item both occur in train; with
    ``data`` also the stricter "warm3": both at least three times. A part without a single user who has both labels
    can't be ranked and is left out. `Ranks` have one part, all of test; those of links have their tails as well."""
    if "query" in frame:
        everything = {"test": np.ones(len(frame), dtype=bool)}
        return everything | ({TAILS: (frame["side"] == "tail").to_numpy()} if "side" in frame else {})
    warm = frame["is_warm"].to_numpy(dtype=bool)
    masks = {"test": np.ones(len(frame), dtype=bool), "test-warm": warm, "test-cold": ~warm}
    if data is not None:
        often = warmth(data, frame, at_least=3).to_numpy(dtype=bool)
        masks |= {"test-warm3": often, "test-cold3": ~often}
    return {name: m for name, m in masks.items() if (frame[m].groupby("user_id")["label"].nunique() == 2).any()}


def table(cfg: Preset, data: Interactions, scored: Models, samples: int = 1000, rank_users: int = 0) -> pd.DataFrame:
    """The results: ``model, split, metric, value, low, high, seeds, seconds``, one row a model, part and metric.

    ``seconds`` are those of training and scoring, over all seeds. A model that failed with every seed has one row
    without a value. ``split`` "catalogue-N" is the whole catalogue ranked for N users, with the first seed; so is
    "decoding", shares of what `LCRec.inspect` saw, and "question", multi-hop questions over a graph.
    """
    rows, once = [], (f"catalogue-{rank_users}", DECODING.name, QUESTION.name)
    for name, frames in tqdm(scored.items(), "intervals", unit="model", leave=False, delay=2):
        if not frames:
            rows.append((name, "test", "auc", *[np.nan] * 3, 0, 0.0))
            continue
        seeds = _presets(cfg, name, scored)
        spent = round(sum(runtime.costs(rating_stages(c, data, name).values())["seconds"] for c in seeds), 1)
        measured = _ranked(frames, data, samples, asked_first(name).metrics)
        if "query" not in frames[0]:
            measured += _calibrated(seeds, data, name, frames, samples)
        if rank_users and "next-item" in METHODS[name].tasks[1:]:
            ranks = full_ranking(seeds[0], data, name, rank_users)
            measured += [(once[0], metric, *metrics.interval(ranks, metric, samples)) for metric in RANKING]
        if DECODING.name in METHODS[name].tasks:
            told = decoding(seeds[0], data, name)
            measured += [(DECODING.name, m, told[m].mean(), np.nan, np.nan) for m in ("survived", "exists")]
        if QUESTION.name in METHODS[name].tasks:
            told = answers(seeds[0], data, name)
            measured += [(QUESTION.name, m, *metrics.interval(told, m, samples)) for m in QUESTION.metrics]
        rows += [(name, *row, 1 if row[0] in once else len(frames), spent) for row in measured]
    return pd.DataFrame(rows, columns=["model", "split", "metric", "value", "low", "high", "seeds", "seconds"])


def _by_seed(scored: Models, name: str, first: int = 0) -> dict[int, pd.DataFrame]:
    """Seed -> a model's frame; a plain mapping holds them in turn."""
    seeds = scored.seeds[name] if isinstance(scored, Scored) else itertools.count(first)
    return dict(zip(seeds, scored[name]))


def _presets(cfg: Preset, name: str, scored: Models) -> list[Preset]:
    """The presets that a model's frames come from."""
    return [dataclasses.replace(cfg, seed=s) for s in _by_seed(scored, name, cfg.seed)]


def by_seed(scored: Models, metric: str = "auc") -> pd.DataFrame:
    """AUC or UAUC on test, one row a model with a column a seed, then ``mean`` and ``spread``, the standard deviation
    over the seeds (NaN of one; left out where all have one). An interval over users says nothing of it."""
    seeds = scored.seeds if isinstance(scored, Scored) else {name: range(len(runs)) for name, runs in scored.items()}
    found = {
        name: {f"seed {seed}": metrics.quality(frame)[metric] for seed, frame in zip(seeds[name], runs, strict=True)}
        for name, runs in scored.items()
    }
    wide = pd.DataFrame(found).T
    told = wide.assign(mean=wide.mean(axis=1), spread=wide.std(axis=1))
    return told.dropna(axis="columns", how="all").rename_axis("model").reset_index()


def _ranked(frames: Runs, data: Interactions, samples: int, asked: Sequence[str]) -> list[tuple]:
    ranks = "query" in frames[0]
    found = [
        (part, metric, *metrics.interval([f[mask] for f in frames], metric, samples))
        for part, mask in parts(frames[0], data).items()
        for metric in (asked if ranks else METRICS if part != "test" else METRICS + WITHIN)
    ]
    return found + (_uncorrected(frames, samples) if ranks else [])


def _uncorrected(frames: Runs, samples: int) -> list[tuple]:
    """What the comparison metrics would be if an index that several items share were a hit for each of them; nothing
    where every item has a score of its own."""
    generous = [frame.assign(rank=frame["best"], ties="best") for frame in frames]
    if all((frame["best"] == frame["rank"]).all() for frame in frames):
        return []
    compared = _compared(frames[0])
    return [(UNCORRECTED, metric, *metrics.interval(generous, metric, samples)) for metric in compared]


def _calibrated(seeds: list[Preset], data: Interactions, name: str, frames: Runs, samples: int) -> list[tuple]:
    """Log loss (nats) and expected calibration error of calibrated scores: means over seeds, with intervals."""
    users, codes = np.unique(frames[0]["user_id"], return_inverse=True)
    draws = np.random.default_rng(0).multinomial(len(users), np.full(len(users), 1 / len(users)), samples)
    draws = np.vstack([np.ones(len(users), dtype=int), draws])  # the first is the data itself
    rows = draws @ np.bincount(codes)
    found = []
    for cfg, frame in zip(seeds, frames, strict=True):
        valid = predictions(cfg, data, name, "valid")
        p = metrics.probabilities(frame["score"], metrics.calibrate(valid["label"], valid["score"]))
        labels = frame["label"].to_numpy()
        likely = np.clip(np.where(labels == 1, p, 1 - p), 1e-15, 1.0)
        loss = draws @ np.bincount(codes, weights=-np.log(likely)) / rows
        gaps = np.zeros((len(users), _BINS))
        np.add.at(gaps, (codes, np.minimum((p * _BINS).astype(int), _BINS - 1)), labels - p)
        found.append((loss, np.abs(draws @ gaps).sum(axis=1) / rows))
    values = np.mean(found, axis=0)  # [2, 1 + samples]
    bounds = np.quantile(values[:, 1:], [0.025, 0.975], axis=1)
    return [("test", m, values[i, 0], *bounds[:, i]) for i, m in enumerate(CALIBRATION)]


def paired_tests(scored: Models, against: str = "sella", samples: int = 1000) -> pd.DataFrame:
    """``against`` minus every other model, on the same users: ``model, split, metric, difference, low, high, p_value,
    p_holm, users, detectable``.

    Seed by seed: a seed that one of the two lacks is left out.
    ``p_holm`` is corrected for the number of models compared (Holm, within a split and metric). ``detectable`` is the
    true difference that this comparison would find with 80 % power: anything smaller is beyond this test split.

    Raises:
        ValueError: ``against`` has no scores.
    """
    if not scored.get(against):
        raise ValueError(f"nothing to compare with: {against!r} has no scores; scored: {', '.join(scored) or 'none'}")
    rows = []
    for name in tqdm(scored, "paired tests", unit="model", leave=False, delay=2):
        frames = _by_seed(scored, against), _by_seed(scored, name)
        both = [seed for seed in frames[0] if seed in frames[1]]
        if name == against or not both:
            continue
        ours, theirs = ([by_seed[seed] for seed in both] for by_seed in frames)
        for part, mask in parts(ours[0]).items():
            for metric in _compared(ours[0]):
                pair = metrics.paired([f[mask] for f in ours], [f[mask] for f in theirs], metric, samples)
                rows.append((name, part, metric, *pair, metrics.detectable(pair)))
    names = ["model", "split", "metric", "difference", "low", "high", "p_value", "users", "detectable"]
    tests = pd.DataFrame(rows, columns=names)
    tests.insert(7, "p_holm", tests.groupby(["split", "metric"])["p_value"].transform(_holm))
    return tests


def compared_by(measured: Collection[str]) -> tuple[str, str]:
    """The two metrics that models are compared by where these were measured."""
    (found,) = [pair for pair in (METRICS, NEXT_METRICS, LINK_METRICS) if set(pair) <= set(measured)][:1]
    return found


def _compared(frame: pd.DataFrame) -> tuple[str, ...]:
    """The metrics that models with such answers are compared by."""
    if "query" not in frame:
        return METRICS
    return LINK_METRICS if "side" in frame else NEXT_METRICS


def _holm(p: pd.Series) -> pd.Series:
    """Holm's step-down correction; in the order of ``p``."""
    stepped = p.sort_values() * np.arange(len(p), 0, -1)
    return stepped.cummax().clip(upper=1.0).reindex(p.index)


def cells(cfg: Preset, data: Interactions, scored: Scored) -> pd.DataFrame:
    """What every cell took, and what made it: ``model, seed, seconds, peak_gb, parameters, distinct_scores, sanity,
    error``, and the columns of `runtime.births`.

    ``parameters``: of the model, where its training counted them. ``sanity`` counts the checks of the battery that a
    language model's scores passed.
    """
    rows = []
    for name in scored:
        for c in _presets(cfg, name, scored):
            stages = rating_stages(c, data, name)
            note, given = next(iter(stages.values())).manifest, predictions(c, data, name)
            passed = f"{len(note['sanity'])} ok" if "sanity" in note else ""
            row = {"model": name, "seed": c.seed, **runtime.costs(stages.values()), "sanity": passed, "error": ""}
            row |= {"parameters": _parameters(next(iter(stages.values()))), **runtime.births(stages.values())}
            rows.append(row | {"distinct_scores": given["score"].nunique() if "score" in given else None})
    rows += [{"model": model, "seed": seed, "error": error} for (model, seed), error in scored.failures.items()]
    first = ["model", "seed", "seconds", "peak_gb", "parameters", "distinct_scores", "sanity", "error"]
    return pd.DataFrame(rows, columns=[*first, *runtime.BORN_WITH])


def _parameters(answers: Stage) -> int | None:
    """How many the last training below some answers counted, if any did."""
    counted = [stage.manifest.get("parameters") for stage in answers.line if stage.finished]
    return next((many for many in reversed(counted) if many is not None), None)
