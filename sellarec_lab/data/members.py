"""The files of a published set, read into memory from a folder, a zip or a tar.

Nothing is unpacked to disk, so no path in an archive can lead anywhere.
"""

import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sellarec_lab.data.errors import DataError, problem
from sellarec_lab.data.files import DAMAGED, check_size, only_one, opened_zip

ENDINGS = (".zip", ".tar.gz", ".tgz", ".tar")
_AGAIN = "Get the published files again."


@dataclass(frozen=True)
class Members:
    """Files by their path in the set, e.g. "kg/el-train.tsv", and where they came from."""

    home: Path
    raw: dict[str, bytes]

    def where(self, path: str) -> str:
        """How a message names the file."""
        return f"{self.home.name}/{path}"

    def read(self, path: str) -> bytes:
        """The file's bytes; a DataError if it is not there."""
        if path not in self.raw:
            raise problem(self.where(path), "a file", "none", _AGAIN)
        return self.raw[path]


def read_members(root: Path, name: str, wanted: Sequence[str]) -> Members:
    """Those of the `wanted` files that are there.

    Args:
        root: the zip or tar, the unpacked folder, or a folder that holds either under the set's name.
        name: of the set. Case and the endings of archives do not matter.
        wanted: paths in the set. The first must be there; what stands before it in an archive, often a folder,
            stands before the others too.

    Raises:
        DataError: no such archive or folder, or several; a damaged one; a file twice in it.
    """
    home = _home(root, name, wanted[0])
    if home.is_dir():
        return Members(home, {path: (home / path).read_bytes() for path in wanted if (home / path).is_file()})
    return Members(home, (_from_zip if home.suffix.lower() == ".zip" else _from_tar)(home, wanted))


def _home(root: Path, name: str, first: str) -> Path:
    """Unpacked files win over an archive that lies beside them."""
    if root.is_file() or (root / first).is_file():
        return root
    beside = sorted(root.iterdir())
    open_ = [path for path in beside if path.name.lower() == name.lower() and (path / first).is_file()]
    packed = [path for path in beside if path.name.lower() in {f"{name}{end}".lower() for end in ENDINGS}]
    return only_one(f"file {first}, or one archive or folder {name}", root, open_ or packed)


def _from_zip(path: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    with opened_zip(path, _AGAIN) as archive:
        held = [name for name in archive.namelist() if not name.endswith("/")]
        return {file: archive.read(member) for file, member in _places(path, held, wanted).items()}


def _from_tar(path: Path, wanted: Sequence[str]) -> dict[str, bytes]:
    with opened_tar(path, _AGAIN) as archive:
        held = [member.name for member in archive if member.isfile()]
        return {file: archive.extractfile(member).read() for file, member in _places(path, held, wanted).items()}


@contextmanager
def opened_tar(path: Path, do: str) -> Iterator[tarfile.TarFile]:
    """The tar file, compressed or not; a damaged or monstrous one is a DataError whose remedy is `do`."""
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                check_size(f"{path}, member {member.name}", member.size, do)
            yield archive
    except DataError:
        raise
    except DAMAGED as error:
        raise problem(str(path), "a whole tar file", f"a truncated or damaged one ({error})", do) from error


def _places(path: Path, held: Sequence[str], wanted: Sequence[str]) -> dict[str, str]:
    """Path in the set -> name in the archive."""
    first = only_one(f"member {wanted[0]}", path, [name for name in held if f"/{name}".endswith(f"/{wanted[0]}")])
    start = first.removesuffix(wanted[0])
    twice = [file for file in wanted if held.count(start + file) > 1]
    if twice:
        raise problem(f"{path.name}/{twice[0]}", "one such file", f"{held.count(start + twice[0])}", _AGAIN)
    return {file: start + file for file in wanted if start + file in held}
