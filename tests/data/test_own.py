"""Tables of one's own from a folder."""

from __future__ import annotations

from pathlib import Path

import club
import pandas as pd
import pytest
from by_hand import small

from sellarec_lab import data as D


def write(folder: Path, **tables: str | bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in tables.items():
        (folder / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def test_a_folder_gives_what_from_frames_gives(tmp_path: Path) -> None:
    interactions, items = small()
    write(tmp_path / "mine", interactions=interactions.to_csv(index=False), items=items.to_csv(index=False))
    back = D.load("own", tmp_path / "mine")
    direct = D.from_frames(*small())
    assert back.name == "mine" and back.titles == direct.titles
    for part in D.SPLITS:
        pd.testing.assert_frame_equal(back.split(part), direct.split(part))


def test_without_a_place_it_is_sought_where_the_environment_says(tmp_path: Path, monkeypatch) -> None:
    interactions, items = small()
    write(tmp_path / "own", interactions=interactions.to_csv(index=False), items=items.to_csv(index=False))
    monkeypatch.setenv("SELLAREC_DATA", str(tmp_path))
    assert (
        D.load("own").name == "own" and D.load("tiny-part").n_users == 125
    )  # what is not there, or ships, is no matter
    with pytest.raises(D.DataError):
        D.load("own", tmp_path / "elsewhere")  # what is asked for by name goes first
    monkeypatch.setenv("SELLAREC_DATA", "")
    with pytest.raises(D.DataError):
        D.load("own")


def test_ids_stay_text_and_dates_become_moments(tmp_path: Path) -> None:
    rows = ("007,NA,2024-01-01,1,train", "7,nan,2024-01-01 10:00,0,valid", "007,nan,2024-01-02T00:00:01Z,1,test")
    log = "\n".join(("user_id,item_id,timestamp,label,split", *rows))
    folder = write(
        tmp_path / "x", interactions=log, items="item_id,title\nNA,None\nnan,Up\n", users="user_id\n7\n007\n"
    )
    made = D.load("own", folder)
    assert made.users["external_id"].tolist() == ["7", "007"] and made.items["external_id"].tolist() == ["NA", "nan"]
    assert made.titles[1:] == ["None", "Up"]
    assert made.test["timestamp"].tolist() == [int(pd.Timestamp("2024-01-02 00:00:01").timestamp())]


LOG, ITEMS = "user_id,item_id,timestamp,rating\na,x,1,5\na,y,2,3\nb,x,3,4\n", "item_id,title\nx,X\ny,Y\n"
BAD = {
    "no items": ((LOG, None), r"expected items\.csv or items\.parquet, found \['interactions\.csv'\]"),
    "a rating in words": ((LOG.replace(",5\n", ",five\n"), ITEMS), "row 0, column 'rating'.*five"),
    "a day that is none": ((LOG.replace(",1,5", ",soon,5"), ITEMS), "column 'timestamp'.*soon"),
    "another encoding": ((LOG, ITEMS.replace("Y", "É").encode("latin-1")), r"items\.csv.*Unicode"),
    "a line with more fields": ((LOG + "a,y,2,3,9,9\n", ITEMS), r"interactions\.csv.*line 5"),
    "an empty file": (("", ITEMS), r"interactions\.csv: expected a readable table"),
    "an unknown item": ((LOG, "item_id,title\nx,X\n"), "column 'item_id': expected an id listed in"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_folders(case: str, tmp_path: Path) -> None:
    tables, message = BAD[case]
    tables = {name: text for name, text in zip(("interactions", "items"), tables, strict=True) if text is not None}
    with pytest.raises(D.DataError, match=f"(?s){message}"):
        D.load("own", write(tmp_path / "mine", **tables))
    with pytest.raises(D.DataError, match=r"root, a folder with interactions\.csv"):
        D.load("own")


def test_the_club_that_ships_is_what_its_script_writes(tmp_path: Path) -> None:
    club.main(tmp_path)
    for name in ("books.csv", "ratings.csv"):
        shipped = Path(club.__file__).parents[1] / "data" / "club" / name
        assert (tmp_path / name).read_bytes() == shipped.read_bytes()
