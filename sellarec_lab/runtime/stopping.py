"""Being asked to stop (Ctrl-C, SIGTERM): a training ends behind its next step with a checkpoint, all else at once.

Only the command line and its workers listen; in a notebook the kernel does.
"""

import atexit
import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator

import psutil
from joblib.externals.loky import get_reusable_executor

_GRACE = 1.5  # seconds that workers have for their checkpoints
_now = {"asked": False, "training": 0}


def listen() -> None:
    """Take both signals from here on; a second one does not wait for the step. A thread that is not the first, as those
    of a cluster's workers, hears none."""
    if _take(_heard):
        atexit.register(deaf)


def deaf() -> None:
    """Who has nothing to keep, or ends already, ends without a traceback when it is told to."""
    _take(signal.SIG_DFL)


def _take(handler: Callable | signal.Handlers) -> bool:
    first = threading.current_thread() is threading.main_thread()
    for number in (signal.SIGINT, signal.SIGTERM) if first else ():
        signal.signal(number, handler)
    return first


def _heard(*_: object) -> None:
    if _now["asked"] or not _now["training"]:
        raise KeyboardInterrupt
    _now["asked"] = True


@contextlib.contextmanager
def behind_a_step() -> Iterator[None]:
    """Who is inside looks whether it is `asked` to stop, behind each step."""
    _now["training"] += 1
    try:
        yield
    finally:
        _now["training"] -= 1


def asked() -> bool:
    """Whether to stop."""
    return _now["asked"]


@contextlib.contextmanager
def taking_workers_along() -> Iterator[None]:
    """Processes that were started inside end with this one, when it is told to stop."""
    before = {process.pid for process in _children()}
    try:
        yield
    except KeyboardInterrupt:
        ours = [process for process in _children() if process.pid not in before]
        for process in ours:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        for process in psutil.wait_procs(ours, timeout=_GRACE)[1]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        if ours:
            get_reusable_executor().shutdown(wait=True, kill_workers=True)
        raise


def _children() -> list[psutil.Process]:
    """Processes below this one, but for Python's own that cleans up behind them."""
    found = []
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "resource_tracker" not in " ".join(process.cmdline()):
                found.append(process)
    return found
