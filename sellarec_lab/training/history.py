"""What happened in a training, and by which number it is judged."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from sellarec_lab import runtime


@dataclass(frozen=True)
class Monitor:
    """The metric of a validation that decides which state is kept and when to stop; ``better`` is "higher" or "lower".

    Raises:
        ValueError: ``better`` is something else.
    """

    name: str = "auc"
    better: str = "higher"

    def __post_init__(self):
        if self.better not in ("higher", "lower"):
            raise ValueError(f"Monitor({self.name!r}): better is 'higher' or 'lower', got {self.better!r}")

    @property
    def worst(self) -> float:
        return -math.inf if self.better == "higher" else math.inf

    def improves(self, value: float, best: float) -> bool:
        return value > best if self.better == "higher" else value < best


@dataclass
class History:
    """What happened: one record a logged step (``step, epoch, loss, learning_rate, seconds``, and at a validation its
    metrics). ``best`` is the best monitored value, ``stopped`` says why training ended."""

    records: list[dict[str, float]] = field(default_factory=list)
    best: float = -math.inf
    best_step: int = 0
    stopped: str = "all epochs done"

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.records)

    def to_json(self) -> str:
        return json.dumps(self.__dict__)

    def keep(self, path: Path) -> dict[str, Any]:
        """Write it beside a result; returns what a manifest should tell."""
        runtime.write_text(path, self.to_json())
        return {"best": self.best, "best_step": self.best_step, "stopped": self.stopped}

    @classmethod
    def from_json(cls, text: str) -> History:
        return cls(**json.loads(text))
