"""LC-Rec's layout: small files with known answers, every kind of bad file, and the published counts."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from by_hand import SHARED, counts, needs

from sellarec_lab import data as D
from sellarec_lab.data.texts import clean

INTER = {"0": [0, 1, 2, 0, 3], "1": [2, 3], "2": [3, 1, 0], "3": [4, 5]}
ITEMS = {
    "0": {
        "title": "AT&amp;T <b>Phone</b>",
        "description": "A<br/>B  &nbsp;C",
        "brand": "AT&amp;T",
        "categories": "X, Y",
    },
    "1": {"title": "", "description": "< 40 mA, <=14ns", "brand": "", "categories": "Office,Pens &amp; Ink,"},
    "2": {"title": "Pen", "description": ["Blue.", "<p>Wet.</p>", ""], "categories": [["Office", "Pens"]]},
    "3": {"title": "Ink"},
    "4": {"title": "Not met but by the short"},
    "9": {"title": "Not met at all"},
}


def folder(path: Path, **members: object) -> Path:
    """`Toy.*`, unpacked; text or bytes as they are, anything else as JSON; None leaves the file out."""
    path.mkdir(parents=True, exist_ok=True)
    for ending, content in ({"inter.json": INTER, "item.json": ITEMS} | members).items():
        raw = content if isinstance(content, bytes | str) else json.dumps(content)
        raw = raw if isinstance(raw, bytes) else raw.encode()
        if content is not None:
            (path / f"Toy.{ending}").write_bytes(raw)
    return path


def zipped(path: Path) -> Path:
    archive = path.with_name("toy.zip")
    with zipfile.ZipFile(archive, "w") as file:
        for member in path.iterdir():
            file.write(member, f"Toy/{member.name}")
    return archive


def test_by_hand(tmp_path: Path) -> None:
    data = D.load("lc-rec", folder(tmp_path))
    assert data.name == "toy" and data.users["external_id"].tolist() == ["0", "2"]
    # Ids follow the published numbers: 0 is 1, ..., 3 is 4; 4, 5 and 9 are gone.
    assert data.items["external_id"].tolist() == ["0", "1", "2", "3"]
    columns = ["user_id", "item_id", "label", "timestamp"]
    assert data.train[columns].to_numpy().tolist() == [[1, 1, 1, 0], [1, 2, 1, 1], [2, 4, 1, 0]]
    assert data.valid[columns].to_numpy().tolist() == [[1, 3, 1, 2], [2, 2, 1, 1]]
    assert data.test[columns].to_numpy().tolist() == [[1, 4, 1, 4], [2, 1, 1, 2]]  # the later 0 at position 3 is gone
    assert data.train["history"].tolist() == [(), (1,), ()]
    assert data.test["history"].tolist() == [(1, 2, 3), (4, 2)]
    assert data.valid["is_warm"].tolist() == [False, True]
    assert data._repr_html_().count("1970") == 0  # positions are not shown as days


def test_texts_are_cleaned(tmp_path: Path) -> None:
    items = D.load("lc-rec", folder(tmp_path)).items
    assert items["title"].tolist() == ["AT&T Phone", "1", "Pen", "Ink"]
    assert items["description"].tolist() == ["A B C", "< 40 mA, <=14ns", "Blue. Wet.", ""]
    assert items["brand"].tolist() == ["AT&T", "", "", ""]
    assert items["categories"].tolist() == ["X, Y", "Office, Pens & Ink", "Office, Pens", ""]
    assert clean("a <!-- <b> --> &lt;i&gt;b<![endif]--> c < d > e") == "a b c < d > e" and clean(None) == ""


def test_every_step_is_written_down(tmp_path: Path) -> None:
    steps = D.load("lc-rec", folder(tmp_path)).steps
    assert steps.columns.tolist() == ["step", "users", "items", "interactions", "note"]
    assert steps[["users", "items", "interactions"]].to_numpy().tolist() == [
        [4, 6, 12],
        [4, 6, 11],
        [2, 4, 7],
        [2, 4, 7],
    ]
    assert steps["note"].iloc[-1] == "1 without a title are called by their id; 2 that nobody met left out"


def test_zip_folder_and_unpacked_are_the_same(tmp_path: Path) -> None:
    open_ = folder(tmp_path / "open" / "Toy")
    archive = zipped(open_)
    (tmp_path / "held").mkdir()
    shutil.copy(archive, tmp_path / "held")
    roots = [open_, str(open_), tmp_path / "open", archive, tmp_path / "held"]
    assert len({D.load("lc-rec", root).fingerprint for root in roots}) == 1


def test_own_ids(tmp_path: Path) -> None:
    ids = {"item2id": "A\t3\r\nB\t2\r\nC\t1\r\nD\t0\r\n", "user2id": "ann\t0\nbob\t1\neve\t2\njoe\t3\n"}
    data = D.load("lc-rec", folder(tmp_path, **ids))
    assert data.items["external_id"].tolist() == ["D", "C", "B", "A"]
    assert data.titles == ["", "AT&T Phone", "C", "Pen", "Ink"] and data.users["external_id"].tolist() == ["ann", "eve"]


def test_titles_from_ids(tmp_path: Path) -> None:
    no_text = folder(tmp_path / "none", **{"item.json": None, "item2id": "A\t3\nB\t2\nC\t1\nD\t0\n"})
    with pytest.raises(D.DataError, match=r"Toy\.item\.json.*no such file.*titles_from_ids"):
        D.load("lc-rec", no_text)
    data = D.load("lc-rec", no_text, titles_from_ids=True)
    assert data.titles[1:] == ["D", "C", "B", "A"] and data.steps["note"].iloc[-1].startswith("4 without a title")
    part = folder(tmp_path / "part", **{"item.json": {key: ITEMS[key] for key in "012"}})
    with pytest.raises(D.DataError, match=r"Toy\.item\.json.*none of item 3"):
        D.load("lc-rec", part)
    assert D.load("lc-rec", part, titles_from_ids=True).titles[4] == "3"


BAD_FILES = {
    "no JSON": ({"inter.json": '{"0": [1, 2'}, r"Toy\.inter\.json: expected a JSON object.*line 1"),
    "a list": ({"inter.json": [[1, 2, 3]]}, r"Toy\.inter\.json: expected a JSON object, found list"),
    "UTF-16": ({"inter.json": '{"0": [1]}'.encode("utf-16")[:-1]}, r"Toy\.inter\.json: expected a JSON object"),
    "no list": ({"inter.json": INTER | {"7": "0 1 2"}}, r"user '7'.*list of items.*'0 1 2'"),
    "a word": ({"inter.json": INTER | {"7": [0, 1, "B00"]}}, r"user '7', position 2.*whole number.*'B00'"),
    "a fraction": ({"inter.json": INTER | {"7": [0, 1.5, 2]}}, r"user '7', position 1.*1\.5"),
    "null": ({"inter.json": INTER | {"7": [None]}}, r"user '7', position 0.*None"),
    "true": ({"inter.json": INTER | {"7": [True]}}, r"user '7', position 0.*True"),
    "a user twice": ({"inter.json": '{"0": [0, 1, 2], "0": [3]}'}, r"each key once.*'0' twice"),
    "short sequences only": ({"inter.json": {"0": [0, 1], "1": [2, 2, 2]}}, r"Toy\.inter\.json.*a user with 3 items"),
    "nobody": ({"inter.json": {}}, r"a user with 3 items"),
    "an item that is text": ({"item.json": ITEMS | {"3": "Ink"}}, r"Toy\.item\.json, item '3'.*'Ink'"),
    "a title that is none": ({"item.json": ITEMS | {"3": {"title": None}}}, r"item '3'.*text 'title'"),
    "an item key": ({"item.json": ITEMS | {"x": {"title": ""}}}, r"Toy\.item\.json.*whole number.*'x'"),
    "an id line": ({"item2id": "A\t0\nB 1\n"}, r"Toy\.item2id, line 2.*'B 1'"),
    "a number twice": ({"item2id": "A\t0\nB\t0\n"}, r"Toy\.item2id, line 2.*once"),
    "a number without id": ({"item2id": "A\t0\nB\t1\n"}, r"Toy\.item2id.*none for 2"),
    "an id twice": ({"user2id": "A\t0\nA\t2\n"}, r"Toy\.user2id.*one id for two"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_give_one_clear_error(case: str, tmp_path: Path) -> None:
    members, message = BAD_FILES[case]
    with pytest.raises(D.DataError, match=f"(?s){message}"):
        D.load("lc-rec", folder(tmp_path, **members))


def test_bad_roots(tmp_path: Path) -> None:
    with pytest.raises(D.DataError, match=r"root.*NAME\.inter\.json.*None"):
        D.load("lc-rec")
    with pytest.raises(D.DataError, match=r"nowhere.*nothing"):
        D.load("lc-rec", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(D.DataError, match=r"empty: expected one NAME\.inter\.json or one zip, found none"):
        D.load("lc-rec", tmp_path / "empty")
    two = folder(tmp_path / "two")
    shutil.copy(two / "Toy.inter.json", two / "Other.inter.json")
    with pytest.raises(D.DataError, match=r"one NAME.*Other\.inter\.json, .*Toy\.inter\.json"):
        D.load("lc-rec", two)
    archive = zipped(folder(tmp_path / "open"))
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(D.DataError, match=r"cut\.zip.*truncated"):
        D.load("lc-rec", tmp_path / "cut.zip")


# ------------------------------------------------------------------------------------- the published files

PUBLISHED = {  # users, items, rows; valid and test rows whose item is not in train
    "office": (4905, 2420, 53258, 30, 66),
    "scientific": (8317, 4344, 58492, 41, 73),
    "instruments": (24772, 9922, 206153, 17, 35),
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(SHARED / f"amazon-{name}")) for name in PUBLISHED])
def test_published_counts(name: str) -> None:
    data = D.load("lc-rec", SHARED / f"amazon-{name}", titles_from_ids=name == "instruments")
    users, items, rows, *cold = PUBLISHED[name]
    assert data.name == name and (data.n_users, data.n_items) == (users, items)
    assert [len(data.split(part)) for part in D.SPLITS] == [rows - 2 * users, users, users]
    assert [len(D.cold(data.split(part))) for part in ("valid", "test")] == cold
    assert (data.steps["interactions"] == rows).all()
    assert data.test["history"].map(len).sum() == rows - users
    assert not D.leak_report(data)["verdict"].str.startswith(("leak", "fault")).any()
    assert counts(data)["train rows at or after the first test row"] > 0


@needs(SHARED / "amazon-instruments")
def test_instruments_have_the_shop_s_ids_for_titles() -> None:
    data = D.load("lc-rec", SHARED / "amazon-instruments" / "Instruments.zip", titles_from_ids=True)
    assert data.items["external_id"].tolist()[:2] == data.titles[1:3] == ["B000FFWZKI", "B000KGYAYQ"]


@needs(SHARED / "amazon-office")
def test_office_texts() -> None:
    data = D.load("lc-rec", SHARED / "amazon-office" / "Office.zip")
    assert data.titles[3] == "AT&T 210 Corded Phone, Black, 1 Handset"
    assert [data.titles[i + 1] for i in (828, 1429, 1786)] == ["828", "1429", "1786"]
    assert not data.items["description"].str.contains(r"&nbsp;|&quot;|</?(?:p|br|li|b)\b[^<>]*>").any()
    assert data.steps["note"].iloc[-1] == "3 without a title are called by their id"
