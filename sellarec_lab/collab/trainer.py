"""One way to build, to train and to keep every collaborative model; the type of the config says which."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sellarec_lab import config, metrics, runtime, training
from sellarec_lab.collab.codes import BinaryCodes
from sellarec_lab.collab.lightgcn import LightGCN
from sellarec_lab.collab.mf import MatrixFactorisation
from sellarec_lab.collab.pointwise import LogisticLoss, Pointwise, labels_of, shuffled
from sellarec_lab.collab.sequential import DIN, SASRec
from sellarec_lab.config import CodesConfig, DINConfig, LightGCNConfig, MFConfig, Preset, SASRecConfig
from sellarec_lab.data import Interactions, both_classes
from sellarec_lab.runtime import Stage
from sellarec_lab.training import History

AnyConfig = Any  # a config that `MODELS` knows


class Kind(NamedTuple):
    """A kind of collaborative model: its name on progress bars, and how an untrained one is built for a data set."""

    label: str
    build: Callable[[AnyConfig, Interactions], Pointwise]


MODELS: dict[type, Kind] = {  # a new model is one more entry, with a config of its own
    MFConfig: Kind(
        "matrix factorisation", lambda c, data: MatrixFactorisation(data.n_users, data.n_items, c.dim, c.biases)
    ),
    LightGCNConfig: Kind("LightGCN", lambda c, data: LightGCN(data.n_users, data.n_items, c.dim, c.layers, data.train)),
    SASRecConfig: Kind("SASRec", lambda c, data: SASRec(data.n_users, data.n_items, **_sizes(c))),
    DINConfig: Kind("DIN", lambda c, data: DIN(data.n_users, data.n_items, **_sizes(c))),
    CodesConfig: Kind("binary codes", lambda c, data: BinaryCodes(data.n_users, data.n_items, c.bits)),
}


def _sizes(config: AnyConfig) -> dict[str, Any]:
    """All fields of a config but the loop."""
    return {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name != "loop"}


def new(config: AnyConfig, data: Interactions, seed: int = 0) -> Pointwise:
    """An untrained model for ``data``, ready for training or for ``load_state_dict``.

    Raises:
        TypeError: the config belongs to no model here; the message lists those that do.
    """
    if type(config) not in MODELS:
        known = ", ".join(kind.__name__ for kind in MODELS)
        raise TypeError(f"no collaborative model has a {type(config).__name__}; known configs: {known}")
    label, build = MODELS[type(config)]
    with runtime.seeded(seed, label):
        model = build(config, data)
    model.mark_seen(data.train)
    model.data = data
    return model


def stage(cfg: Preset, data: Interactions, name: str, settings: AnyConfig | None = None) -> Stage:
    """A collaborative model of a preset as a stage; ``name`` is the preset's field that describes it, or any name for
    ``settings`` of one's own. Its value is the trained model."""
    settings = getattr(cfg, name) if settings is None else settings

    def make(stage: Stage) -> dict:
        model, history = train(settings, data, cfg.seed, stage.path("checkpoint.safetensors"))
        runtime.save_tensors(stage.path("model.safetensors"), model.state_dict())
        return history.keep(stage.path("history.json"))

    def read(stage: Stage) -> Pointwise:
        model = new(settings, data, cfg.seed)
        model.load_state_dict(runtime.load_tensors(stage.path("model.safetensors"))[0])
        return model.eval()

    code = (__name__, type(settings).__module__)
    return runtime.stage(cfg, data, name, {"settings": config.as_dict(settings)}, make, read, code=code)


def train(
    settings: AnyConfig, data: Interactions, seed: int = 0, checkpoint: Path | None = None, label: str | None = None
) -> tuple[Pointwise, History]:
    """Fit a model on ``data.train`` with early stopping on the AUC of ``data.valid``.

    Args:
        settings: the config of the wanted model.
        data: its train split is learned from, its valid split stops.
        seed: of the first weights, of the order of rows, and of dropout.
        checkpoint: file to resume from and to write to, as in `training.fit`.
        label: name on the progress bar; the model's own by default.

    Returns:
        The model in its best state, on the CPU, and what happened.

    Raises:
        TypeError: as in `new`.
        DataError: train or valid holds likes alone, or none.
        FloatingPointError: the loss is not finite.
    """
    both_classes(data)
    model = new(settings, data, seed)
    columns = (*model.inputs(data.train), labels_of(data.train))
    history = training.fit(
        LogisticLoss(model), shuffled(columns, settings.loop.batch_size, seed), settings.loop,
        label=label or MODELS[type(settings)].label, seed=seed, checkpoint=checkpoint,
        validate=lambda: metrics.quality(model.predict(data.valid)),
    )  # fmt: skip
    return model.cpu(), history
