"""A stage is a value: what goes in, how its result is made, and how it is read.

Its key follows from its name, its inputs, the code that makes it and the keys of the stages it rests on; the result
lies at ``<artifacts>/<preset>/<name>/<key>/``. So changed settings, data or code lead to another folder, and nothing
stale is ever read. Who makes a stage claims it first: two processes never make the same one, a killed run leaves its
checkpoint there for the next, and the manifest is written last.

Kept libraries were looked at first. joblib.Memory keys a function by its own source and its arguments, not by what it
calls, pickles what it returns, and lets two processes make the same thing; Hamilton and redun bring a graph, but key by
the node's own source as well, store pickles or a data base, and have no place for the checkpoint of a half-made node.
What is left to write is this page.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from sellarec_lab.config import Preset
from sellarec_lab.runtime.code import code_digest, function_digest
from sellarec_lab.runtime.decisions import commit, hardware, versions
from sellarec_lab.runtime.files import artifacts_folder, digest, file_digest, read_json, readable, write_text
from sellarec_lab.runtime.processes import agree, is_main, wait

_NO_RESULTS = ("manifest.json", "checkpoint.safetensors")  # what a stage's folder holds beside its result
_PATIENCE = 2.0  # seconds
BORN_WITH = ("commit", "device", "torch", "transformers", "peft", "bitsandbytes")  # what a table says of its cells


@dataclass(frozen=True, eq=False)
class Stage:
    """One step from data to a result, and where the result lies.

    Args:
        name: what the step is called; also the folder's name.
        inputs: plain data that decides the result.
        make: writes the result into the stage's folder (`path`) and returns facts for the manifest; the stages below
            are finished by then.
        read: what the result is for those who use it.
        upstream: the stages that it rests on.
        code: modules that decide the result beside ``make`` itself, with all they import from this package (see
            `code_digest`).
        place: folder of all artifacts, and the preset's name.
        facts: told in the manifest, but no part of the key.
    """

    name: str
    inputs: Mapping[str, Any]
    make: Callable[[Stage], Mapping[str, Any] | None]
    read: Callable[[Stage], Any]
    upstream: tuple[Stage, ...] = ()
    code: tuple[str, ...] = ()
    place: tuple[str, str] = ("artifacts", "")
    facts: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def key(self) -> str:
        """A hash of all that decides the result."""
        code = [function_digest(self.make), code_digest(self.code)]
        rests = [[stage.name, stage.key] for stage in self.upstream]
        return digest({"stage": self.name, "code": code, "upstream": rests, **self.inputs})

    @functools.cached_property
    def folder(self) -> Path:
        root, preset = self.place
        return artifacts_folder(root) / preset / self.name / self.key

    def path(self, name: str) -> Path:
        return self.folder / name

    @property
    def finished(self) -> bool:
        """Whether the result is there as it was made. What was changed or lost since is said, and made anew."""
        if not self.path("manifest.json").is_file():
            return False
        wrong = self._wrong()
        if wrong:
            _say_once(f"{self.folder}: {wrong}; it is made anew")
        return not wrong

    def _wrong(self) -> str:
        """What does not agree with the manifest; "" if all does."""
        try:
            told = self.manifest
        except ValueError as error:
            return str(error)
        if told.get("key") != self.key:
            return f"manifest.json is of another stage ({told.get('key')})"
        for name, known in told.get("sha256", {}).items():
            file = self.path(name)
            if not file.is_file():
                return f"{name} is missing"
            if _digest_of(file, file.stat().st_mtime_ns, file.stat().st_size) != known:
                return f"{name} was changed"
        return ""

    @property
    def manifest(self) -> dict[str, Any]:
        """What went in, with which libraries, how long it took, and what ``make`` said."""
        return read_json(self.path("manifest.json"))

    @functools.cached_property
    def line(self) -> tuple[Stage, ...]:
        """All that this stage rests on, each once, in the order of making; itself last."""
        found: dict[str, Stage] = {}
        for stage in self.upstream:
            found |= {below.key: below for below in stage.line}
        return (*found.values(), self)

    def value(self) -> Any:
        """The result; made, with all it rests on, where it is missing."""
        return self.read(self.made())

    def made(self) -> Stage:
        """This stage, finished: what is missing is made, lowest first."""
        if agree(self.finished):
            return self
        for stage in self.upstream:
            stage.made()
        with self._claimed() as missing:
            if missing:
                self._make()
        return self

    @contextlib.contextmanager
    def _claimed(self) -> Iterator[bool]:
        """True if the caller has to make it. A second run waits here, and finds it finished."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked() if is_main() else contextlib.nullcontext():
            yield agree(not self.finished)
        wait()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the folder; who waits for another process longer than two seconds says for whom."""
        lock, holder = FileLock(self.path(".lock")), self.path(".holder")
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            who = holder.read_text(encoding="utf-8") if holder.is_file() else "another process"
            tqdm.write(f"{self.folder} is being made by {who}; waiting for it", file=sys.stderr)
            lock.acquire()
        try:
            holder.write_text(f"process {os.getpid()} on {platform.node()}", encoding="utf-8")
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def _make(self) -> None:
        started = time.perf_counter()
        with PeakMemory() as memory:
            facts = self.make(self) or {}
        if not is_main():
            return
        readable(self.folder)
        made = [path for path in sorted(self.folder.rglob("*")) if path.is_file() and not path.match(".*")]
        made = [path for path in made if path.name not in _NO_RESULTS and path.suffix != ".part"]
        record = {
            "stage": self.name, "key": self.key, "preset": self.place[1], **self.facts, "inputs": self.inputs,
            "upstream": [[stage.name, stage.key] for stage in self.upstream], "libraries": versions(),
            "commit": commit(), "device": hardware(), "seconds": round(time.perf_counter() - started, 1),
            "peak_gb": round(memory.peak, 2),
            "sha256": {path.relative_to(self.folder).as_posix(): file_digest(path) for path in made}, **facts,
        }  # fmt: skip
        write_text(self.path("manifest.json"), json.dumps(record, indent=1, default=str))


@functools.lru_cache(4096)
def _digest_of(file: Path, changed: int, size: int) -> str:
    return file_digest(file)


@functools.cache
def _say_once(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


def stage(
    cfg: Preset, data: Any, name: str, inputs: Mapping[str, Any], make: Callable, read: Callable, *upstream: Stage,
    code: tuple[str, ...] = (),
) -> Stage:  # fmt: skip
    """A stage of a preset on a data set: ``data.fingerprint`` and the seed are always among its inputs."""
    expect(cfg, data)
    facts = {"backbone": cfg.backbone.name, "revision": cfg.backbone.revision}
    known = {"data": data.fingerprint, "seed": cfg.seed, **inputs}
    return Stage(name, known, make, read, upstream, code, (cfg.artifacts, cfg.name), facts)


def expect(cfg: object, data: object) -> None:
    """See that a verb was given a preset and data, in this order.

    Raises:
        TypeError: it was not; says what was meant.
    """
    if not isinstance(cfg, Preset):
        meant = f"write lab.preset({cfg!r})" if isinstance(cfg, str) else "the preset comes first, the data second"
        raise TypeError(f"expected a Preset as lab.preset gives it, got {type(cfg).__name__}; {meant}")
    if not hasattr(data, "fingerprint"):
        meant = f"write lab.data.load({data!r})" if isinstance(data, str) else "lab.data.load and from_frames give such"
        raise TypeError(f"expected a data set after the preset, got {type(data).__name__}; {meant}")


def nothing(stage: Stage) -> None:
    """The ``make`` of a stage whose value is put together from those below it: nothing is left to write."""


def together(stages: Iterable[Stage]) -> list[Stage]:
    """The stages with all they rest on, each once, lowest first."""
    return list({below.key: below for stage in stages for below in stage.line}.values())


def costs(stages: Iterable[Stage]) -> dict[str, float]:
    """``seconds`` that the finished stages and all they rest on took, and ``peak_gb``, the largest memory of the
    process in any of them."""
    notes = [stage.manifest for stage in together(stages) if stage.finished]
    return {
        "seconds": round(sum(note["seconds"] for note in notes), 1),
        "peak_gb": max((note["peak_gb"] for note in notes), default=0.0),
    }


def births(stages: Iterable[Stage]) -> dict[str, str]:
    """What made the finished stages and all they rest on: ``commit``, ``device`` and the version of every library in
    `BORN_WITH`, each the different ones in order with commas between. What an older manifest does not tell is left
    out."""
    notes = [stage.manifest for stage in together(stages) if stage.finished]
    told = [note.get("libraries", {}) | {name: note.get(name) for name in ("commit", "device")} for note in notes]
    return {name: ", ".join(sorted({t[name] for t in told if t.get(name)})) for name in BORN_WITH}


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
