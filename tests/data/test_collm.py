"""The pickles that CoLLM published: they are read, and nothing in them runs."""

from __future__ import annotations

import builtins
import functools
import io
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from by_hand import needs_ml1m, small

from sellarec_lab import data as D
from sellarec_lab.data.plain_pickle import read_table


def collm_frames(data: D.Interactions) -> dict[str, pd.DataFrame]:
    """The tables in the publisher's own form."""
    titles = data.titles
    frames = {}
    for flag, part in enumerate(D.SPLITS, start=-1):
        rows = data.split(part)
        frames[part] = pd.DataFrame(
            {
                "uid": rows["user_id"],
                "iid": rows["item_id"],
                "label": rows["label"],
                "timestamp": rows["timestamp"],
                "his": [[0, *history] for history in rows["history"]],
                "his_title": [[titles[i] for i in (0, *history)] for history in rows["history"]],
                "title": [titles[i] for i in rows["item_id"]],
                "flag": float(flag),
                "not_cold": rows["is_warm"].astype(int),
            }
        )
    return frames


def write_collm(folder: Path, frames: dict[str, pd.DataFrame], protocol: int = 4) -> Path:
    for part, table in frames.items():
        with (folder / f"{part}_ood2.pkl").open("wb") as file:
            pickle.dump(table, file, protocol=protocol)
    return folder


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("storage", ["text", "object", "python", "arrays"])
def test_collm_round_trip(protocol: int, storage: str, tmp_path: Path) -> None:
    data = D.from_frames(*small())
    frames = collm_frames(data)
    kinds = {"object": object, "python": pd.StringDtype("python")}
    for part, table in frames.items():
        if storage in kinds:
            frames[part] = table.astype({"title": kinds[storage]})
            frames[part].columns = pd.Index(table.columns, dtype=kinds[storage])
        elif storage == "arrays":
            frames[part] = table.assign(his=[np.array(his) for his in table["his"]])
    back = D.load_collm(write_collm(tmp_path, frames, protocol), name=data.name)
    for part in D.SPLITS:
        pd.testing.assert_frame_equal(back.split(part), data.split(part))
    assert back.titles == data.titles and back.items["external_id"].tolist() == [1, 2, 3, 4]


def test_pickles_of_older_pandas_and_numpy(tmp_path: Path) -> None:
    """Protocol 2 spells names as text, so a current pickle can be given the names of old versions."""
    data = D.from_frames(*small())
    renamed = {
        b"cnumpy._core.": b"cnumpy.core.",
        b"cpandas\nDataFrame": b"cpandas.core.frame\nDataFrame",
        b"cpandas\nIndex": b"cpandas.core.indexes.numeric\nInt64Index",
        b"cpandas._libs.internals\n_unpickle_block": b"cpandas.core.internals.blocks\nnew_block",
    }
    for part, table in collm_frames(data).items():
        table = table.astype({"title": object})
        table.columns = pd.Index(table.columns, dtype=object)
        raw = pickle.dumps(table, protocol=2)
        for new, old in renamed.items():
            assert new in raw or old in raw or b"new_block" in old
            raw = raw.replace(new, old)
        (tmp_path / f"{part}_ood2.pkl").write_bytes(raw)
    back = D.load_collm(tmp_path)
    for part in D.SPLITS:
        pd.testing.assert_frame_equal(back.split(part), data.split(part))


@needs_ml1m
def test_collm_round_trip_of_ml1m(ml1m: D.Interactions, tmp_path: Path) -> None:
    back = D.load_collm(write_collm(tmp_path, collm_frames(ml1m)))
    for part in D.SPLITS:
        pd.testing.assert_frame_equal(back.split(part), ml1m.split(part))
    assert back.titles == ml1m.titles and (back.n_users, back.n_items) == (838, 3255)


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: object, *args: object) -> None:
        self.function, self.args = function, args

    def __reduce__(self) -> tuple:
        return self.function, self.args


EVIL = {
    "os.system": Call(os.system, "echo > evil"),
    "eval": Call(builtins.eval, "open('evil', 'w')"),
    "exec": Call(builtins.exec, "open('evil', 'w')"),
    "getattr": Call(getattr, "x", "upper"),
    "import": Call(__import__, "os"),
    "partial": Call(functools.partial, print),
    "pandas.read_pickle": Call(pd.read_pickle, "evil"),
    "pandas.eval": Call(pd.eval, "1"),
    "numpy.load": Call(np.load, "evil"),
    "numpy.save": Call(np.save, "evil", 1),
    "numpy.fromfile": Call(np.genfromtxt, "evil"),
    "a class of ours": D.DataError("x"),
    "in a cell": pd.DataFrame({"uid": [Call(os.system, "echo > evil")]}),
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("case", EVIL)
def test_evil_pickles_are_refused(case: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "train_ood2.pkl"
    path.write_bytes(pickle.dumps(EVIL[case], protocol=protocol))
    with pytest.raises(D.UnsafePickleError, match=r"train_ood2\.pkl.*plain table.*call for \w+"):
        D.load_collm(tmp_path)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "name",
    [
        "pandas\nDataFrame.to_pickle",
        "pandas\nread_pickle",
        "pandas.core.frame\nread_pickle",
        "numpy\nload",
        "numpy.core.multiarray\nfromfile",
        "pandas.core.frame\nDataFrame.eval",
        "builtins\nslice.__class__",
        "nt\nsystem",
        "posix\nsystem",
        "pyarrow.lib\nOSFile",
        "pandas.core.internals.managers\nnp",
    ],
)
def test_names_next_to_the_allowed_ones_are_refused(name: str, tmp_path: Path) -> None:
    module, attribute = name.split("\n")
    written = io.BytesIO()
    written.write(b"\x80\x04" + b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, attribute)))
    written.write(b"\x93.")  # STACK_GLOBAL, which also follows dots
    for raw in (written.getvalue(), b"c" + name.encode() + b"\n."):
        (tmp_path / "x.pkl").write_bytes(raw)
        with pytest.raises(D.UnsafePickleError, match=module.replace(".", r"\.")):
            read_table(tmp_path / "x.pkl")


