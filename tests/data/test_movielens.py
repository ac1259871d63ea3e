"""MovieLens-1M, in miniature and with the published numbers."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from by_hand import counts, needs_ml1m

from sellarec_lab import data as D
from sellarec_lab.data import movielens

JUN_2001, APR_2002, SEP_2002, FEB_2003 = 991353600, 1017619200, 1030838400, 1044057600
MOVIES = (
    "1::Seven (a.k.a. Se7en): One (1995)::Crime|Thriller\n2::Les Mis\xe9rables (1998)::Drama\n3::Up (1940)::Comedy\n"
)
USERS = "1::F::1::10::48067\n2::M::56::16::70072-12\n"
RATINGS = [
    f"2::3::5::{JUN_2001 - 1}",  # a second too early, but film 3 is the first seen
    f"2::2::4::{APR_2002 - 1}",  # then film 2
    f"1::1::3::{JUN_2001}",  # then film 1
    f"2::1::5::{APR_2002}",
    f"1::2::5::{JUN_2001}",  # tie with 1::1: neither line order nor MovieID decides, film 2 was seen first
    f"1::3::5::{SEP_2002}",
    f"2::3::4::{FEB_2003}",  # a second too late
]


def mini(folder: Path, ratings: list[str] | bytes = RATINGS, **members: bytes) -> Path:
    """An ml-1m.zip of seven ratings; `movies=...` and so on replace a member."""
    raw = ratings if isinstance(ratings, bytes) else ("\n".join(ratings) + "\n").encode("latin-1")
    content = {"ratings": raw, "movies": MOVIES.encode("latin-1"), "users": USERS.encode("latin-1")} | members
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "ml-1m.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in content.items():
            archive.writestr(f"ml-1m/{name}.dat", text)
    return folder / "ml-1m.zip"


def test_mini_ml1m_months_ties_ids_and_histories(tmp_path: Path) -> None:
    data = D.load("ml-1m", mini(tmp_path))
    # User 1 rated two films in one second; the tie goes by first appearance in the file: 2, then 1.
    assert data.items["external_id"].tolist() == [2, 1, 3]
    assert data.train[["user_id", "item_id", "label"]].to_numpy().tolist() == [[1, 1, 1], [1, 2, 0], [2, 1, 1]]
    assert data.train.index.tolist() == [0, 1, 3]
    assert data.train["history"].tolist() == [(), (1,), ()]
    assert data.valid[["user_id", "item_id"]].to_numpy().tolist() == [[2, 2]]
    assert data.valid["history"].tolist() == [(1,)] and data.valid["is_warm"].tolist() == [True]
    assert data.test[["user_id", "item_id"]].to_numpy().tolist() == [[1, 3]]
    assert data.test["history"].tolist() == [(1,)] and data.test["is_warm"].tolist() == [False]
    assert data.titles[1:] == ["Les Mis\xe9rables (1998)", "Seven (a.k.a. Se7en): One (1995)", "Up (1940)"]
    assert data.items["year"].tolist() == [1998, 1995, 1940]
    assert data.items["genres"].tolist() == ["Drama", "Crime|Thriller", "Comedy"]
    assert data.users.loc[2].tolist() == [2, "M", 56, 16]


def test_mini_ml1m_zip_folder_and_unpacked_are_the_same(tmp_path: Path) -> None:
    path = mini(tmp_path / "zipped")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "open")
    roots = [path, str(path), path.parent, tmp_path / "open", tmp_path / "open" / "ml-1m"]
    assert len({D.load("ml-1m", root).fingerprint for root in roots}) == 1
    windows = mini(tmp_path / "crlf", ("\r\n".join(RATINGS) + "\r\n").encode())
    assert D.load("ml-1m", windows).fingerprint == D.load("ml-1m", path).fingerprint


BAD_FILES = {
    "short line": ({"ratings": [*RATINGS[:2], "1::2::3", *RATINGS[3:]]}, "ratings.dat, line 3.*'1::2::3'"),
    "long line": ({"ratings": [*RATINGS, "1::2::3::4::5"]}, "ratings.dat, line 8"),
    "colon at the end": ({"ratings": [f"{line}:" for line in RATINGS]}, "ratings.dat, line 1"),
    "two colons at an end": ({"ratings": [*RATINGS[:2], RATINGS[2] + "::", *RATINGS[3:]]}, "line 3"),
    "single colons": ({"ratings": [RATINGS[0], "1:2:3:4:5:6:7", *RATINGS[2:]]}, "ratings.dat, line 2"),
    "commas": ({"ratings": [line.replace("::", ",") for line in RATINGS]}, "ratings.dat, line 1"),
    "words": ({"ratings": [*RATINGS[:4], "1::x::5::991353600", *RATINGS[5:]]}, "ratings.dat, line 5"),
    "blank line": ({"ratings": [*RATINGS[:4], "", *RATINGS[4:]]}, "ratings.dat, line 5"),
    "six stars": ({"ratings": [*RATINGS[:3], f"2::2::6::{APR_2002}", *RATINGS[4:]]}, "ratings.dat, line 4"),
    "unknown film": ({"ratings": [*RATINGS, f"1::9::5::{SEP_2002}"]}, "line 8.*MovieID listed in movies.dat.*9"),
    "unknown user": ({"ratings": [*RATINGS, f"7::1::5::{SEP_2002}"]}, "line 8.*UserID listed in users.dat.*7"),
    "repeated pair": ({"ratings": [*RATINGS, f"1::3::5::{SEP_2002 + 9}"]}, "each .user_id, item_id. once"),
    "empty ratings": ({"ratings": b""}, "ratings.dat"),
    "no rating in the window": ({"ratings": RATINGS[:1]}, "2001-06-01"),
    "UTF-16 ratings": ({"ratings": "\n".join(RATINGS).encode("utf-16")}, "ratings.dat.*UTF-16"),
    "UTF-16 movies": ({"movies": MOVIES.encode("utf-16")}, "movies.dat.*UTF-16"),
    "UTF-8 movies": ({"movies": MOVIES.encode("utf-8")}, "movies.dat.*UTF-8"),
    "one line of UTF-8": (
        {"movies": MOVIES.encode("latin-1") + "4::Amélie (2001)::Comedy\n".encode()},
        "movies.dat, line 4.*UTF-8",
    ),
    "a user like 1e2": ({"ratings": [*RATINGS[:4], "1e2::1::5::991353600", *RATINGS[5:]]}, "ratings.dat, line 5.*1e2"),
    "a user of 20 digits": ({"ratings": [f"{'9' * 20}::1::5::991353600"]}, "ratings.dat, line 1.*9{20}"),
    "a film of 20 digits": ({"movies": f"{'9' * 20}::Up (1940)::Drama\n".encode()}, "movies.dat, line 1.*9{20}"),
    "an age of 20 digits": ({"users": f"1::F::{'9' * 20}::10::48067\n".encode()}, "users.dat, line 1.*9{20}"),
    "movie without year": ({"movies": b"1::Seven (1995)::Crime\n2::Up::Drama\n3::U (1940)::X\n"}, "movies.dat, line 2"),
    "movie twice": ({"movies": b"1::Seven (1995)::Crime\n1::Up (1940)::Drama\n"}, "movies.dat, line 2.*once"),
    "user without age": ({"users": b"1::F::10::48067\n"}, "users.dat, line 1"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_ml1m_files_give_one_clear_error(case: str, tmp_path: Path) -> None:
    members, message = BAD_FILES[case]
    with pytest.raises(D.DataError, match=f"(?s){message}"):
        D.load("ml-1m", mini(tmp_path, **members))


def test_bad_ml1m_roots(tmp_path: Path) -> None:
    path = mini(tmp_path)
    with pytest.raises(D.DataError, match=r"nowhere.*grouplens.*root"):
        D.load("ml-1m", tmp_path / "nowhere")
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:-40])
    with pytest.raises(D.DataError, match=r"cut\.zip.*truncated"):
        D.load("ml-1m", tmp_path / "cut.zip")
    broken = bytearray(path.read_bytes())
    broken[60:90] = bytes(30)
    (tmp_path / "broken.zip").write_bytes(broken)
    with pytest.raises(D.DataError, match=r"broken\.zip.*damaged"):
        D.load("ml-1m", tmp_path / "broken.zip")
    with zipfile.ZipFile(tmp_path / "part.zip", "w") as archive:
        archive.writestr("ml-1m/ratings.dat", "x")
    with pytest.raises(D.DataError, match=r"part\.zip.*movies\.dat"):
        D.load("ml-1m", tmp_path / "part.zip")
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / "ratings.dat").write_text("\n".join(RATINGS))
    with pytest.raises(D.DataError, match=r"half.*movies\.dat"):
        D.load("ml-1m", tmp_path / "half")


def test_zips_that_are_locked_monstrous_or_packed_strangely(tmp_path: Path) -> None:
    raw = mini(tmp_path).read_bytes()
    entry = raw.index(b"PK\x01\x02")  # the first member's line in the table of contents; flags, method, size below
    flags, method, size = ((entry + at, entry + at + n) for at, n in ((8, 2), (10, 2), (24, 4)))
    local = (6, 8), (8, 10)  # flags and method again, before the member itself
    cases = {
        "encrypted": ([(flags, b"\x01\x00"), (local[0], b"\x01\x00")], r"ratings\.dat.*password.*encrypted"),
        "monstrous": ([(size, b"\xff\xff\xff\xf0")], r"ratings\.dat.*at most 2,147,483,648 bytes.*4,0\d\d"),
        "strange": ([(method, b"\x63\x00"), (local[1], b"\x63\x00")], "that Python can unpack"),
    }
    for name, (changes, message) in cases.items():
        broken = bytearray(raw)
        for (first, last), new in changes:
            broken[first:last] = new
        (tmp_path / f"{name}.zip").write_bytes(broken)
        with pytest.raises(D.DataError, match=rf"(?s){name}\.zip.*{message}"):
            D.load("ml-1m", tmp_path / f"{name}.zip")


def test_a_cut_official_file_is_told_by_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movielens, "LINES", {"ratings.dat": 7, "movies.dat": 3, "users.dat": 2})
    D.load("ml-1m", mini(tmp_path))
    with pytest.raises(D.DataError, match=r"ratings\.dat: expected 7 lines, as in the official file, found 6"):
        D.load("ml-1m", mini(tmp_path, RATINGS[:-1]))
    with pytest.raises(D.DataError, match=r"ratings\.dat, line 7: expected a whole last line"):
        D.load("ml-1m", mini(tmp_path, "\n".join(RATINGS)[:-3].encode()))


@pytest.mark.parametrize("error", [ConnectionError("no route"), ValueError("hash differs")])
def test_offline_says_what_to_do(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        assert kwargs["known_hash"] == "md5:c4d9eecfca2ab87c1945afe126590906"
        raise error

    monkeypatch.setattr(movielens.pooch, "retrieve", refuse)
    with pytest.raises(D.DataError, match=r"files\.grouplens\.org.*by hand.*root="):
        D.load("ml-1m")


# ------------------------------------------------------------------------------------- the published numbers


PUBLISHED = {
    "rows": [33891, 10401, 7331],
    "users": [740, 356, 320],
    "items": [3087, 2506, 2203],
    "share of label 1": [0.536750, 0.528315, 0.545355],
    "warm share": [1.0, 6609 / 10401, 4153 / 7331],
    "mean history length": [37.68, 57.76, 74.82],  # the published lists are one longer: a leading 0
    "users with both labels": [640, 282, 224],
    "rows with empty history": [1275, 103, 62],
}


@needs_ml1m
def test_ml1m_published_counts(ml1m: D.Interactions) -> None:
    assert (ml1m.n_users, ml1m.n_items) == (838, 3255)
    table = D.statistics(ml1m)
    for column, expected in PUBLISHED.items():
        assert table[column].tolist() == pytest.approx(expected, abs=0.005 if "mean" in column else 1e-6), column
    lengths = {part: ml1m.split(part)["history"].map(len) for part in D.SPLITS}
    assert [int(lengths[part].median()) for part in D.SPLITS] == [22, 38, 42]
    assert [int(lengths[part].max()) for part in D.SPLITS] == [338, 345, 445]
    position = np.sort(np.concatenate([ml1m.split(part).index for part in D.SPLITS]))
    assert np.array_equal(position, np.arange(51623))


@needs_ml1m
def test_ml1m_row_order_by_the_published_sample(ml1m: D.Interactions) -> None:
    """The benchmark's half of valid is drawn by position, so its counts depend on the order of every row."""
    rows = ml1m.valid.sample(frac=0.5, random_state=2023)
    assert [len(rows), rows["user_id"].nunique(), rows["item_id"].nunique()] == [5200, 331, 1985]
    assert [int(rows["is_warm"].sum()), int((rows["history"].map(len) == 0).sum())] == [3300, 50]
    assert rows["label"].mean() == pytest.approx(0.530577, abs=1e-6)


