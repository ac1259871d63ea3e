"""Every row of the table: what it is called, where it comes from, and the stage that makes its model."""

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from sellarec_lab import collab, kg, runtime, sella
from sellarec_lab.compare.fusion import Fusion
from sellarec_lab.compare.links import LINKS
from sellarec_lab.compare.next_item import NEXT_ITEM
from sellarec_lab.compare.outcomes import Method, outcome, put_together, rated
from sellarec_lab.compare.sanity import battery
from sellarec_lab.compare.tasks import RATING
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions, Profiles
from sellarec_lab.runtime import Stage
from sellarec_lab.world.knowable import STATED, Knowable


@dataclass(frozen=True)
class Oracle:
    """Knows P(like) of a simulated world, [n_users + 1, n_items + 1]."""

    truth: np.ndarray

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with the true probability as ``score``."""
        return frame.assign(score=self.truth[frame["user_id"], frame["item_id"]].astype(float))


class SoFar:
    """A model that is told what was disliked before each row too, also after train."""

    def __init__(self, model: Knowable, data: Interactions):
        self.model, self.profiles = model, Profiles.of(data)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows with the model's ``score``."""
        return frame.assign(score=self.model.predict(self.profiles.with_disliked(frame))["score"])


def _scenes(cfg: Preset, data: Interactions) -> Stage:
    """Which scene every film belongs to, as far as co-ratings tell: the same for every seed."""

    def make(stage: Stage) -> None:
        found = Knowable(data.items, data.train, data.n_users).scenes
        runtime.save_tensors(stage.path("scenes.safetensors"), {"scenes": torch.from_numpy(found)})

    def read(stage: Stage) -> Knowable:
        found = runtime.load_tensors(stage.path("scenes.safetensors"))[0]["scenes"].numpy()
        return Knowable(data.items, data.train, data.n_users, found=found)

    code, place = ("sellarec_lab.world.knowable",), (cfg.artifacts, cfg.name)
    return Stage("scenes", {"data": data.fingerprint}, make, read, code=code, place=place)


def _knowable_text(cfg: Preset, data: Interactions) -> Knowable:
    return Knowable(data.items, data.train, data.n_users, scenes=False)


def _knowable_so_far(cfg: Preset, data: Interactions) -> SoFar:
    return SoFar(_scenes(cfg, data).value(), data)


def _is_world(data: Interactions) -> bool:
    return data.truth is not None and set(STATED) <= set(data.items.columns)


def _counts(title: str, source: str, scores: Callable) -> Method:
    code = ("sellarec_lab.collab.counts",)
    stage = put_together(scores.__name__, lambda cfg, data: collab.Counts(scores, data), code=code)
    return Method(title, "reference", source, stage)


def _collab(title: str, name: str, source: str) -> Method:
    return Method(title, "collaborative", source, lambda cfg, data: collab.stage(cfg, data, name))


def _language(recipe: sella.Recipe) -> Method:
    def stage(cfg: Preset, data: Interactions) -> Stage:
        return sella.Pipeline(cfg, data, recipe).recommender

    return Method(recipe.title, recipe.group, recipe.source, stage, checks=battery)


def _fusion(title: str, *names: str) -> Method:
    def scores(cfg: Preset, data: Interactions) -> tuple[Stage, ...]:
        return tuple(outcome(cfg, data, METHODS[name], RATING, s) for name in names for s in ("valid", "test"))

    def read(cfg: Preset, data: Interactions) -> Fusion:
        return Fusion(*([rated(cfg, data, METHODS[name], split) for name in names] for split in ("valid", "test")))

    source = "logistic regression on the standardised scores, fitted on valid, for warm and for cold rows apart"
    stage = put_together("fusion", read, scores, ("sellarec_lab.compare.fusion",))
    return Method(title, "beyond", source, stage, tasks=("rating",))


