"""Controls wired to models: pick a user, drop a title, rewrite the question, switch a token off, watch the score.

The heart is a value, `Case`; `Workbench` moves from case to case, by widgets or by code, and back. What LC-Rec writes
has a bench of its own, `Generation`.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from sellarec_lab import compare, sella
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions, shown_titles
from sellarec_lab.lcrec import LCRec
from sellarec_lab.workbench import files
from sellarec_lab.workbench.answers import Ranked, ranking
from sellarec_lab.workbench.bench import Workbench
from sellarec_lab.workbench.case import Case, template_pieces, template_text
from sellarec_lab.workbench.generation import Generation
from sellarec_lab.workbench.lookup import Found, Lookup
from sellarec_lab.workbench.walk import Walk, on_item

__all__ = [
    "Case", "Found", "Generation", "Lookup", "Ranked", "Walk", "Workbench", "on_item", "open", "open_case", "ranking",
    "template_pieces", "template_text",
]  # fmt: skip


def open(
    models, data: Interactions, cfg: Preset | None = None, predictions: pd.DataFrame | None = None
) -> Workbench | Generation:
    """Open the workbench.

    Args:
        models: a `Recommender`, or name -> `Recommender`; the first two are shown beside each other. One `LCRec` opens
            a bench of its own, on what it writes.
        data: the `Interactions` that the models know; true probabilities are shown where it has them.
        cfg: the preset, in whose folder of artifacts exports go; with it the search "worst" reads scores that
            `lab.compare` has made before.
        predictions: scored rows (``model.predict(data.test)``) for the search "worst".

    Raises:
        ValueError: no model; or a model that was trained on another catalogue than ``data``.
    """
    named = dict(models) if isinstance(models, Mapping) else {_name(models): models}
    written = [model for model in named.values() if isinstance(model, LCRec)]
    if written and len(named) > 1:
        raise ValueError("an LC-Rec model writes items and can't stand beside another model: open it alone")
    if not named:
        raise ValueError("no model was given: pass a Recommender, or a dict of name and Recommender")
    for name, model in named.items():
        if list(model.profiles.titles) != shown_titles(data, _shown(model)):
            raise ValueError(
                f"model {name!r} knows other titles than the data {data.name!r}: give the data it was made of"
            )
    if written:
        return Generation(written[0], data)
    if predictions is None and cfg is not None:
        predictions = _scored_before(cfg, data, named)
    return Workbench(named, data, predictions, cfg)


def open_case(path: str | Path, models, data: Interactions, cfg: Preset | None = None) -> Workbench:
    """Open the workbench on a case that `Workbench.export` wrote as json.

    Raises:
        ValueError: no such file, or one of other data, or a field that can't be used; names the file and the field.
    """
    bench = open(models, data, cfg)
    case, shown = files.read(path, bench)
    bench.restore(case, [name for name in shown if name in bench.models], f"opened: {Path(path).name}")
    return bench


def _shown(model) -> str:
    """What stands for an item in a model's prompts."""
    return "own" if isinstance(model, LCRec) else model.prompt_config.titles


def _name(model) -> str:
    """What a single model is called: its recipe's name, or its title."""
    if isinstance(model, LCRec):
        return "LC-Rec"
    return next((name for name, recipe in sella.RECIPES.items() if recipe == model.recipe), model.recipe.title)


def _scored_before(cfg: Preset, data: Interactions, models: Mapping) -> pd.DataFrame | None:
    """Test scores of the first model that was scored before; nothing is trained here."""
    for model in models.values():
        name = _name(model)
        if name in sella.RECIPES and all(a.finished for a in compare.rating_stages(cfg, data, name).values()):
            return compare.predictions(cfg, data, name)
    return None
