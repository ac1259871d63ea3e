"""Whatever comes in, what comes out is a result or an error of ours that names the place. Inputs by Hypothesis."""

from __future__ import annotations

import datetime
import decimal
import json
import math
import random
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_saved import model, resealed, saved  # noqa: F401  (fixtures)
from test_settings import LEAVES, TREE

from sellarec_lab import config, data, sella
from sellarec_lab.config.checked import SettingError

many = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)

CELLS = [
    None, math.nan, math.inf, -1, 0, 1, 2.5, 4, 1e30, 10**30, -(2**63), True, "", " ", "a", "a ", "1", "4.0", "é",
    "e\u0301",
    "\ud800", "\u200b", "x" * 3000, b"x", (), (1,), [1], {"a": 1}, 1j, decimal.Decimal("3"), datetime.date(2020, 1, 1),
    pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01", tz="Asia/Tokyo"), pd.NaT, pd.NA, pd.Timedelta(1),
    np.int8(3), np.float32("nan"), np.datetime64("1600-01-01"), object(), pd.Interval(0, 1), "train", "test",
]  # fmt: skip
ANY = st.one_of(st.sampled_from(CELLS), st.integers(), st.floats(), st.text(max_size=8))


def log() -> pd.DataFrame:
    rows = [("ann", "a", 5, 10), ("ann", "b", 2, 20), ("bob", "b", 5, 30), ("bob", "a", 4, 40), ("ann", "c", 4, 50)]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "rating", "timestamp"])
    return table.assign(split=["train", "train", "train", "valid", "test"])


def things() -> pd.DataFrame:
    return pd.DataFrame({"item_id": list("abc"), "title": ["Alpha", "Beta", "Gamma"], "genres": ["x", "y", "x"]})


def people() -> pd.DataFrame:
    return pd.DataFrame({"user_id": ["ann", "bob"]})


@st.composite
def tables(draw: st.DrawFn) -> list[pd.DataFrame | None]:
    """Log, items and users with one to three things wrong."""
    made: list[Any] = [log(), things(), people() if draw(st.booleans()) else None]
    for _ in range(draw(st.integers(1, 3))):
        which = draw(st.sampled_from([at for at, table in enumerate(made) if isinstance(table, pd.DataFrame)] or [0]))
        made[which] = _spoilt(made[which], draw)
    return made


def _spoilt(table: Any, draw: st.DrawFn) -> Any:
    if not isinstance(table, pd.DataFrame) or not len(table.columns):
        return table
    place = draw(st.integers(0, len(table.columns) - 1))
    column = table.columns[place]
    way = draw(st.sampled_from(["cell", "cell", "cell", "column", "drop", "twice", "name", "empty", "rows", "other"]))
    if way == "drop":
        return table.drop(columns=column)
    if way == "name":
        return table.set_axis(
            [*table.columns[:place], draw(ANY.filter(_hashable)), *table.columns[place + 1 :]], axis=1
        )
    if way == "twice":
        return pd.concat([table, table.iloc[:, [place]]], axis=1)
    if way == "empty":
        return table.iloc[:0]
    if way == "rows":
        return pd.concat([table, table.iloc[-1:]])
    if way == "other":
        return draw(st.sampled_from([None, table.to_dict(), [], "table", table.T]))
    cells = table.iloc[:, place].astype(object).tolist()
    cells = [draw(ANY)] * len(cells) if way == "column" else cells
    if cells:
        cells[draw(st.integers(0, len(cells) - 1))] = draw(ANY)
    new = pd.Series(np.empty(len(cells), dtype=object), index=table.index)
    for row, cell in enumerate(cells):
        new.iat[row] = cell
    parts = [table.iloc[:, :place], new.rename(column), table.iloc[:, place + 1 :]]
    return pd.concat(parts, axis=1)


def _hashable(value: object) -> bool:
    return pd.api.types.is_hashable(value)


