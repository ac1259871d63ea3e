"""A workbench for LLM recommendation with semantically aligned collaborative knowledge.

``import sellarec_lab as lab`` costs nothing: a room (``lab.data``, ``lab.metrics``, ``lab.sella`` …)
is imported when it is first touched, so torch and transformers load only if they are used.
"""

import importlib
import os
import pkgutil

# Waiting threads sleep instead of spinning: with another busy process beside, spinning ones made a training step three
# times as long. Read by OpenMP when torch is loaded, so it must be set before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = "0.1.0"

_ROOMS = {room.name for room in pkgutil.iter_modules(__path__) if not room.name.startswith("_")}
_SHORTCUTS = {"preset": "config"}  # names used so often that they need no room in front


def __getattr__(name: str):
    if name in _SHORTCUTS:
        value = getattr(importlib.import_module(f"{__name__}.{_SHORTCUTS[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"sellarec_lab has no room {name!r}; it has {', '.join(sorted(_ROOMS))}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({"__version__", "__doc__", *_ROOMS, *_SHORTCUTS})