@needs_ml1m
def test_ml1m_months_and_times(ml1m: D.Interactions) -> None:
    slots = [4981, 4765, 4454, 3077, 2192, 2760, 3496, 3216, 2496, 2454, 2840, 1902, 1643, 1905, 2111]
    slots += [1293, 1014, 1908, 1264, 1852]
    times = {part: pd.to_datetime(ml1m.split(part)["timestamp"], unit="s") for part in D.SPLITS}
    months = pd.concat(times.values()).dt.strftime("%Y-%m").value_counts().sort_index()
    assert months.tolist() == slots and (months.index[0], months.index[-1]) == ("2001-06", "2003-01")
    ends = {part: (str(column.min()), str(column.max())) for part, column in times.items()}
    assert ends == {
        "train": ("2001-06-01 00:41:48", "2002-03-31 22:55:47"),
        "valid": ("2002-04-01 00:29:57", "2002-08-31 23:43:05"),
        "test": ("2002-09-01 00:14:13", "2003-01-31 17:23:06"),
    }


@needs_ml1m
def test_ml1m_groups_and_leak_report(ml1m: D.Interactions) -> None:
    def group(rows: pd.DataFrame) -> list[int]:
        both = int((rows.groupby("user_id")["label"].nunique() == 2).sum())
        return [len(rows), rows["user_id"].nunique(), both]

    assert group(D.warm(ml1m.test)) == [4153, 264, 176] and group(D.cold(ml1m.test)) == [3178, 97, 51]
    assert group(D.warm(ml1m.valid)) == [6609, 292, 223] and group(D.cold(ml1m.valid)) == [3792, 115, 74]
    found = counts(ml1m)
    assert [found[f"same-second events in the history ({part} rows)"] for part in D.SPLITS] == [7427, 2061, 1362]
    assert [found[f"users unseen in train ({part})"] for part in ("valid", "test")] == [63, 55]
    assert [found[f"items unseen in train ({part})"] for part in ("valid", "test")] == [112, 85]
    assert [found[f"cold rows, seen in train ({part})"] for part in ("valid", "test")] == [3792, 3178]
    assert not D.leak_report(ml1m)["verdict"].str.startswith(("leak", "fault")).any()