@many
@given(tables(), st.one_of(st.none(), ANY), st.one_of(st.just(4.0), ANY))
def test_from_frames(made: list, split: Any, threshold: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = data.from_frames(*made, split=split, threshold=threshold)
        except data.DataError as error:
            assert "expected" in str(error) and "found" in str(error)
        else:
            assert found.n_items and len(found.train) and found.fingerprint


MOVIES = "1::Seven (1995)::Crime\n2::Les Mis\xe9rables (1998)::Drama\n3::Up (1940)::Comedy\n"
USERS = "1::F::1::10::48067\n2::M::56::16::70072-12\n"
RATINGS = "1::1::3::991353600\n1::2::5::991353600\n2::1::5::1017619200\n2::2::4::1017619199\n1::3::5::1030838400\n"


def broken(raw: bytes, seed: int) -> bytes:
    """A few bytes changed, taken out, put in or repeated."""
    rng, out = random.Random(seed), bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        new = rng.choice(
            [b"", bytes([rng.randrange(256)]), rng.randbytes(4), b"::", b"\n", b"9" * 20, b"-", b"1e2", raw[:9]]
        )
        out[at : at + rng.randint(0, 3)] = new
    return bytes(out)


@many
@given(st.integers(0, 10**9), st.integers(0, 3))
def test_movielens(tmp_path_factory: pytest.TempPathFactory, seed: int, which: int) -> None:
    path = tmp_path_factory.getbasetemp() / "ml-1m.zip"
    members = {name: text.encode("latin-1") for name, text in zip("rmu", (RATINGS, MOVIES, USERS), strict=True)}
    if which < 3:
        members["rmu"[which]] = broken(members["rmu"[which]], seed)
    with zipfile.ZipFile(path, "w") as archive:
        for name, member in zip(("ratings", "movies", "users"), "rmu", strict=True):
            archive.writestr(f"ml-1m/{name}.dat", members[member])
    if which == 3:
        path.write_bytes(broken(path.read_bytes(), seed))
    try:
        found = data.load("ml-1m", path)
    except data.DataError as error:
        assert any(name in str(error) for name in (".dat", ".zip", "table", "title", "item", "user")), error
    else:
        assert found.n_items == 3 and len(found.train)


PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(st.text(max_size=3), PLAIN, max_size=3))


def _places(tree: Any, path: tuple = ()) -> list[tuple]:
    """Where values stand in json; of a long list its first three places."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree[:3]) if isinstance(tree, list) else ()
    return [(*path, key) for key, _ in pairs] + [p for key, part in pairs for p in _places(part, (*path, key))]


@settings(parent=many, max_examples=150)
@given(st.data())
def test_saved_models(model: Path, data: st.DataObject) -> None:  # noqa: F811
    """Somebody changed a file and wrote its new hash into the card."""
    changed = model.with_name("changed")
    shutil.rmtree(changed, ignore_errors=True)
    shutil.copytree(model, changed)
    file = changed / data.draw(st.sampled_from(sorted(p.relative_to(model).as_posix() for p in model.rglob("*.*"))))
    if file.suffix == ".json" and data.draw(st.booleans()):
        tree = json.loads(file.read_text())
        *way, last = data.draw(st.sampled_from(_places(tree)))
        part = tree
        for key in way:
            part = part[key]
        part[last] = data.draw(VALUES)
        file.write_text(json.dumps(tree))
    else:
        file.write_bytes(broken(file.read_bytes(), data.draw(st.integers(0, 10**9))))
    if file.name != "card.json":
        resealed(changed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = sella.load(changed)
        except (ValueError, FileNotFoundError) as error:
            assert str(changed) in str(error) or "backbone" in str(error), error
            return
        try:
            assert len(loaded.recommend(next(iter(loaded.profiles.seen)), k=1)) <= 1
        except FloatingPointError as error:  # weights of 1e30
            assert "not finite" in str(error)


@many
@given(st.sampled_from(sorted(LEAVES)), ANY)
def test_settings(path: str, value: Any) -> None:
    try:
        made = config.replace(TREE, path, value)
    except SettingError as error:
        assert path.split("__")[0] in str(error)
    else:
        assert isinstance(made, config.Preset) and hash(repr(made))
