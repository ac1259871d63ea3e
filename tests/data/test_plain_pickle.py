"""Pickles as several versions of pandas write them, and thousands of broken ones: a table or one error of ours."""

from __future__ import annotations

import base64
import functools
import json
import pickle
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas._libs.internals import _unpickle_block
from pandas.core.internals.managers import BlockManager

from sellarec_lab import data as D
from sellarec_lab.data.plain_pickle import read_table

# Written by the versions that name them, in base64.
FILES = {
    name: base64.b64decode(text)
    for name, text in json.loads((Path(__file__).parent / "pickles.json").read_text(encoding="utf-8")).items()
}
MUTATIONS = 10_000
PLAIN = (3, "<", None, None, None, -1, -1, 0)  # the state of a dtype without fields


@pytest.mark.parametrize("version", FILES)
def test_files_of_other_versions(version: str, tmp_path: Path) -> None:
    """Four rows in the order 2, 0, 3, 1."""
    (tmp_path / "t.pkl").write_bytes(FILES[version])
    table = read_table(tmp_path / "t.pkl")
    assert table.index.tolist() == [2, 0, 3, 1]
    assert table["title"].tolist() == ["Heat", "Up", "Up", "Élite"] and table["timestamp"].tolist() == [7, 5, 8, 6]
    assert [list(map(int, his)) for his in table["his"]] == [[0, 1], [0], [0, 2], [0]]
    assert table["flag"].dtype == np.float32 and table["not_cold"].tolist() == [True, True, True, False]


@pytest.mark.parametrize("protocol", range(6))
def test_a_table_of_this_version_is_read_as_pandas_reads_it(protocol: int, tmp_path: Path) -> None:
    table = pd.DataFrame({"a": [3, 1, 2], "f": [0.5, np.nan, 1e300], "t": ["x", None, "é"], "o": [None, (1, 2), "y"]})
    table["python"] = table["t"].astype(pd.StringDtype("python"))
    table = table.sample(frac=1, random_state=0)
    table.to_pickle(tmp_path / "t.pkl", protocol=protocol)
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "t.pkl"), table, check_dtype=False, check_column_type=False, check_index_type=False
    )


def _mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    out = bytearray(raw)
    for _ in range(rng.integers(1, 5)):
        at, other = rng.integers(len(out), size=2)
        ways = (
            (at, at + 1, bytes([rng.integers(256)])),
            (at, at + rng.integers(1, 9), b""),
            (at, at, rng.bytes(rng.integers(1, 9))),
            (at, at, out[other : other + 40]),  # a part twice
            (at, at + 8, b"\xff" * 8),  # sizes beyond all memory
        )
        first, last, new = ways[rng.integers(len(ways))]
        out[first:last] = new
    return bytes(out)


def test_broken_files_lead_to_a_table_or_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng, path, refused = np.random.default_rng(0), tmp_path / "t.pkl", 0
    whole, modules = list(FILES.values()), set(sys.modules)
    for number in range(MUTATIONS):
        path.write_bytes(_mutated(whole[number % len(whole)], rng))
        try:
            read_table(path)
        except D.DataError as error:
            refused += 1
            assert "t.pkl: expected" in str(error)
    assert MUTATIONS / 2 < refused < MUTATIONS
    new = {name for name in set(sys.modules) - modules if not name.startswith("encodings.")}  # of text opcodes
    assert not new and [p.name for p in tmp_path.iterdir()] == ["t.pkl"]
    assert pd.Index([1, 2]).tolist() == [1, 2]  # no file changed a class of pandas


