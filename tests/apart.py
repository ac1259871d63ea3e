"""A process of its own for a test, which can be killed: a fork, so that nothing is imported again."""

import contextlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch


def start(work: Callable, folder: Path, *given: object) -> multiprocessing.process.BaseProcess:
    """Begin ``work(folder, *given)``; what it returns, as json, is left in ``folder / "told.json"``."""
    process = multiprocessing.get_context("fork").Process(target=_work, args=(work, folder, *given))
    process.start()
    return process


def told(work: Callable, folder: Path, *given: object) -> object:
    """What a process of its own returns."""
    process = start(work, folder, *given)
    process.join(280)
    assert process.exitcode == 0, f"the process ended with {process.exitcode}"
    return json.loads((folder / "told.json").read_text())


def kill_when(process: multiprocessing.process.BaseProcess, there: Callable[[], object]) -> None:
    """SIGKILL as soon as ``there()`` finds something."""
    while not there():
        assert process.is_alive(), "the run ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.join()


def _work(work: Callable, folder: Path, *given: object) -> None:
    torch.set_num_threads(1)  # a fork of a process with threads of its own would wait for them
    folder.mkdir(parents=True, exist_ok=True)
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        found = work(folder, *given)
    (folder / "told.json").write_text(json.dumps(found))
