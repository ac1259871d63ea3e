"""Fine-tuning on any examples: what task tuning, injection and every other system's training share."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from sellarec_lab import training
from sellarec_lab.config import LoopConfig
from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Encoder
from sellarec_lab.llm.examples import Examples
from sellarec_lab.llm.losses import Loss, Objective


def finetune(
    lm: LanguageModel, examples: Examples, losses: Sequence[Loss], loop: LoopConfig, *, label: str, seed: int = 0,
    soft: nn.Module | None = None, validate: training.Validation | None = None,
    monitor: training.Monitor | None = None, checkpoint: Path | None = None,
) -> training.History:  # fmt: skip
    """Train what may train in the adapter and in ``soft``; see `training.fit` for the rest."""
    objective = Objective(lm, losses, soft)
    encoder = Encoder(lm.tokenizer, lm.template)
    return training.fit(
        objective, examples.batches(encoder, loop.batch_size, seed, loop.rows, grouped=objective.whole_batch), loop,
        label=label, seed=seed, validate=validate, monitor=monitor or training.Monitor(), checkpoint=checkpoint,
        precision=lm.decisions["dtype"].value,
    )  # fmt: skip
