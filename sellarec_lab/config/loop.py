"""The optimisation of a stage: a part of every config that trains."""

from dataclasses import dataclass


def require(condition: bool, message: str) -> None:
    """A setting that can't be is refused when the config is made."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class LoopConfig:
    """The optimisation of one stage (`training.fit`)."""

    learning_rate: float = 1e-3
    batch_size: int = 64  # rows that the optimiser sees at a step
    micro_batch: int | None = None  # rows that fit into memory at once; None takes all of a step's
    epochs: int = 1
    rows: int | None = None  # at most this many training rows an epoch, drawn anew each epoch; None takes all
    weight_decay: float = 0.01
    warmup: float = 0.05  # share of all steps with a rising learning rate
    schedule: str = "cosine"  # or "constant"
    max_grad_norm: float = 1.0
    evaluations: int = 2  # validations an epoch
    patience: int = 4  # validations without a better result before stopping; the best state is kept
    checkpoint_seconds: float = 60.0  # a killed run loses at most about this much

    def __post_init__(self):
        require(self.learning_rate > 0, f"learning_rate must be positive, got {self.learning_rate}")
        require(self.batch_size > 0, f"batch_size must be positive, got {self.batch_size}")
        fits = self.micro_batch is None or self.micro_batch > 0
        require(fits, f"micro_batch must be positive or None, got {self.micro_batch}")
        require(self.epochs >= 0, f"epochs must not be negative, got {self.epochs}")
        require(self.schedule in ("cosine", "constant"), f"schedule is 'cosine' or 'constant', got {self.schedule!r}")
