"""Files as the field publishes them: zips, and JSON lines with or without gzip."""

import ast
import gzip
import json
import lzma
import math
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tqdm.auto import tqdm

from sellarec_lab.data.errors import DataError, problem

BROKEN_SHARE = 0.01  # a file with more broken lines than this is not what it claims to be
SHOWN = 5  # line numbers in a note or message
LARGEST = 2**31  # bytes of a member of an archive: it is read into memory whole
_DAMAGED = (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError)
# What a damaged table of contents leads to: places before the file's start, names in no encoding, strange versions.
DAMAGED = (*_DAMAGED, tarfile.TarError, OSError, ValueError, RuntimeError, struct.error)


@contextmanager
def opened_zip(path: Path, do: str) -> Iterator[zipfile.ZipFile]:
    """The zip file; a damaged, locked or monstrous one is a DataError whose remedy is `do`."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                where = f"{path}, member {member.filename}"
                check_size(where, member.file_size, do)
                if member.flag_bits & 1:
                    raise problem(where, "a file without a password", "an encrypted one", do)
            yield archive
    except DataError:
        raise
    except NotImplementedError as error:
        raise problem(str(path), "a zip file that Python can unpack", error, f"Pack it anew. {do}") from error
    except DAMAGED as error:
        raise problem(str(path), "a whole zip file", f"a truncated or damaged one ({error})", do) from error


def check_size(where: str, size: int, do: str) -> None:
    """A DataError for a member of an archive that would unpack to more than `LARGEST` bytes."""
    if size > LARGEST:
        raise problem(where, f"at most {LARGEST:,} bytes unpacked", f"{size:,}", do)


class Lines(NamedTuple):
    """What a file of JSON lines held, and the numbers (from 1) of the lines that could not be used."""

    rows: list[Any]
    broken: list[int]

    @property
    def note(self) -> str:
        """For the table of steps: how many lines were left out, and the first of them by number."""
        return f"{_named(self.broken)}, left out" if self.broken else ""


def read_lines(path: Path, pick: Callable[[dict], Any]) -> Lines:
    """Read a file of one JSON object (or Python dict, as of 2014) a line, plain or gzip.

    Args:
        pick: makes a row of an object. None leaves it out; a ValueError says that the line is broken.

    Raises:
        DataError: no such file, a damaged one, none or too many usable lines (more than `BROKEN_SHARE` broken).
    """
    rows, broken, count = [], [], 0
    for count, line in enumerate(_raw_lines(path), 1):
        try:
            row = pick(_record(line))
        except ValueError:
            broken.append(count)
        else:
            rows += [] if row is None else [row]
    _check_share(path, broken, count)
    return Lines(rows, broken)


def text_field(record: dict, key: str) -> str:
    """The field as text, not empty; a ValueError otherwise."""
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is no text")
    return value


def number_field(record: dict, key: str, kinds: type | tuple[type, ...]) -> float:
    """The field as a finite number of one of the `kinds`; a ValueError otherwise."""
    value = record.get(key)
    if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{key} is no number")
    return value


def _raw_lines(path: Path) -> Iterator[bytes]:
    if not path.is_file():
        raise problem(str(path), "a file of JSON lines", "nothing", "Check the folder and the name.")
    try:
        with _opened(path) as file:
            yield from tqdm(file, f"reading {path.name}", leave=False, delay=2)
    except _DAMAGED as error:
        found = f"a truncated or damaged one ({error})"
        raise problem(str(path), "a whole gzip file", found, "Download it again.") from error


def _opened(path: Path) -> BinaryIO:
    """By the first bytes, not the name: files are often unpacked and keep their .gz."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else path.open("rb")


def _record(line: bytes) -> dict:
    try:
        # JSON never begins like this, but the dicts of 2014 do. Only literals are evaluated: a line is no program.
        record = ast.literal_eval(line.decode().strip()) if line.startswith(b"{'") else json.loads(line)
    except (SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError("neither JSON nor a Python dict") from error
    if not isinstance(record, dict):
        raise ValueError("no object")
    return record


def _check_share(path: Path, broken: list[int], count: int) -> None:
    if count == 0:
        raise problem(str(path), "one JSON object a line", "an empty file", "Download it again.")
    if len(broken) > BROKEN_SHARE * count:
        raise problem(
            str(path),
            f"one review or item a line as JSON, at most {BROKEN_SHARE:.0%} of {count} lines broken",
            _named(broken),
            "Look at these lines; download the file again.",
        )


def _named(broken: list[int]) -> str:
    numbers = ", ".join(map(str, broken[:SHOWN])) + (", ..." if len(broken) > SHOWN else "")
    return f"broken lines: {len(broken)} ({numbers})"


def given(root: str | Path | None, name: str, what: str) -> Path:
    """The root as a path; a DataError that says `what` to pass if there is none."""
    if root is None:
        raise problem(f"data set {name!r}", f"root, {what}", "None", f"Pass it: load({name!r}, root=...), or --data.")
    path = Path(root).expanduser()
    if not path.exists():
        raise problem(str(path), what, "nothing", "Check the path.")
    return path


def only_one(what: str, where: Path, found: list) -> Any:
    """The one thing found, or a DataError that lists what there is."""
    if len(found) != 1:
        names = ", ".join(str(name) for name in found) or "none"
        raise problem(str(where), f"one {what}", names, "Pass the path of the one you mean.")
    return found[0]