def _changed(table: pd.DataFrame, row: int, column: str, value: object) -> pd.DataFrame:
    cells = table[column].astype(object).tolist()
    cells[row] = value
    return table.assign(**{column: pd.Series(cells, index=table.index, dtype=object)})


BAD_TABLES = {
    "an id that is no whole number": (lambda t: t.assign(iid=1.5), r"row 2, column 'iid'.*whole number.*1\.5"),
    "an id of a billion": (lambda t: t.assign(uid=10**9), r"column 'uid'.*an id up to 1,0\d0.*1000000000"),
    "an item of a billion": (lambda t: _changed(t, 0, "iid", 10**9), r"column 'iid'.*an id up to"),
    "a history of a billion": (lambda t: _changed(t, 0, "his", [0, 10**9]), r"row 2, column 'his_title'"),
    "a negative id in a history": (lambda t: _changed(t, 0, "his", [0, -1]), r"row 2, column 'his'.*from 1"),
    "an inner zero": (lambda t: _changed(t, 0, "his", [0, 1, 0, 2]), r"row 2, column 'his'.*from 1"),
    "half an item in a history": (lambda t: _changed(t, 0, "his", [0, 1.5]), r"column 'his'.*from 1"),
    "an empty table": (lambda t: t.iloc[:0], "at least one row"),
    "a column twice": (lambda t: pd.concat([t, t[["uid"]]], axis=1), "column 'uid'.*each column once"),
    "two titles for an item": (lambda t: t.assign(iid=1, title="Another"), r"item 1: expected one title.*Another"),
    "a time of days": (lambda t: t.assign(timestamp=0.5), "column 'timestamp'.*whole seconds"),
    "a time beyond int64": (lambda t: t.assign(timestamp=1e30), "column 'timestamp'.*whole seconds"),
    "titles of another length": (lambda t: _changed(t, 0, "his_title", ["x"] * 9), "column 'his_title'.*one for each"),
}


@pytest.mark.parametrize("case", BAD_TABLES)
def test_bad_collm_tables(case: str, tmp_path: Path) -> None:
    change, message = BAD_TABLES[case]
    good = collm_frames(D.from_frames(*small()))
    with pytest.raises(D.DataError, match=message):
        D.load_collm(write_collm(tmp_path, good | {"test": change(good["test"])}))


def test_a_user_with_the_same_item_twice_is_warned_of(tmp_path: Path) -> None:
    good = collm_frames(D.from_frames(*small()))
    twice = pd.concat([good["train"], good["train"].iloc[:1]], ignore_index=True)
    with pytest.warns(UserWarning, match=r"train_ood2\.pkl: 1 rows repeat a user with an item"):
        D.load_collm(write_collm(tmp_path, good | {"train": twice}))


def test_other_bad_collm_files(tmp_path: Path) -> None:
    good = collm_frames(D.from_frames(*small()))

    def refused(message: str) -> None:
        with pytest.raises(D.DataError, match=message):
            D.load_collm(tmp_path)

    refused(r"train_ood2\.pkl.*nothing")
    write_collm(tmp_path, good | {"valid": good["valid"].drop(columns="his")})
    refused(r"valid_ood2\.pkl.*'his'")
    write_collm(tmp_path, good | {"test": good["test"].assign(iid=0)})
    refused(r"test_ood2\.pkl, row 2, column 'iid'.*from 1")
    write_collm(tmp_path, good | {"test": good["test"].assign(label=3)})
    refused(r"test_ood2\.pkl, row 2, column 'label'.*0 or 1")
    write_collm(tmp_path, good | {"test": good["test"].assign(his="1,2")})
    refused(r"column 'his'.*list")
    write_collm(tmp_path, good | {"test": good["test"].assign(iid=9)})
    refused(r"title for each item from 1 to 9.*item 4")
    write_collm(tmp_path, good)
    whole = (tmp_path / "train_ood2.pkl").read_bytes()
    for raw in (whole[: len(whole) // 2], b"", b"uid,iid\n1,2\n", pickle.dumps([1, 2])):
        (tmp_path / "train_ood2.pkl").write_bytes(raw)
        refused(r"train_ood2\.pkl: expected a .*DataFrame")
