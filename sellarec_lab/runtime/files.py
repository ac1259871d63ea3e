"""Files: tensors as safetensors, everything else as json; every write is atomic."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sellarec_lab.runtime.processes import is_main


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically: the old file stays until the new one is whole. One process of a run writes."""
    if not is_main():
        return
    with _replacing(path) as part:
        part.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A file beside the path that takes its place when it is whole.

    Raises:
        OSError: it could not be written; names the path, and leaves what was there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        kept = "what was there before is kept" if path.exists() else "nothing was there before"
        told = f"{path} could not be written ({error.strerror or error}); {kept}"
        raise (OSError(told) if error.errno is None else OSError(error.errno, told)) from error
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a json file.

    Raises:
        ValueError: the file is cut, no json, or holds something else than an object; names it.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # no json, or no text
        raise ValueError(f"{path}: expected a whole json file ({error}); remove it, and make it again") from error
    if not isinstance(told, dict):
        raise ValueError(f"{path}: expected an object, got {type(told).__name__}; remove it, and make it again")
    return told


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], note: dict[str, Any] | None = None) -> None:
    """Write tensors and a json-able note as one safetensors file, atomically. One process of a run writes."""
    if not is_main():
        return
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    with _replacing(path) as part:
        part.touch()
        mode = part.stat().st_mode  # as the umask says; safetensors writes for the owner alone
        try:
            save_file(plain, part, metadata={"note": json.dumps(note or {})})
        except SafetensorError as error:  # of the disk, too
            raise OSError(str(error)) from error
        part.chmod(mode)


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read what `save_tensors` wrote: the tensors (on the CPU) and the note.

    Raises:
        ValueError: the file is cut or no safetensors file; names it.
    """
    try:
        opened = safe_open(path, framework="pt")
    except SafetensorError as error:
        raise ValueError(
            f"{path}: expected a whole safetensors file ({error}); remove it, and make it again"
        ) from error
    with opened as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        note = json.loads((file.metadata() or {}).get("note", "{}"))
    return tensors, note


def save_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame, without its index, as one safetensors file: numbers as tensors, other columns in the note."""
    plain = [c for c in frame if frame[c].dtype.kind in "biuf"]
    tensors = {c: torch.from_numpy(frame[c].to_numpy(copy=True)) for c in plain}
    rest = {c: frame[c].tolist() for c in frame if c not in plain}
    save_tensors(path, tensors, {"columns": list(frame.columns), "rest": rest})


def load_frame(path: Path) -> pd.DataFrame:
    """Read what `save_frame` wrote."""
    tensors, note = load_tensors(path)
    columns = {name: tensor.numpy() for name, tensor in tensors.items()} | note["rest"]
    return pd.DataFrame(columns, columns=note["columns"])


def readable(folder: Path) -> None:
    """Files below a folder become as readable as the umask says; some libraries write for the owner alone."""
    probe = folder / ".probe"
    probe.touch()
    mode = probe.stat().st_mode
    probe.unlink()
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


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


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_digest(tensor: torch.Tensor) -> str:
    """SHA-256 of a tensor's values and shape."""
    values = tensor.detach().cpu().contiguous().numpy()
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()
