"""Every row of the table: what it is called, what it rests on, and what scores a frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sellarec_lab import collab, config, sella
from sellarec_lab.config import Preset
from sellarec_lab.runtime import Artifact

Scorer = Callable[[pd.DataFrame], pd.DataFrame]  # a split's rows -> the same with a float ``score``


@dataclass(frozen=True)
class Method:
    """One row.

    Args:
        title: name in tables.
        group: "reference" (no learning, or the truth), "collaborative", "paper", "ablation", "beyond".
        source: where it comes from and how ours departs.
        scorer: (preset, data) -> what scores frames; trains what is missing.
        rests_on: (preset, data) -> the artifacts that it is made of, by stage.
        settings: preset -> plain data that decides the scores beside those artifacts.
        fuses: other methods whose scores it blends; then ``scorer`` is not used.
        recipe: name in `sella.RECIPES`, if it is one.
    """

    title: str
    group: str
    source: str
    scorer: Callable[[Preset, Any], Scorer] | None = None
    rests_on: Callable[[Preset, Any], dict[str, Artifact]] = lambda cfg, data: {}
    settings: Callable[[Preset], Any] = lambda cfg: None
    fuses: tuple[str, ...] = ()
    recipe: str | None = None


def _oracle(cfg: Preset, data) -> Scorer:
    return lambda frame: frame.assign(score=data.truth[frame["user_id"], frame["item_id"]].astype(float))


def _counts(title: str, source: str, scores: Callable) -> Method:
    return Method(title, "reference", source, lambda cfg, data: lambda frame: scores(data.train, frame))


def _collab(title: str, kind: str, source: str) -> Method:
    return Method(
        title, "collaborative", source, lambda cfg, data: sella.train_collab(cfg, data, kind).predict,
        lambda cfg, data: {kind: sella.collab_artifact(cfg, data, kind)},
    )  # fmt: skip


def _aligned(cfg: Preset, data) -> dict[str, Artifact]:
    found = sella.stage_artifacts(cfg, data, sella.recipe("sella"))
    return {stage: found[stage] for stage in ("tuning", "semantics", "alignment")}


def _language(name: str, recipe: sella.Recipe) -> Method:
    return Method(
        recipe.title, recipe.group, recipe.source, lambda cfg, data: sella.train(cfg, data, name).predict,
        lambda cfg, data: sella.stage_artifacts(cfg, data, recipe),
        lambda cfg: [config.as_dict(part) for part in (recipe.applied(cfg).backbone, cfg.prompt)], recipe=name,
    )  # fmt: skip


def _fusion(title: str, *fuses: str) -> Method:
    source = "logistic regression on the standardised scores, fitted on valid, for warm and for cold rows apart"
    return Method(title, "beyond", source, fuses=fuses)


_NUMBERS = ("item-mean", "user-mean", "mf")
_RIVALS = ("aligned-mf", "lightgcn", "sasrec", "din")
METHODS: dict[str, Method] = {
    "oracle": Method("Oracle (true probability)", "reference", "P(like) of the simulated world", _oracle),
    "popularity": _counts("Popularity", "number of the item's rows in train", collab.popularity_scores),
    "item-mean": _counts("Item mean", "smoothed share of likes of the item in train", collab.item_mean_scores),
    "user-mean": _counts("User mean", "smoothed share of likes of the user in train", collab.user_mean_scores),
    "means": _counts("Item mean + user mean", "sum of the two as logits: two numbers a row", collab.mean_scores),
    "mf-plain": _collab("MF without biases", "plain", "matrix factorisation as the CoLLM family trains it"),
    "mf": _collab("MF with biases", "collab", "Koren et al. 2009, logistic loss, decay on used rows only"),
    "aligned-mf": Method(
        "MF, aligned", "collaborative", "SeLLa-Rec's stage 2b as a rating model of its own",
        lambda cfg, data: sella.aligned_model(cfg, data).predict, _aligned,
    ),
    "lightgcn": _collab("LightGCN", "lightgcn", "arXiv 2002.02126, on likes, pointwise logistic loss"),
    "sasrec": _collab("SASRec", "sasrec", "arXiv 1808.09781, pointwise logistic loss"),
    "din": _collab("DIN", "din", "arXiv 1706.06978"),
    **{name: _language(name, recipe) for name, recipe in sella.RECIPES.items()},
    "fusion-cf": _fusion("Late fusion: means, MF", *_NUMBERS),
    "fusion": _fusion("Late fusion: means, MF, SeLLa-Rec", *_NUMBERS, "sella"),
    "fusion-all-cf": _fusion("Late fusion: all without an LLM", *_NUMBERS, *_RIVALS[1:]),
    "fusion-all": _fusion("Late fusion: all with SeLLa-Rec", *_NUMBERS, *_RIVALS, "sella"),
}  # fmt: skip
TITLES = {name: method.title for name, method in METHODS.items()}
CORE = ("oracle", "means", "mf", "zero-shot", "tallrec", "collm", "sella")  # what the first notebooks speak of


def method(name: str) -> Method:
    """Look a method up by name.

    Raises:
        ValueError: unknown name; lists the known ones.
    """
    if name not in METHODS:
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(METHODS)}")
    return METHODS[name]


def models_for(data, which: str = "core") -> list[str]:
    """Names of the methods that can run on this data, in the table's order: "core" (the seven of the first
    notebooks), "all", or a group ("paper", "ablation", ...). The oracle is there only where the truth is known.

    Raises:
        ValueError: neither "core", "all" nor a group.
    """
    groups = {m.group for m in METHODS.values()}
    if which not in {"core", "all", *groups}:
        raise ValueError(f"unknown choice of models {which!r}; known: core, all, {', '.join(sorted(groups))}")
    chosen = CORE if which == "core" else [n for n, m in METHODS.items() if which in ("all", m.group)]
    return [name for name in chosen if name != "oracle" or data.truth is not None]
