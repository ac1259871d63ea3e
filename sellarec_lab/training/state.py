"""What a checkpoint holds beside the loop's own counters: weights, optimiser, random state, the best weights so far."""

from pathlib import Path
from typing import Any

import torch

from sellarec_lab import runtime
from sellarec_lab.training.step import Step


class State:
    """The state of a `Step`, kept in memory when it is the best, and on disk to resume from."""

    def __init__(self, step: Step):
        self.step, self.best = step, {}

    def keep_best(self) -> None:
        self.best = {name: p.detach().clone() for name, p in self.step.parameters.items()}

    @torch.no_grad()
    def restore_best(self) -> None:
        for name, value in self.best.items():
            self.step.parameters[name].copy_(value)

    def save(self, path: Path, note: dict[str, Any]) -> None:
        """Called by every process, written by one: they differ in nothing but their random state."""
        tensors = {f"now/{n}": p for n, p in self.step.parameters.items()}
        tensors |= {f"best/{n}": p for n, p in self.best.items()}
        for index, values in self.step.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{key}": torch.as_tensor(v) for key, v in values.items()}
        for index, states in enumerate(self.step.group.gather(_random())):
            tensors |= {f"random/{index}/{on}": state for on, state in states.items()}
        note = {**note, "processes": self.step.group.count, "scaler": self.step.scaler.state_dict()}
        runtime.save_tensors(path, tensors, note)

    @torch.no_grad()
    def load(self, path: Path) -> dict[str, Any]:
        """Take over what `save` wrote and return its note.

        Raises:
            ValueError: another number of processes wrote it. Sums over other shards round otherwise, and each process
                draws its own dropout, so the run would not end where it was going.
        """
        tensors, note = runtime.load_tensors(path)
        group = self.step.group
        if note["processes"] != group.count:
            raise ValueError(
                f"{path}: written by {note['processes']} processes, and this run has {group.count}; launch "
                f"{note['processes']} to go on exactly, or remove the file to begin anew"
            )
        state: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition("/")
            if part == "now":
                self.step.parameters[rest].copy_(value)
            elif part == "best":
                self.best[rest] = value.to(group.device)
            elif part == "optimizer":
                index, _, key = rest.partition("/")
                state.setdefault(int(index), {})[key] = value
        optimizer = self.step.optimizer
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self.step.scaler.load_state_dict(note["scaler"])
        torch.set_rng_state(tensors[f"random/{group.index}/cpu"])
        if torch.cuda.is_available() and f"random/{group.index}/cuda" in tensors:
            torch.cuda.set_rng_state(tensors[f"random/{group.index}/cuda"])
        return note


def _random() -> dict[str, torch.Tensor]:
    """The random state of this process."""
    cuda = {"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {}
    return {"cpu": torch.get_rng_state(), **cuda}
