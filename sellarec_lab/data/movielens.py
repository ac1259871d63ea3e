"""MovieLens-1M in the split of the CoLLM benchmark, rebuilt from GroupLens's raw files.

The rule (Zhang et al., CoLLM, arXiv 2310.19488): like = 4 or 5 stars; only 2001-06 to 2003-01 (UTC);
ten months train, five valid, five test; no other filter. Labels, ids and histories of the published
tables come out exactly, provided that ties are ordered as the publisher's were: see `_benchmark_order`.
"""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pooch

from sellarec_lab.data.build import from_frames
from sellarec_lab.data.errors import DataError, problem
from sellarec_lab.data.files import opened_zip
from sellarec_lab.data.interactions import Interactions

URL = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
MD5 = "c4d9eecfca2ab87c1945afe126590906"  # of the official zip; a root of your own is never compared with it
MEMBERS = ("ratings.dat", "movies.dat", "users.dat")
LINES = dict(zip(MEMBERS, (1_000_209, 3_883, 6_040), strict=True))  # of the official files
# Boundaries of train, valid and test: first second inside, first second outside.
MONTHS = ("2001-06-01", "2002-04-01", "2002-09-01", "2003-02-01")
_AGAIN = "Unpack or download the official ml-1m.zip again."


class _Layout(NamedTuple):
    """How a line of one file looks: for the parser a pattern with a group a column, for people words."""

    file: str
    pattern: str
    words: str
    columns: dict[str, str]


_RATINGS = _Layout(
    "ratings.dat",
    r"^(\d{1,18})::(\d{1,18})::([1-5])::(\d{1,18})$",
    "UserID::MovieID::Rating (1 to 5)::Timestamp",
    {"user_id": "int64", "item_id": "int64", "rating": "int64", "timestamp": "int64"},
)
_MOVIES = _Layout(
    "movies.dat",
    r"^(\d{1,18})::(.*\((\d{4})\)\s*)::([^:]*)$",
    "MovieID::Title (year)::Genres",
    {"item_id": "int64", "title": "str", "year": "int64", "genres": "str"},
)
_USERS = _Layout(
    "users.dat",
    r"^(\d{1,18})::([MF])::(\d{1,18})::(\d{1,18})::[^:]*$",
    "UserID::Gender::Age::Occupation::Zip-code",
    {"user_id": "int64", "gender": "str", "age": "int64", "occupation": "int64"},
)


def load_ml1m(root: str | Path | None = None) -> Interactions:
    """The benchmark split: 33,891 / 10,401 / 7,331 rows, 838 users, 3,255 items.

    Args:
        root: ml-1m.zip, a folder that holds it, or the unpacked folder. None downloads the zip (6 MB)
            from GroupLens into the user's cache. Terms: research use, no redistribution.

    Raises:
        DataError: no such file, damaged zip, missing member, malformed line, wrong encoding, no network.
    """
    raw = _read_members(download() if root is None else Path(root).expanduser())
    ratings = _parse_ratings(raw["ratings.dat"])
    movies, users = (_parse_text(raw[layout.file], layout) for layout in (_MOVIES, _USERS))
    _check_whole(raw, dict(zip(MEMBERS, map(len, (ratings, movies, users)), strict=True)))
    _check_listed(ratings["item_id"], movies["item_id"], "MovieID", "movies.dat")
    _check_listed(ratings["user_id"], users["user_id"], "UserID", "users.dat")
    table = _benchmark_order(ratings)
    in_order = [
        entities.set_index(key).loc[table[key].unique()].reset_index()
        for entities, key in ((movies, "item_id"), (users, "user_id"))
    ]
    return from_frames(table, *in_order, name="ml-1m", split="split")


def download() -> Path:
    """Fetch the official zip once into the user's cache, checked by MD5, and return its path."""
    try:
        path = pooch.retrieve(
            URL, known_hash=f"md5:{MD5}", fname="ml-1m.zip", path=pooch.os_cache("sellarec_lab"), progressbar=True
        )
    except (OSError, ValueError) as error:  # no network; or another hash than the official one
        raise DataError(
            f"ml-1m could not be downloaded from {URL} ({type(error).__name__}). Download that file by hand and pass "
            "its path: load('ml-1m', root='path/to/ml-1m.zip'), or --data path/to/ml-1m.zip on the command line."
        ) from error
    return Path(path)


def _benchmark_order(ratings: pd.DataFrame) -> pd.DataFrame:
    """The 20 months in the benchmark's row order, with a column `split`.

    Half of all rows share user and second with another row. There the published order is that in
    which the items first appear anywhere in ratings.dat, and item ids and histories follow from it.
    """
    first_seen, _ = pd.factorize(ratings["item_id"])
    edges = [int(pd.Timestamp(month, tz="UTC").timestamp()) for month in MONTHS]
    part = np.searchsorted(edges, ratings["timestamp"], side="right")  # 0 before, 1..3 inside, 4 after
    ratings = ratings.assign(split=np.array(["", "train", "valid", "test", ""])[part])
    inside = np.flatnonzero((part >= 1) & (part <= 3))
    if inside.size == 0:
        raise problem("ratings.dat", f"ratings from {MONTHS[0]} to {MONTHS[-1]}", "none", _AGAIN)
    kept = ratings.iloc[inside]
    order = np.lexsort((first_seen[inside], kept["timestamp"], kept["user_id"]))
    return kept.iloc[order].reset_index(drop=True)


