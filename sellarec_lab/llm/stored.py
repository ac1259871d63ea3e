"""Backbones as a preset names them: which weights decide its numbers, and how they are loaded."""

import dataclasses
import functools
import warnings
from pathlib import Path

import pandas as pd

from sellarec_lab import config, runtime
from sellarec_lab.config import BackboneConfig, Preset
from sellarec_lab.data import Interactions, tiny
from sellarec_lab.llm.adapter import load_adapter, set_trainable
from sellarec_lab.llm.backbone import LanguageModel, load, place, width
from sellarec_lab.llm.corpus import CatalogueCorpus
from sellarec_lab.llm.minilm import pretrain
from sellarec_lab.runtime import Stage


def pretraining(cfg: Preset, data: Interactions) -> tuple[Stage, ...]:
    """The stage that pre-trains a mini-LLM on the catalogue's own text; none for a backbone that comes ready."""
    settings = cfg.backbone.pretraining
    if cfg.backbone.name != "catalogue":
        return ()

    def make(stage: Stage) -> dict:
        corpus = CatalogueCorpus(data.items, data.train, settings.seed)
        history = pretrain(settings, corpus.documents, stage.path("model"))
        runtime.write_text(stage.path("history.json"), history.to_json())
        return {"final_loss": history.records[-1]["loss"]}

    inputs = {"data": data.fingerprint, "pretraining": config.as_dict(settings)}
    code = ("sellarec_lab.llm.minilm", "sellarec_lab.llm.corpus")
    place = (cfg.artifacts, cfg.name)
    return (Stage("backbone", inputs, make, lambda stage: stage.path("model"), code=code, place=place),)


def ready(cfg: Preset, data: Interactions) -> BackboneConfig:
    """The backbone's settings with the folder that its weights lie in, where they are made here. Warns where the
    embedded mini-LLM is to judge a catalogue that it has not read."""
    if cfg.backbone.name == "embedded":
        _warn_of_strangers(data)
    folders = [str(stage.value()) for stage in pretraining(cfg, data)]
    return dataclasses.replace(cfg.backbone, name=folders[0]) if folders else cfg.backbone


def _warn_of_strangers(data: Interactions) -> None:
    known = _embedded_titles()
    strange = [title for title in data.titles[1:] if title not in known]
    if len(strange) > data.n_items / 2:
        warnings.warn(
            f"the embedded mini-LLM has read of the embedded world's films alone, and {len(strange)} of the "
            f"{data.n_items} titles of {data.name!r} are none of them ({strange[0]!r}): it can't know what they are. "
            "Take preset 'own', whose mini-LLM reads your titles first, or a model that has read of them: "
            "backbone__name='smollm2', a hub's id, or a folder.",
            stacklevel=3,
        )


@functools.cache
def _embedded_titles() -> frozenset[str]:
    return frozenset(pd.read_csv(tiny.default_folder() / "items.csv")["title"])


def stored(cfg: Preset, data: Interactions, adapter: Path | None = None) -> LanguageModel:
    """A preset's backbone, with a saved adapter if one is given; all of it frozen."""
    lm = load(ready(cfg, data))
    lm.name = cfg.backbone.name
    if adapter is not None:
        load_adapter(lm, adapter)
        set_trainable(lm, False)
        lm.model.eval()
    return lm


def save_whole(lm: LanguageModel, folder: Path) -> None:
    """Write a model that was trained whole, with its tokenizer, as an ordinary folder."""
    if runtime.is_main():
        lm.base.save_pretrained(folder)
        lm.tokenizer.save_pretrained(folder)


def whole(folder: Path) -> BackboneConfig:
    """How a model that was trained whole is loaded again: as it is."""
    return BackboneConfig(name=str(folder), quantisation="none", dtype="float32", template="plain")


def inputs(cfg: Preset) -> dict:
    """What decides a backbone's numbers: its settings, the decisions taken for this machine, and its weights."""
    on = runtime.device().value
    asks = (on, cfg.backbone.dtype) == ("cpu", "auto")  # there the width decides
    wide = width(cfg.backbone) if asks else None
    decided = {
        "quantisation": runtime.quantisation(cfg.backbone.quantisation, on).value,
        "dtype": runtime.dtype(cfg.backbone.dtype, on, wide).value,
    }
    folder = Path(place(cfg.backbone.name).value)
    files = sorted(folder.glob("*.safetensors")) if folder.is_dir() else []
    weights = [_file_digest(file, file.stat().st_mtime_ns) for file in files]  # of a hub's, name and revision
    return {"backbone": config.as_dict(cfg.backbone) | decided | {"weights": weights}}


@functools.cache
def _file_digest(file: Path, changed: int) -> str:
    return runtime.file_digest(file)
