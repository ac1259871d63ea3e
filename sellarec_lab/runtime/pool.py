"""Several processes at a time, each with its share of the threads, which end with the one that started them."""

import contextlib
import functools
import os
import threading
import time
import warnings
from collections.abc import Iterator

import joblib

from sellarec_lab.runtime import stopping


@contextlib.contextmanager
def at_once(workers: int) -> Iterator[joblib.Parallel]:
    """Take jobs (`joblib.delayed`) and give their results as they are done; with one worker, in this very process.

    A job works within `at_work`.
    """
    threads = max(1, (os.cpu_count() or 1) // max(1, workers))
    backend = {"backend": "loky", "inner_max_num_threads": threads} if workers > 1 else {"backend": "sequential"}
    quiet = _quiet_children() if workers > 1 else contextlib.nullcontext()
    with stopping.taking_workers_along(), quiet, warnings.catch_warnings(), joblib.parallel_config(**backend):
        # loky puts a new process in the place of one that grew by 300 MB, as one does that holds models
        warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
        yield joblib.Parallel(workers, return_as="generator_unordered", pre_dispatch="all")


@contextlib.contextmanager
def at_work(caller: int) -> Iterator[None]:
    """A job, in a process other than the caller's (a process id): it hears when to stop, and ends when the caller is
    gone. Between two jobs there is nothing to keep."""
    if os.getpid() == caller:
        yield
        return
    _die_with_parent()
    stopping.listen()
    try:
        yield
    finally:
        stopping.deaf()


@contextlib.contextmanager
def _quiet_children() -> Iterator[None]:
    """Progress bars of several processes would overwrite each other: children show none."""
    before = os.environ.get("TQDM_DISABLE")
    os.environ["TQDM_DISABLE"] = "1"
    try:
        yield
    finally:
        os.environ.pop("TQDM_DISABLE")
        if before is not None:
            os.environ["TQDM_DISABLE"] = before


@functools.cache
def _die_with_parent() -> None:
    """A worker whose parent was killed would work on, unseen; what it has so far is in its checkpoint."""

    def watch(parent: int) -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, args=(os.getppid(),), daemon=True).start()
