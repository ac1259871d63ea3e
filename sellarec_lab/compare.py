"""Many models, one protocol, one table.

Every model scores the same test rows once, after its training and selection on valid are over. Intervals come from a
bootstrap over users; with several seeds a value is the mean over seeds. Finished predictions are never recomputed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import torch

from sellarec_lab import collab, config, metrics, runtime, sella
from sellarec_lab.config import Preset
from sellarec_lab.runtime import Artifact

BASELINES = {
    "oracle": "Oracle (true probability)",
    "means": "Item mean + user mean",
    "mf": "MF with biases",
}
TITLES = BASELINES | {name: r.title for name, r in sella.RECIPES.items()}
METRICS = ("auc", "uauc")


def models_for(data) -> list[str]:
    """All models that can run on this data: the oracle only where the truth is known."""
    return [name for name in TITLES if name != "oracle" or data.truth is not None]


def _scorer(cfg: Preset, data, model: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """What scores a frame; a model is trained here if it has not been."""
    if model == "oracle":
        return lambda frame: frame.assign(score=data.truth[frame["user_id"], frame["item_id"]].astype(float))
    if model == "means":
        return lambda frame: collab.mean_scores(data.train, frame)
    if model == "mf":
        return sella.train_collab(cfg, data).predict
    return sella.train(cfg, data, model).predict


def _artifact(cfg: Preset, data, model: str, split: str) -> Artifact:
    rests_on = {}
    if model in sella.RECIPES:
        rests_on = {s: a.key for s, a in sella.stage_artifacts(cfg, data, sella.recipe(model)).items()}
    tree = config.as_dict(cfg) if model == "zero-shot" else config.as_dict(cfg.collab)
    inputs = {"model": model, "split": split, "data": data.fingerprint, "seed": cfg.seed, "cfg": tree, **rests_on}
    return Artifact(cfg.artifacts, cfg.name, "predictions", inputs)


def predictions(cfg: Preset, data, model: str, split: str = "test") -> pd.DataFrame:
    """A model's scores on a split: ``user_id, item_id, label, is_warm, score``; trains what is missing.

    Raises:
        ValueError: unknown model.
    """
    if model not in TITLES:
        raise ValueError(f"unknown model {model!r}; known models: {', '.join(TITLES)}")
    frame = data.split(split)
    artifact = _artifact(cfg, data, model, split)
    path = artifact.path("scores.safetensors")
    if not artifact.finished:
        scorer = _scorer(cfg, data, model)
        artifact = _artifact(cfg, data, model, split)  # its clock starts here: every stage counts its own seconds
        scored = scorer(frame)
        runtime.save_tensors(path, {"score": torch.tensor(scored["score"].to_numpy(dtype=float))})
        artifact.finish()
    scores = runtime.load_tensors(path)[0]["score"].numpy()
    return frame[["user_id", "item_id", "label", "is_warm"]].assign(score=scores)


def seconds(cfg: Preset, data, model: str) -> float:
    """Wall time of training and scoring, from the manifests of all stages that the model rests on."""
    artifacts = [_artifact(cfg, data, model, "test")]
    if model in sella.RECIPES:
        artifacts += sella.stage_artifacts(cfg, data, sella.recipe(model)).values()
    if model == "mf":
        artifacts.append(sella.collab_artifact(cfg, data))
    return sum(a.manifest["seconds"] for a in artifacts if a.finished)


def run(
    cfg: Preset, data, models: Iterable[str] | None = None, seeds: int = 1, tick: Callable[[str], None] | None = None
) -> dict[str, list[pd.DataFrame]]:
    """Test predictions of every model with seeds ``cfg.seed, cfg.seed + 1, ...``: model -> one frame a seed.

    ``tick`` is called with each model that is done, for a progress bar.
    """
    chosen = list(models or models_for(data))
    out: dict[str, list[pd.DataFrame]] = {name: [] for name in chosen}
    for seed in range(cfg.seed, cfg.seed + seeds):
        for name in chosen:
            out[name].append(predictions(dataclasses.replace(cfg, seed=seed), data, name))
            if tick is not None:
                tick(f"{TITLES[name]}, seed {seed}")
    return out


def parts(frame: pd.DataFrame) -> dict[str, np.ndarray]:
    """Row masks of the test split and of its warm and cold rows (user and item both seen in train, or not); a part
    without a single user who has both labels can't be ranked and is left out."""
    warm = frame["is_warm"].to_numpy(dtype=bool)
    masks = {"test": np.ones(len(frame), dtype=bool), "test-warm": warm, "test-cold": ~warm}
    return {name: m for name, m in masks.items() if (frame[m].groupby("user_id")["label"].nunique() == 2).any()}


def table(cfg: Preset, data, scored: dict[str, list[pd.DataFrame]], samples: int = 1000) -> pd.DataFrame:
    """The results: ``model, split, metric, value, low, high, seeds, seconds``, one row a model, part and metric."""
    rows = []
    for name, frames in scored.items():
        spent = sum(seconds(dataclasses.replace(cfg, seed=cfg.seed + s), data, name) for s in range(len(frames)))
        for part, mask in parts(frames[0]).items():
            for metric in METRICS:
                value, low, high = metrics.interval([f[mask] for f in frames], metric, samples)
                rows.append((name, part, metric, value, low, high, len(frames), round(spent, 1)))
    return pd.DataFrame(rows, columns=["model", "split", "metric", "value", "low", "high", "seeds", "seconds"])


def paired_tests(scored: dict[str, list[pd.DataFrame]], against: str = "sella", samples: int = 1000) -> pd.DataFrame:
    """``against`` minus every other model, on the same users: ``model, split, metric, difference, low, high, p_value,
    p_holm, users``. ``p_holm`` is corrected for the number of models compared (Holm, within a split and metric)."""
    rows = []
    for name, frames in scored.items():
        if name == against:
            continue
        for part, mask in parts(frames[0]).items():
            for metric in METRICS:
                ours = [f[mask] for f in scored[against]]
                rows.append((name, part, metric, *metrics.paired(ours, [f[mask] for f in frames], metric, samples)))
    names = ["model", "split", "metric", "difference", "low", "high", "p_value", "users"]
    tests = pd.DataFrame(rows, columns=names)
    corrected = tests.groupby(["split", "metric"])["p_value"].transform(lambda p: _holm(p.to_numpy()))
    tests.insert(7, "p_holm", corrected)
    return tests


def _holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down correction."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: one row a model, AUC and UAUC with intervals, warm and cold, and the share of the
    oracle's gap where there is an oracle."""
    text = results.assign(
        text=[f"{v:.4f} [{a:.3f}, {b:.3f}]" for v, a, b in zip(results["value"], results["low"], results["high"])],
        column=results["split"].str.replace("test-", "").replace("test", "all") + " " + results["metric"].str.upper(),
    )
    order = list(dict.fromkeys(results["model"]))
    columns = list(dict.fromkeys(text["column"]))
    wide = text.pivot(index="model", columns="column", values="text").loc[order, columns]
    auc = results[(results["split"] == "test") & (results["metric"] == "auc")].set_index("model")["value"]
    if "oracle" in auc:
        wide.insert(1, "oracle gap closed", [f"{metrics.gap_closed(auc[m], auc['oracle']):.0%}" for m in order])
    return wide.rename(index=TITLES).rename_axis(None, axis=1)
