"""The optimisation of a stage: a part of every config that trains."""

from typing import Literal

from sellarec_lab.config.checked import Amount, Count, Positive, Share, Weight, settings


@settings
class LoopConfig:
    """The optimisation of one stage (`training.fit`)."""

    learning_rate: Positive = 1e-3
    batch_size: Count = 64  # rows that the optimiser sees at a step
    micro_batch: Count | None = None  # rows that fit into memory at once; None takes all of a step's
    epochs: Amount = 1
    rows: Count | None = None  # at most this many training rows an epoch, drawn anew each epoch; None takes all
    weight_decay: Weight = 0.01
    warmup: Share = 0.05  # share of all steps with a rising learning rate
    schedule: Literal["cosine", "constant"] = "cosine"
    max_grad_norm: Positive = 1.0
    evaluations: Count = 2  # validations an epoch
    patience: Count = 4  # validations without a better result before stopping; the best state is kept
    checkpoint_seconds: Weight = 60.0  # a killed run loses at most about this much
