"""Where and how things run, decided once and said aloud: every decision travels with its reason."""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import psutil
import torch

from sellarec_lab.config import Preset
from sellarec_lab.runtime.files import artifacts_folder

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "numpy", "pandas", "scikit-learn")


_WIDE = 512  # from this width on half precision pays on a CPU that has it


class Decision(NamedTuple):
    """A choice and why it was made."""

    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


def device() -> Decision:
    """The device that training and scoring use: CUDA, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return Decision("cuda", f"{torch.cuda.get_device_name(0)} is present")
    if torch.backends.mps.is_available():
        return Decision("mps", "an Apple GPU is present")
    return Decision("cpu", f"no GPU was found; {torch.get_num_threads()} threads")


def hardware() -> str:
    """What `device` is called: the GPU's own name where CUDA runs, else as `device` says."""
    on = device().value
    return torch.cuda.get_device_name(0) if on == "cuda" else on


def dtype(wanted: str, on: str, width: int | None = None) -> Decision:
    """The compute dtype of the backbone. ``wanted`` is a dtype's name or "auto", ``width`` the backbone's, where it is
    known.

    On a CPU that multiplies bfloat16 itself, a model of width 576 trains 2.2 times as fast as in float32 and one of
    width 128 no faster, and small models are held in float32 everywhere: their numbers then agree between CPUs.
    """
    if wanted != "auto":
        return Decision(wanted, "set in the config")
    if on == "cpu" and bfloat16_flags():
        return _by_width(width)
    if on != "cuda":
        return Decision("float32", f"half precision is not faster on this {on}")
    if torch.cuda.get_device_capability()[0] >= 8:
        return Decision("bfloat16", "the GPU computes bfloat16 natively")
    return Decision("float16", "the GPU has no native bfloat16")


def _by_width(width: int | None) -> Decision:
    has = f"the CPU has {' and '.join(bfloat16_flags())}"
    if width is None:
        return Decision("float32", f"bfloat16 for models of width {_WIDE} or more: {has}")
    if width < _WIDE:
        return Decision("float32", f"half precision trains a model of width {width} no faster on a CPU")
    return Decision("bfloat16", has)


@functools.cache
def bfloat16_flags() -> tuple[str, ...]:
    """What the CPU has to multiply bfloat16; none are known outside Linux."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ()
    return tuple(flag for flag in ("avx512_bf16", "amx_bf16") if re.search(rf"\b{flag}\b", told))


def quantisation(wanted: str, on: str) -> Decision:
    """How the backbone's linear layers are stored. ``wanted`` is "nf4", "none" or "auto".

    Raises:
        RuntimeError: NF4 was asked for by name and can't be had.
    """
    installed = importlib.util.find_spec("bitsandbytes") is not None
    possible = installed and on in ("cuda", "cpu")
    if wanted == "nf4" and not possible:
        reason = "bitsandbytes is not installed" if not installed else f"bitsandbytes has no 4-bit kernels for {on}"
        raise RuntimeError(f"quantisation 'nf4' was asked for, but {reason}; install it or set quantisation='none'")
    if wanted != "auto":
        return Decision(wanted, "set in the config")
    if not possible:
        return Decision("none", "bitsandbytes is not installed" if not installed else f"no 4-bit kernels for {on}")
    return Decision("nf4", f"bitsandbytes {importlib.metadata.version('bitsandbytes')} works on {on}; QLoRA's format")


def workers() -> Decision:
    """How many models to train at a time: small ones on a CPU train fastest with a core each."""
    on, cores = device().value, os.cpu_count() or 1
    if on != "cpu":
        return Decision("1", f"one model at a time on {on}")
    fit = int(psutil.virtual_memory().available / 2**30 / 3)
    count = max(1, min(cores, fit, 8))
    return Decision(str(count), f"{cores} cores, memory for {fit} processes of 3 GiB")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


@functools.cache
def commit() -> str:
    """The commit of the checkout that runs, or a word that there is none."""
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not a checkout"
    return done.stdout.strip()


def describe(cfg: Preset) -> str:
    """What will run and why, for a preset: one decision a line."""
    on = device()
    lines = {
        "preset": f"{cfg.name}, seed {cfg.seed}, data {cfg.dataset}",
        "backbone": cfg.backbone.name,
        "device": on,
        "dtype": dtype(cfg.backbone.dtype, on.value),
        "quantisation": quantisation(cfg.backbone.quantisation, on.value),
        "artifacts": artifacts_folder(cfg.artifacts).name + f"/{cfg.name}",
    }
    return "\n".join(f"{name:<13} {value}" for name, value in lines.items())