_NUMBERS = ("item-mean", "user-mean", "mf")
_RIVALS = ("aligned-mf", "lightgcn", "sasrec", "din")
METHODS: dict[str, Method] = {
    "oracle": Method(
        "Oracle (true probability)", "reference", "P(like) of the simulated world",
        put_together("oracle", lambda cfg, data: Oracle(data.truth)), tasks=("rating",),
        fits=lambda data: data.truth is not None,
    ),
    "knowable": Method(
        "Knowable (Bayes)", "reference",
        "the world's own form, what articles state, tastes and scenes inferred from train and the shown history",
        _scenes, tasks=("rating",), fits=_is_world,
    ),
    "knowable-text": Method(
        "Knowable from text alone (Bayes)", "reference", "the same without scenes, which no text mentions",
        put_together("knowable-text", _knowable_text, code=("sellarec_lab.world.knowable",)), tasks=("rating",),
        fits=_is_world,
    ),
    "knowable-so-far": Method(
        "Knowable so far (Bayes)", "reference",
        "all that was rated before the row, also after train and what was disliked: for rating-aware histories",
        put_together(
            "knowable-so-far", _knowable_so_far, lambda cfg, data: (_scenes(cfg, data),),
            code=("sellarec_lab.world.knowable",),
        ), tasks=("rating",), fits=_is_world,
    ),
    "popularity": _counts("Popularity", "number of the item's rows in train", collab.popularity_scores),
    "item-mean": _counts("Item mean", "smoothed share of likes of the item in train", collab.item_mean_scores),
    "user-mean": _counts("User mean", "smoothed share of likes of the user in train", collab.user_mean_scores),
    "means": _counts("Item mean + user mean", "sum of the two as logits: two numbers a row", collab.mean_scores),
    "means-so-far": Method(
        "Item mean + user's mean so far", "reference",
        "the user's share of likes before the row, also after train: what a rating-aware history can tell",
        put_together("means-so-far", lambda cfg, data: collab.MeanSoFar(data), code=("sellarec_lab.collab.counts",)),
        tasks=("rating",),
    ),
    "mf-plain": _collab("MF without biases", "mf_plain", "matrix factorisation as the CoLLM family trains it"),
    "mf": _collab("MF with biases", "mf", "Koren et al. 2009, logistic loss, decay on used rows only"),
    "aligned-mf": Method(
        "MF, aligned", "collaborative", "SeLLa-Rec's stage 2b as a rating model of its own",
        put_together("aligned-mf", sella.aligned_model, lambda cfg, data: (sella.Pipeline(cfg, data).alignment,)),
    ),
    "lightgcn": _collab("LightGCN", "lightgcn", "arXiv 2002.02126, on likes, pointwise logistic loss"),
    "sasrec": _collab("SASRec", "sasrec", "arXiv 1808.09781, pointwise logistic loss"),
    "din": _collab("DIN", "din", "arXiv 1706.06978"),
    **{name: _language(recipe) for name, recipe in sella.RECIPES.items()},
    "rlfm": Method(
        "RLFM on item semantics", "beyond",
        "Agarwal and Chen, KDD 2009, on what the tuned LLM says of the items: factors with learned priors",
        sella.factors_stage,
    ),
    "fusion-cf": _fusion("Late fusion: means, MF", *_NUMBERS),
    "fusion": _fusion("Late fusion: means, MF, SeLLa-Rec", *_NUMBERS, "sella"),
    "fusion-disliked": _fusion(
        "Late fusion: means so far, SeLLa-Rec, rating-aware", "means-so-far", "sella-disliked"
    ),
    "fusion-rlfm": _fusion("Late fusion: RLFM, SeLLa-Rec", "rlfm", "sella"),
    "fusion-all-cf": _fusion("Late fusion: all without an LLM", *_NUMBERS, *_RIVALS[1:]),
    "fusion-all": _fusion("Late fusion: all with SeLLa-Rec", *_NUMBERS, *_RIVALS, "sella"),
    **NEXT_ITEM,
    **LINKS,
}  # fmt: skip
TITLES = {name: method.title for name, method in METHODS.items()}
CEILINGS = ("oracle", "knowable", "knowable-text", "knowable-so-far")  # no model that learned
CORE = (  # what the first notebooks speak of
    "oracle", "knowable", "knowable-text", "means", "mf", "aligned-mf", "zero-shot", "tallrec", "collm", "sella",
    "rlfm", "fusion-rlfm",
)  # fmt: skip


def method(name: str) -> Method:
    """Look a method up by name.

    Raises:
        ValueError: unknown name; says the nearest, and lists the known ones.
    """
    if name not in METHODS:
        near = difflib.get_close_matches(name, [*METHODS, *_choices()], 3)
        if near:
            raise ValueError(f"unknown model {name!r}; did you mean {' or '.join(near)}? --list names all")
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(METHODS)}")
    return METHODS[name]


def named(models: str) -> list[str] | str:
    """Methods as a command takes them: names with commas, or a choice that `models_for` knows.

    Raises:
        ValueError: an unknown name.
    """
    if models in _choices():
        return models
    names = [name.strip() for name in models.split(",")]
    for name in names:
        method(name)
    return names


def _choices() -> list[str]:
    return ["core", "all", *dict.fromkeys(m.group for m in METHODS.values())]


def models_for(data: Interactions | kg.Graphs, which: str = "core") -> list[str]:
    """Names of the methods that can run on this data, in the table's order: "core" (what the first notebooks speak of),
    "all", or a group ("paper", "ablation", ...). The oracle and what is knowable are there only in the embedded world;
    where test holds nothing but likes, rows can't be rated and the next item is asked for instead; of graphs, links.

    Raises:
        ValueError: neither "core", "all" nor a group.
    """
    if which not in _choices():
        raise ValueError(f"unknown choice of models {which!r}; known: {', '.join(_choices())}")
    task = _asked(data)
    fit = [name for name, m in METHODS.items() if m.tasks[0] == task and m.fits(data)]
    chosen = CORE if which == "core" else [name for name in fit if which in ("all", METHODS[name].group)]
    return [name for name in chosen if name in fit]


def check_fit(data: Interactions | kg.Graphs, models: Iterable[str]) -> None:
    """See that methods have an answer to what this data asks.

    Raises:
        ValueError: one has none; names it, and the command that has a table for it.
    """
    task = _asked(data)
    commands = {"rating": "compare", "next-item": "lcrec", "link": "kg"}
    for name in models:
        able = method(name).tasks[0]
        if able != task:
            told = f"{name!r} answers {able!r}, but this data asks for {task!r}"
            raise ValueError(f"{told}; name other models, or take the command {commands[able]!r} and its data")
        if not method(name).fits(data):
            raise ValueError(f"{name!r} knows the embedded world alone; leave it out on other data")


def _asked(data: Interactions | kg.Graphs) -> str:
    """The first task that this data has questions for."""
    if isinstance(data, kg.Graphs):
        return "link"
    return "next-item" if data.test["label"].all() else "rating"


def titled(frame: pd.DataFrame) -> pd.DataFrame:
    """A table of results or tests with its models by title, as people read them."""
    return frame.assign(model=[TITLES.get(name, name) for name in frame["model"]])
