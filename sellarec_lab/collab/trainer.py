"""One way to build and one way to train every collaborative model; the type of the config says which."""

from __future__ import annotations

from pathlib import Path

from sellarec_lab import runtime, training
from sellarec_lab.collab.codes import BinaryCodes
from sellarec_lab.collab.lightgcn import LightGCN
from sellarec_lab.collab.mf import MatrixFactorisation
from sellarec_lab.collab.pointwise import LogisticLoss, Pointwise, labels_of, ranking_quality, shuffled
from sellarec_lab.collab.sequential import DIN, SASRec
from sellarec_lab.config import CodesConfig, CollabConfig, DINConfig, LightGCNConfig, SASRecConfig
from sellarec_lab.training import History

AnyConfig = CollabConfig | LightGCNConfig | SASRecConfig | DINConfig | CodesConfig
LABELS = {
    CollabConfig: "matrix factorisation",
    LightGCNConfig: "LightGCN",
    SASRecConfig: "SASRec",
    DINConfig: "DIN",
    CodesConfig: "binary codes",
}


def new(config: AnyConfig, data, seed: int = 0) -> Pointwise:
    """An untrained model for ``data`` (an `Interactions`), ready for training or for ``load_state_dict``.

    Raises:
        TypeError: the config belongs to no model here; the message lists those that do.
    """
    if type(config) not in LABELS:
        known = ", ".join(kind.__name__ for kind in LABELS)
        raise TypeError(f"no collaborative model has a {type(config).__name__}; known configs: {known}")
    with runtime.seeded(seed, LABELS[type(config)]):
        model = _build(config, data)
    model.mark_seen(data.train)
    return model


def _build(config: AnyConfig, data) -> Pointwise:
    sizes = data.n_users, data.n_items
    match config:
        case CollabConfig():
            return MatrixFactorisation(*sizes, config.dim, config.biases)
        case LightGCNConfig():
            return LightGCN(*sizes, config.dim, config.layers, data.train)
        case SASRecConfig():
            return SASRec(
                *sizes, dim=config.dim, layers=config.layers, heads=config.heads, dropout=config.dropout,
                history=config.history,
            )  # fmt: skip
        case DINConfig():
            return DIN(*sizes, dim=config.dim, hidden=config.hidden, dropout=config.dropout, history=config.history)
        case _:
            return BinaryCodes(*sizes, config.bits)


def train(
    config: AnyConfig, data, seed: int = 0, checkpoint: Path | None = None, label: str | None = None
) -> tuple[Pointwise, History]:
    """Fit a model on ``data.train`` with early stopping on the AUC of ``data.valid``.

    Args:
        config: the config of the wanted model.
        data: an `Interactions`.
        seed: of the first weights, of the order of rows, and of dropout.
        checkpoint: file to resume from and to write to, as in `training.fit`.
        label: name on the progress bar; the model's own by default.

    Returns:
        The model in its best state, on the CPU, and what happened.

    Raises:
        TypeError: as in `new`.
        FloatingPointError: the loss is not finite.
    """
    model = new(config, data, seed)
    columns = (*model.inputs(data.train), labels_of(data.train))
    history = training.fit(
        LogisticLoss(model), shuffled(columns, config.loop.batch_size, seed), config.loop,
        label=label or LABELS[type(config)], seed=seed, checkpoint=checkpoint,
        validate=lambda: ranking_quality(model.predict(data.valid)),
    )  # fmt: skip
    return model.cpu(), history