def _read_members(root: Path) -> dict[str, bytes]:
    """The three .dat files as bytes, from a zip or a folder."""
    if root.is_dir():
        for folder in (root, root / "ml-1m"):
            if (folder / "ratings.dat").is_file():
                return {name: _read_file(folder / name) for name in MEMBERS}
        root = root / "ml-1m.zip"
    if not root.is_file():
        do = f"Download {URL} and pass its path as root."
        raise problem(str(root), "ml-1m.zip, or a folder with it or with ratings.dat", "nothing", do)
    return _read_zip(root)


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise problem(str(path.parent), f"the file {path.name}", "none", _AGAIN)
    return path.read_bytes()


def _read_zip(path: Path) -> dict[str, bytes]:
    with opened_zip(path, f"Download {URL} again.") as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        missing = [name for name in MEMBERS if name not in names]
        if missing:
            raise problem(str(path), f"the member {missing[0]}", sorted(names), _AGAIN)
        return {name: archive.read(names[name]) for name in MEMBERS}


def _lines(raw: bytes, name: str) -> pd.Series:
    """latin-1 decodes any bytes, so other encodings must be recognised before."""
    if b"\x00" in raw:
        raise problem(name, "latin-1 text", "zero bytes, as in UTF-16", _AGAIN)
    lines = raw.removesuffix(b"\n").split(b"\n")  # not splitlines(): that also splits at latin-1 control characters
    for number, line in enumerate(lines, 1):
        if not line.isascii() and _is_utf8(line):  # accents are single latin-1 bytes, which UTF-8 has no place for
            raise problem(f"{name}, line {number}", "latin-1 text", "UTF-8", f"Accents would be garbled. {_AGAIN}")
    return pd.Series([line.removesuffix(b"\r").decode("latin-1") for line in lines], dtype=object)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _parse_text(raw: bytes, layout: _Layout) -> pd.DataFrame:
    """Parse `::` lines by the layout's pattern; titles may contain single colons."""
    lines = _lines(raw, layout.file)
    fields = lines.str.extract(layout.pattern)
    _raise_first(fields[0].isna().to_numpy(), lines, layout.file, layout.words)
    _raise_first(fields[0].duplicated().to_numpy(), lines, layout.file, "each id once")
    return fields.set_axis(list(layout.columns), axis=1).astype(layout.columns)


def _parse_ratings(raw: bytes) -> pd.DataFrame:
    """Parse a million lines in the C engine: by ':' there are seven fields, and every second is empty."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lines with more fields: they are found below
            fields = pd.read_csv(
                io.BytesIO(raw),
                sep=":",
                header=None,
                names=list("uavbrct"),
                index_col=False,
                quoting=3,
                dtype={"u": "int64", "v": "int64", "r": "int64", "t": "int64"},
                skip_blank_lines=False,
                on_bad_lines="error",
            )
    except (ValueError, OverflowError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        _raise_malformed_rating(raw)
        raise problem(_RATINGS.file, _RATINGS.words, error, _AGAIN) from error
    odd = fields[["a", "b", "c"]].notna().any(axis=1) | ~fields["r"].between(1, 5)
    foreign = raw.translate(None, b"0123456789:\r\n")  # the engine takes 1e2 for 100, and passes over blanks
    if foreign or odd.any() or raw.count(b":") != 6 * len(fields):
        _raise_malformed_rating(raw)
    return fields[["u", "v", "r", "t"]].set_axis(list(_RATINGS.columns), axis=1)


def _raise_malformed_rating(raw: bytes) -> None:
    """The slow, exact look for the line number; only once something is known to be wrong."""
    lines = _lines(raw, _RATINGS.file)
    bad = ~lines.str.match(_RATINGS.pattern).to_numpy(dtype=bool)
    _raise_first(bad, lines, _RATINGS.file, _RATINGS.words)


def _raise_first(bad: np.ndarray, lines: pd.Series, file: str, expected: str) -> None:
    if bad.any():
        line = int(np.flatnonzero(bad)[0])
        raise problem(f"{file}, line {line + 1}", expected, repr(lines[line][:120]), _AGAIN)


def _check_whole(raw: dict[str, bytes], found: dict[str, int]) -> None:
    """Where the other two are the official files, so must the third be: a cut one may still have whole lines."""
    others = [name for name in MEMBERS if found[name] != LINES[name]]
    if len(others) == 1:
        name = others[0]
        raise problem(name, f"{LINES[name]:,} lines, as in the official file", f"{found[name]:,}", _AGAIN)
    cut = [name for name in MEMBERS if not raw[name].endswith(b"\n")]
    if not others and cut:
        raise problem(f"{cut[0]}, line {found[cut[0]]}", "a whole last line", "no end of the line", _AGAIN)


def _check_listed(ids: pd.Series, listed: pd.Series, what: str, file: str) -> None:
    unknown = ~ids.isin(listed).to_numpy()
    if unknown.any():
        line = int(np.flatnonzero(unknown)[0])
        raise problem(f"ratings.dat, line {line + 1}", f"a {what} listed in {file}", int(ids.iloc[line]), _AGAIN)
