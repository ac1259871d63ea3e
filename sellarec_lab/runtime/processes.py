"""One run may be several processes (``accelerate launch``): who writes, and how they agree.

Without a launcher there is one process, and everything here costs nothing.
"""

import atexit
import functools
import os
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list

T = TypeVar("T")


@functools.cache
def _state() -> PartialState | None:
    """None for a process of its own; else the group that the launcher made."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    state = PartialState(cpu=not torch.cuda.is_available())
    atexit.register(state.destroy_process_group)  # a thread of gloo that still runs at the end would abort Python
    return state


def is_main() -> bool:
    """The process that writes: the only one, or the first of a launched group."""
    return _state() is None or _state().is_main_process


def wait() -> None:
    """Go on when every process of the run is here."""
    if _state() is not None:
        _state().wait_for_everyone()


def agree(answer: T) -> T:
    """The main process's answer, for every process of the run."""
    if _state() is None:
        return answer
    said = [answer]
    broadcast_object_list(said)
    return said[0]