def _opcodes(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


HUGE = (2**60).to_bytes(8, "little")
SELF = pickle.EMPTY_LIST + b"q\x00" + b"h\x00" + pickle.APPEND
FRAME = b"cpandas\nDataFrame\n"
CRAFTED = {
    "a memo of 64 GiB": _opcodes(pickle.NONE, pickle.LONG_BINPUT, b"\xff" * 4),
    "a buffer of a gigabyte": _opcodes(pickle.BYTEARRAY8, (2**30).to_bytes(8, "little"), b"x"),
    "a buffer of 2^60 bytes": _opcodes(pickle.BYTEARRAY8, HUGE, b"x"),
    "bytes of 2^60 bytes": _opcodes(pickle.BINBYTES8, HUGE, b"x"),
    "text of 2^60 bytes": _opcodes(pickle.BINUNICODE8, HUGE, b"x"),
    "a state for a class": _opcodes(FRAME, pickle.EMPTY_DICT, pickle.BUILD),
    "a number of the registry": _opcodes(pickle.EXT1, b"\x01"),
    "an object from elsewhere": _opcodes(pickle.NONE, pickle.BINPERSID),
    "a list that holds itself": _opcodes(SELF),
    "a table that is a list": _opcodes(FRAME, pickle.EMPTY_TUPLE, pickle.NEWOBJ, SELF, pickle.BUILD),
    "lists a million deep": _opcodes(pickle.EMPTY_LIST * 10**6, pickle.APPEND * (10**6 - 1)),
    "a table a million deep": _opcodes(
        FRAME, pickle.EMPTY_TUPLE, pickle.NEWOBJ, pickle.EMPTY_DICT, b"\x8c\x04_mgr",
        pickle.EMPTY_LIST * 10**6, pickle.APPEND * (10**6 - 1), pickle.SETITEM, pickle.BUILD,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CRAFTED)
def test_crafted_files_take_neither_memory_nor_time(case: str, tmp_path: Path) -> None:
    (tmp_path / "t.pkl").write_bytes(CRAFTED[case])
    tracemalloc.start()
    try:
        with pytest.raises(D.DataError, match=r"t\.pkl"):
            read_table(tmp_path / "t.pkl")
        assert tracemalloc.get_traced_memory()[1] < 2**29
    finally:
        tracemalloc.stop()


class Told:
    """Pickles as a call of a function with a state."""

    def __init__(self, function: object, *args: object, state: object = None) -> None:
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple:
        return self.parts


def _one_block(made_by: object, placement: object = slice(0, 1, 1), values: object = None) -> bytes:
    """A table {"a": [1, 2]} whose only block ``made_by`` makes."""
    axes = pd.DataFrame(columns=pd.Index(["a"], dtype=object), index=range(2))._mgr.axes
    block = Told(made_by, np.array([[1, 2]]) if values is None else values, placement)
    return pickle.dumps(Told(pd.DataFrame, state={"_mgr": Told(BlockManager, (block,), axes)}), protocol=2)


def test_blocks_of_pandas_1_3(tmp_path: Path) -> None:
    path = tmp_path / "t.pkl"
    path.write_bytes(_one_block(functools.partial(_unpickle_block, ndim=2)))
    assert read_table(path)["a"].tolist() == [1, 2]
    bound = (slice, 1), (_unpickle_block, 1)
    for other in (functools.partial(slice), *(functools.partial(f, *args, ndim=2) for f, *args in bound)):
        path.write_bytes(_one_block(other))
        with pytest.raises(D.DataError, match=r"functools\.partial"):
            read_table(path)


PLACEMENTS = {
    "a column twice": np.array([0, 0]),
    "a negative column": np.array([-1]),
    "a column beyond the table": np.array([7]),
    "two columns for one": np.array([0, 1]),
    "no column": np.array([], dtype=int),
    "half a column": np.array([0.5]),
    "a slice of nothing": slice(5, 9, 1),
    "a slice without a step": slice(0, 1, 0),
}


@pytest.mark.parametrize("case", PLACEMENTS)
def test_damaged_placements(case: str, tmp_path: Path) -> None:
    values = np.array([[1, 2], [3, 4]]) if case == "a column twice" else None
    (tmp_path / "t.pkl").write_bytes(_one_block(_unpickle_block, PLACEMENTS[case], values))
    with pytest.raises(D.DataError, match=r"t\.pkl: expected a pickle of a DataFrame"):
        read_table(tmp_path / "t.pkl")


@pytest.mark.parametrize(
    ("dtype", "state", "data"),
    [
        ("O8", PLAIN, b"\x01" * 16),  # addresses of objects
        ("i8", PLAIN, b"x"),
        ("V8", PLAIN, b"x" * 16),
        ("i8", (3, "<", ("i8", (2,)), None, None, -1, -1, 0), b"x" * 16),
        ("i8", (3, "<", None, ("a",), {"a": 0}, -1, -1, 0), b"x" * 16),
        ("O8", PLAIN, [[], [[]]]),
    ],
)
def test_arrays_that_are_not_what_they_say(dtype: str, state: tuple, data: object, tmp_path: Path) -> None:
    rebuild, args, _ = np.empty(0).__reduce__()
    kind = Told(np.dtype, dtype, False, True, state=state)
    values = Told(rebuild, *args, state=(1, (1, 2), kind, False, data))
    (tmp_path / "t.pkl").write_bytes(_one_block(_unpickle_block, values=values))
    if isinstance(data, list):
        assert read_table(tmp_path / "t.pkl")["a"].tolist() == data
    else:
        with pytest.raises(D.DataError, match=r"t\.pkl: expected a pickle of a DataFrame"):
            read_table(tmp_path / "t.pkl")


def test_a_number_of_too_many_bytes(tmp_path: Path) -> None:
    function, (dtype, _) = np.float64(0).__reduce__()
    for raw, fits in ((b"\0" * 8, True), (b"\0" * 16, False)):
        cells = np.empty((1, 2), dtype=object)
        cells[0] = [Told(function, dtype, raw), None]
        (tmp_path / "t.pkl").write_bytes(_one_block(_unpickle_block, values=cells))
        if fits:
            assert read_table(tmp_path / "t.pkl")["a"].tolist() == [0.0, None]
        else:
            with pytest.raises(D.DataError, match="another size than said"):
                read_table(tmp_path / "t.pkl")
