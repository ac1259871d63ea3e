"""The loaders: layouts with known answers, and every kind of bad file and archive."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest
from toy_graphs import LANGUAGES, PAIRS, counts, dbp5l_files, lines, written, zipped

from sellarec_lab import kg
from sellarec_lab.data import DataError

NAMED = {"train.txt": "b\tr\ta\nc\tq\tb\n", "valid.txt": "a\tr\tc\n\n", "test.txt": "z\tp\ta\n"}
MKR = {"kg.txt": "7\tby\t12\r\n2\tin\t12\r\n10\tby\t7\r\n", "item_index2entity_id.txt": "0099\t7\r\nB\t2\r\n"}
DBP15K = {
    "ja_en/ent_ids_1": "4\tja/four\n9\tja/nine\n",
    "ja_en/ent_ids_2": "8\ten/eight\n5\ten/five\n6\ten/six\n",
    "ja_en/triples_1": "9\t30\t4\n4\t20\t4\n",
    "ja_en/triples_2": "5\t41\t8\n",
    "ja_en/ref_ent_ids": "9\t5\n4\t8\n",
}


def tarred(archive: Path, files: dict[str, str]) -> Path:
    with tarfile.open(archive, "w:gz") as file:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content.encode())
            file.addfile(member, io.BytesIO(content.encode()))
    return archive


def test_dbp5l_by_hand(dbp5l: Path) -> None:
    graphs = kg.load("dbp-5l", dbp5l)
    assert list(graphs) == list(LANGUAGES) and graphs.shared_relations
    assert {"-".join(pair) for pair in graphs.links} == set(PAIRS)
    graph = graphs["ja"]
    assert graph.relations == ("likes", "knows", "never used") == graphs["el"].relations
    assert graph.entities[4] == "ja/Ωμέγα 4\u2028" and graph.n_entities == 5  # only line feeds end a line
    assert graph.train.tolist() == [[0, 0, 1], [1, 0, 2], [2, 1, 3], [3, 1, 0]]
    assert graph.valid.tolist() == [[0, 1, 2]] and graph.test.tolist() == [[2, 0, 1]]
    assert graphs.linked("en", "ja").tolist() == [[1, 0], [0, 1]]


def test_archive_folder_and_unpacked_are_the_same(dbp5l: Path, tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    archive = zipped(dbp5l, tmp_path / "held" / "DBP-5L.zip", "DBP-5L")
    bare = zipped(dbp5l, tmp_path / "any name.zip")
    tar = tarred(tmp_path / "any.tar.gz", {f"./x/{path}": text for path, text in dbp5l_files().items()})
    written(tmp_path / "held", {"mkr-book.zip": b"", "notes.txt": b""})
    written(dbp5l.parent, {"DBP-5L.zip": b"unpacked files win over what lies beside them"})
    roots = [dbp5l, str(dbp5l), dbp5l.parent, archive, archive.parent, bare, tar]
    assert len({kg.load("dbp-5l", root).fingerprint for root in roots}) == 1


def test_names_in_triples(tmp_path: Path) -> None:
    for root in (tarred(tmp_path / "WN18RR.tar.gz", NAMED), tmp_path):
        graphs = kg.load("wn18rr", root)
        graph = graphs["wn18rr"]
        assert graph.entities == ("a", "b", "c", "z") and graph.relations == ("p", "q", "r") and len(graphs) == 1
        assert graph.train.tolist() == [[1, 2, 0], [2, 1, 1]] and graph.test.tolist() == [[3, 0, 0]]
        assert counts(graph)["entities unseen in train (test)"] == 1


def test_dbp15k_by_hand(tmp_path: Path) -> None:
    graphs = kg.load("dbp15k", written(tmp_path, DBP15K), pair="ja_en")
    assert list(graphs) == ["ja", "en"] and not graphs.shared_relations
    assert graphs["en"].entities == ("en/eight", "en/five", "en/six")  # the order of the file
    assert graphs["ja"].relations == ("20", "30") and graphs["en"].relations == ("41",)
    assert graphs["ja"].train.tolist() == [[1, 1, 0], [0, 0, 0]] and graphs["en"].train.tolist() == [[1, 0, 0]]
    assert graphs["ja"].valid.shape == graphs["en"].test.shape == (0, 3)
    assert graphs.linked("ja", "en").tolist() == [[1, 1], [0, 0]]


def test_mkr_by_hand(tmp_path: Path) -> None:
    graph = kg.load("mkr-book", written(tmp_path, MKR))["mkr-book"]
    assert graph.entities == ("2", "7", "10", "12")  # by number, not by letter
    assert graph.train.tolist() == [[1, 0, 3], [0, 1, 3], [2, 0, 1]] and len(graph.test) == 0
    assert graph.items.to_dict() == {"0099": 1, "B": 0}


def with_line(text: str, number: int, line: str) -> str:
    """The text with another line `number`, counted from 1."""
    rows = text.split("\r\n" if "\r\n" in text else "\n")
    rows[number - 1] = line
    return "\r\n".join(rows)


EL_TRAIN, EL_EN = dbp5l_files()["kg/el-train.tsv"], dbp5l_files()["seed_alignlinks/el-en.tsv"]
BAD_FILES = {  # case: file, content, message after the file's name
    "two fields": ("kg/el-train.tsv", with_line(EL_TRAIN, 2, "1\t0"), r", line 2: .*head, relation, tail.*'1\\t0'"),
    "four fields": ("kg/el-train.tsv", with_line(EL_TRAIN, 3, "1\t0\t2\t"), r", line 3: .*tab-separated"),
    "an empty line": ("kg/el-train.tsv", with_line(EL_TRAIN, 2, ""), r", line 2: .*found ''"),
    "a word": ("kg/el-train.tsv", with_line(EL_TRAIN, 4, "1\t0\tx"), r", line 4, tail: .*whole number.*'x'"),
    "a fraction": ("kg/ja-val.tsv", "0\t1.5\t2\r\n", r", line 1, relation: .*whole number.*'1\.5'"),
    "a negative": ("kg/ja-val.tsv", "-1\t1\t2\r\n", r", line 1, head: .*whole number.*'-1'"),
    "too many digits": ("kg/ja-val.tsv", f"{'9' * 30}\t1\t2\r\n", r", line 1, head: .*whole number"),
    "no such entity": ("kg/ja-test.tsv", "0\t1\t2\r\n5\t1\t2\r\n", r", line 2, head: .*one of the 5 entities.*'5'"),
    "no such relation": ("kg/ja-test.tsv", "0\t3\t2\r\n", r", line 1, relation: .*one of 3 relations.*'3'"),
    "an empty split": ("kg/el-val.tsv", "\r\n", r": .*head, relation, tail.*found an empty file"),
    "no such file": ("kg/fr-train.tsv", None, r": expected a file, found none"),
    "no UTF-8": ("entity/es.tsv", b"a\r\nb\r\n\xff\r\n", r", line 3: expected UTF-8"),
    "no name": ("entity/es.tsv", "a\r\n\r\nb\r\n", r", line 2, entity: expected a name"),
    "a relation twice": ("relations.txt", lines([["a"], ["b"], ["a"]]), r", line 3, relation: expected each once"),
    "a link to nothing": ("seed_alignlinks/el-en.tsv", with_line(EL_EN, 2, "1.0\t5.0"), r", line 2, en: .*'5\.0'"),
    "a fraction for a link": ("seed_alignlinks/el-en.tsv", with_line(EL_EN, 1, "0.5\t0.0"), r", line 1, el: .*'0\.5'"),
    "a link of one": ("seed_alignlinks/el-en.tsv", with_line(EL_EN, 1, "0.0"), r", line 1: .*el, en, tab-separated"),
    "no links": ("seed_alignlinks/el-en.tsv", None, r": expected this file or .*en-el\.tsv, found 0 of them"),
    "links both ways": ("seed_alignlinks/en-el.tsv", EL_EN, r".*found 2 of them"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_give_one_clear_error(case: str, dbp5l: Path) -> None:
    file, content, message = BAD_FILES[case]
    (dbp5l / file).unlink(missing_ok=True)
    written(dbp5l, {file: content})
    named = "el-en" if case == "links both ways" else Path(file).stem
    with pytest.raises(DataError, match=rf"DBP-5L/\S*{named}\.(tsv|txt){message}"):
        kg.load("dbp-5l", dbp5l)


BAD_SETS = {
    "an item twice": ("mkr-book", MKR | {"item_index2entity_id.txt": "a\t2\nb\t7\na\t7\n"}, "item_index.*line 3, item"),
    "an item of nothing": (
        "mkr-book",
        MKR | {"item_index2entity_id.txt": "a\t2\nb\t3\n"},
        "line 2, entity.*triple.*'3'",
    ),
    "a head in words": ("mkr-book", MKR | {"kg.txt": "7\tby\t12\nx\tby\t12\n"}, r"kg\.txt, line 2, head"),
    "no relation": (
        "mkr-book",
        MKR | {"kg.txt": "7\tby\t12\n7\t\t12\n"},
        r"kg\.txt, line 2, relation: expected a name",
    ),
    "no tail": ("wn18rr", NAMED | {"test.txt": "a\tr\tb\na\tr\t\n"}, r"test\.txt, line 2, tail: expected a name"),
    "no valid": ("wn18rr", NAMED | {"valid.txt": None}, r"valid\.txt: expected a file, found none"),
    "an id twice": ("dbp15k", DBP15K | {"ja_en/ent_ids_1": "4\ta\n9\tb\n04\tc\n"}, "ent_ids_1, line 3, id.*once.*'04'"),
    "another's entity": ("dbp15k", DBP15K | {"ja_en/triples_1": "9\t3\t4\n9\t3\t5\n"}, "triples_1, line 2, tail.*'5'"),
    "a link to another's": ("dbp15k", DBP15K | {"ja_en/ref_ent_ids": "9\t4\n"}, "ref_ent_ids, line 1, en.*'4'"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BAD_SETS)
def test_bad_sets_give_one_clear_error(case: str, tmp_path: Path) -> None:
    name, files, message = BAD_SETS[case]
    options = {"pair": "ja_en"} if name == "dbp15k" else {}
    with pytest.raises(DataError, match=message):
        kg.load(name, written(tmp_path, files), **options)


def test_bad_archives(dbp5l: Path, tmp_path: Path) -> None:
    archive = zipped(dbp5l, tmp_path / "whole.zip", "DBP-5L")
    (tmp_path / "cut.zip").write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut\.zip: expected a whole zip file.*truncated"):
        kg.load("dbp-5l", tmp_path / "cut.zip")
    raw = tarred(tmp_path / "whole.tar.gz", NAMED).read_bytes()
    for name, part in {"cut": raw[: len(raw) // 2], "no": b"text", "empty": b""}.items():
        (tmp_path / f"{name}.tar.gz").write_bytes(part)
        with pytest.raises(DataError, match=rf"{name}\.tar\.gz: expected a whole tar file.*truncated"):
            kg.load("wn18rr", tmp_path / f"{name}.tar.gz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice_in_an_archive(dbp5l: Path, tmp_path: Path) -> None:
    archive = zipped(dbp5l, tmp_path / "twice.zip", "DBP-5L")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("DBP-5L/kg/el-val.tsv", "0\t0\t1\r\n")
    with pytest.raises(DataError, match=r"twice\.zip/kg/el-val\.tsv: expected one such file, found 2"):
        kg.load("dbp-5l", archive)
    with zipfile.ZipFile(zipped(dbp5l, tmp_path / "two.zip", "A"), "a") as file:
        file.writestr("B/relations.txt", "likes\r\n")
    with pytest.raises(DataError, match=r"two\.zip: expected one member relations\.txt, found A/rel.*, B/rel"):
        kg.load("dbp-5l", tmp_path / "two.zip")


def test_nothing_is_written_and_links_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a\tr\tb\n")
    archive = tmp_path / "x.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        for path, content in {f"../out/{path}": text for path, text in NAMED.items() if path != "test.txt"}.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            file.addfile(member, io.BytesIO(content.encode()))
        member = tarfile.TarInfo("../out/test.txt")
        member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "secret")
        file.addfile(member)
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(DataError, match=r"x\.tar\.gz/test\.txt: expected a file, found none"):
        kg.load("wn18rr", archive)
    assert sorted(tmp_path.parent.rglob("*")) == before


def test_bad_roots_and_names(dbp5l: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown graphs 'dbp'.*dbp-5l.*wn18rr.*from_triples"):
        kg.load("dbp")
    with pytest.raises(ValueError, match="unknown pair 'de_en'; choose one of zh_en"):
        kg.load("dbp15k", tmp_path, pair="de_en")
    with pytest.raises(TypeError, match="pair"):
        kg.load("dbp-5l", tmp_path, pair="zh_en")
    with pytest.raises(DataError, match=r"root.*the archive or folder dbp-5l.*None"):
        kg.load("dbp-5l")
    (tmp_path / "none").mkdir()
    with pytest.raises(
        DataError, match=r"none: expected one file kg\.txt, or one archive or folder mkr-movie, found none"
    ):
        kg.load("mkr-movie", written(tmp_path / "none", {f"mkr-book/{path}": text for path, text in MKR.items()}))
    shutil.copytree(dbp5l, tmp_path / "open" / "dbp-5l")
    with pytest.raises(DataError, match=r"found .*DBP-5L, .*dbp-5l\. Pass the path of the one you mean"):
        kg.load("dbp-5l", dbp5l.parent)


def test_graphs_are_sought_where_the_environment_says(tmp_path: Path, monkeypatch) -> None:
    written(tmp_path / "kg", {f"mkr-book/{path}": text for path, text in MKR.items()})
    with pytest.raises(DataError, match="the archive or folder mkr-book"):
        kg.load("mkr-book")
    monkeypatch.setenv("SELLAREC_DATA", str(tmp_path))
    assert kg.load("mkr-book")["mkr-book"].n_entities == kg.load("mkr-book", tmp_path / "kg")["mkr-book"].n_entities
    assert set(kg.load("tiny").graphs) == {"catalogue", "archive"}  # what ships is never sought
