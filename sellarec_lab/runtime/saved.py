"""A saved model is a folder with a card: what it is, and the hash of every file.

It is written beside what stood there before and takes its place when it is whole, so no mixture of two is ever left;
the card is looked at before anything is loaded.
"""

import contextlib
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from sellarec_lab.runtime.files import file_digest, read_json, readable, write_text
from sellarec_lab.runtime.processes import is_main

CARD = "card.json"
_VERSION = 1
_KINDS = {"recommender": "sellarec_config.json", "lcrec": "lcrec_config.json", "kg": "kg_config.json"}
_UNTRUSTED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".py")  # what could run, or be unpickled


@contextlib.contextmanager
def saving(folder: str | Path, kind: str) -> Iterator[Path]:
    """A place for the files of a model, which takes the folder's place when all are written; the card comes last.

    Raises:
        FileExistsError: the folder holds other things than a saved model.
    """
    folder = Path(folder)
    if not is_main():  # writers are silent there
        yield folder
        return
    _refuse_others(folder)
    part, old = (folder.with_name(f".{folder.name}.{os.getpid()}.{name}") for name in ("part", "old"))
    part.mkdir(parents=True)
    try:
        yield part
        readable(part)
        files = {file.relative_to(part).as_posix(): file_digest(file) for file in _files(part)}
        write_text(part / CARD, json.dumps({"kind": kind, "version": _VERSION, "sha256": files}, indent=1))
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        for rest in (part, old):
            shutil.rmtree(rest, ignore_errors=True)


def look_at(folder: str | Path, kind: str) -> Path:
    """The folder, if it holds a saved model of this kind as it was written.

    Raises:
        FileNotFoundError: nothing was saved there.
        ValueError: another kind, a newer version, or files that are missing, changed or not the model's; names them.
    """
    folder, config = Path(folder), _KINDS[kind]
    if not (folder / config).is_file():
        raise FileNotFoundError(f"{folder} has no {config}: it was not written by save_pretrained")
    for file in _files(folder):
        if file.suffix in _UNTRUSTED or file.is_symlink():
            raise ValueError(f"{file}: a saved model holds json and safetensors alone; remove it, or do not load this")
    if not (folder / CARD).is_file():
        warnings.warn(f"{folder} has no {CARD}: saved by an older version, so nothing can be checked", stacklevel=3)
        return folder
    told = read_json(folder / CARD)
    if told.get("kind") != kind or not isinstance(told.get("sha256"), dict):
        raise ValueError(f"{folder / CARD}, field kind: expected {kind!r}, found {told.get('kind')!r}; load what it is")
    if told.get("version") != _VERSION:
        raise ValueError(f"{folder / CARD}, field version: expected {_VERSION}, found {told.get('version')!r}; update")
    _compare(folder, told["sha256"])
    return folder


@contextlib.contextmanager
def believed(place: Path) -> Iterator[None]:
    """Reads a file or folder of a saved model: whatever does not fit is one ValueError that names it.

    The hash says that a file is as it was written, not that what was written makes sense.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # a boundary: numbers, names and shapes of somebody else's go everywhere below
        if isinstance(error, ValueError) and str(place) in str(error):
            raise
        do = "save the model once more, or fetch it whole"
        raise ValueError(
            f"{place} is not what a saved model has there ({type(error).__name__}: {error}); {do}"
        ) from error


def _compare(folder: Path, told: dict[str, str]) -> None:
    found = {file.relative_to(folder).as_posix() for file in _files(folder)} - {CARD}
    if missing := sorted(told.keys() - found):
        raise ValueError(f"{folder}: {missing[0]} is missing; save the model once more, or fetch it whole")
    if odd := sorted(found - told.keys()):
        raise ValueError(f"{folder}: {odd[0]} is not the model's; move it elsewhere")
    for name, digest in told.items():
        if file_digest(folder / name) != digest:
            raise ValueError(
                f"{folder / name} was changed after it was saved; save the model once more, or fetch it anew"
            )


def _refuse_others(folder: Path) -> None:
    if not folder.exists() or not any(folder.iterdir()):
        return
    known = {CARD, *_KINDS.values()}
    if not any((folder / name).is_file() for name in known):
        found = min(file.name for file in folder.iterdir())
        raise FileExistsError(f"{folder} holds {found} and no saved model; choose a folder of its own")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
