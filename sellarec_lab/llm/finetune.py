"""Fine-tuning on any examples: what task tuning, injection and every other system's training share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from torch import nn

from sellarec_lab import training
from sellarec_lab.config import LoopConfig
from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Encoder
from sellarec_lab.llm.losses import Loss, Objective


class Source(Protocol):
    """What gives a training its batches: `Examples`, or a mixture that is drawn anew each epoch."""

    def batches(
        self, encoder: Encoder, batch_size: int, seed: int, rows: int | None = None, grouped: bool = False
    ) -> Callable[[int], training.Batches]: ...


def finetune(
    lm: LanguageModel, examples: Source, losses: Sequence[Loss], loop: LoopConfig, *, label: str, seed: int = 0,
    soft: nn.Module | None = None, validate: training.Validation | None = None,
    monitor: training.Monitor | None = None, checkpoint: Path | None = None, encoder: Encoder | None = None,
) -> training.History:  # fmt: skip
    """Train what may train in the adapter and in ``soft``; see `training.fit` for the rest."""
    objective = Objective(lm, losses, soft)
    encoder = encoder or Encoder(lm.tokenizer, lm.template)
    return training.fit(
        objective, examples.batches(encoder, loop.batch_size, seed, loop.rows, grouped=objective.whole_batch), loop,
        label=label, seed=seed, validate=validate, monitor=monitor or training.Monitor(), checkpoint=checkpoint,
        precision=lm.decisions["dtype"].value,
    )  # fmt: skip
