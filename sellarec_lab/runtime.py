"""Where and how things run, decided once and said aloud; and how results are kept.

Decisions (device, dtype, quantisation) come with their reason. Tensors are kept as safetensors, everything else as
json; every write is atomic. An artifact lives at ``<artifacts>/<preset>/<stage>/<key>/``, where the key is a hash of
all that went into it: changed inputs lead to another folder, so nothing stale is ever read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import psutil
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import save_file

LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate", "numpy", "pandas", "scikit-learn")


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


def dtype(wanted: str, on: str) -> Decision:
    """The compute dtype of the backbone. ``wanted`` is a dtype's name or "auto"."""
    if wanted != "auto":
        return Decision(wanted, "set in the config")
    if on != "cuda":
        return Decision("float32", f"half precision is not faster on {on}")
    if torch.cuda.get_device_capability()[0] >= 8:
        return Decision("bfloat16", "the GPU computes bfloat16 natively")
    return Decision("float16", "the GPU has no native bfloat16")


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


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextlib.contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Inside the block torch draws what ``seed`` and ``name`` decide, and nothing that was drawn before; outside, the
    draws go on as if the block had not been."""
    on = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=on):
        torch.manual_seed(int(hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()[:15], 16))
        yield


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
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "not a checkout"
    return done.stdout.strip()


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: the old file stays until the new one is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], note: dict[str, Any] | None = None) -> None:
    """Write tensors and a json-able note as one safetensors file, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, part, metadata={"note": json.dumps(note or {})})
    os.replace(part, path)


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: the tensors (on the CPU) and the note."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        note = json.loads((file.metadata() or {}).get("note", "{}"))
    return tensors, note


def digest(value: Any) -> str:
    """A short, stable hash of plain data (sorted json)."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def artifacts_folder(root: str | Path) -> Path:
    """Where artifacts lie: ``root`` itself if absolute, else inside the checkout that the working folder belongs to
    (so a notebook and the command line share them), else inside the working folder."""
    here = Path.cwd()
    checkout = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), here)
    return checkout / root


def describe(cfg: Any) -> str:
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


class PeakMemory:
    """Watches this process: ``peak`` is its largest resident size in GiB while the block ran."""

    def __enter__(self) -> PeakMemory:
        self._process, self._over = psutil.Process(), threading.Event()
        self.peak = self._now()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watcher.join()
        self.peak = max(self.peak, self._now())

    def _now(self) -> float:
        return self._process.memory_info().rss / 2**30

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            self.peak = max(self.peak, self._now())


class Artifact:
    """One stage's result on disk, keyed by its inputs; `finished` once its manifest is written (last)."""

    _open: ClassVar[list[Artifact]] = []  # claimed by this process and not yet finished, outermost first

    def __init__(
        self, root: str | Path, preset: str, stage: str, inputs: dict[str, Any], facts: dict[str, Any] | None = None
    ):
        self.stage, self.inputs = stage, inputs
        self.facts = {"preset": preset, **(facts or {})}  # told in the manifest, but no part of the key
        self.key = digest({"stage": stage, **inputs})
        self.folder = artifacts_folder(root) / preset / stage / self.key
        self._memory = PeakMemory()

    @property
    def finished(self) -> bool:
        return (self.folder / "manifest.json").is_file()

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text(encoding="utf-8"))

    def path(self, name: str) -> Path:
        return self.folder / name

    @contextlib.contextmanager
    def claim(self) -> Iterator[bool]:
        """``with artifact.claim() as missing:`` - True if the caller has to make it, and then call `finish`.

        Two processes never make the same artifact: the second waits here, and finds it finished. Time and memory are
        counted from here; what an inner claim took counts for the inner artifact alone.
        """
        if self.finished:
            yield False
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / ".lock"):
            if self.finished:
                yield False
                return
            self._started, self._elsewhere = time.perf_counter(), 0.0
            self._open.append(self)
            try:
                with self._memory:
                    yield True
            finally:
                self._open.remove(self)
                if self._open:
                    self._open[-1]._elsewhere += time.perf_counter() - self._started

    def finish(self, **facts: Any) -> None:
        """Write the manifest: what went in, with which libraries, how long it took, and the caller's facts."""
        record = {
            "stage": self.stage,
            "key": self.key,
            **self.facts,
            "inputs": self.inputs,
            "libraries": versions(),
            "commit": commit(),
            "seconds": round(time.perf_counter() - self._started - self._elsewhere, 1),
            "peak_gb": round(self._memory.peak, 2),
            **facts,
        }
        write_text(self.folder / "manifest.json", json.dumps(record, indent=1, default=str))


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's values and shape."""
    values = tensor.detach().cpu().contiguous().numpy()
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()
