"""Amazon-Book by the benchmark's rule, on a generated sample whose answer is worked out here row by row."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from by_hand import counts
from raw import review, write

from sellarec_lab import data as D

DAY = 86400
JAN_2017, DEC_2017, JAN_2018 = (
    int(datetime(*day, tzinfo=UTC).timestamp()) for day in ((2017, 1, 1), (2017, 12, 1), (2018, 1, 1))
)


def sample() -> tuple[list[dict], list[dict]]:
    """A year of 40 readers and 30 books, some of them rare, with repeats, edges of the year and books unlisted."""
    draw = random.Random(0)
    reviews = []
    for _ in range(1000):
        user, book = int(40 * draw.random() ** 1.5), int(30 * draw.random() ** 1.5)
        day = draw.choice((draw.randrange(365), draw.randrange(334, 365)))
        reviews.append(review(f"u{user}", f"b{book}", JAN_2017 + day * DAY, draw.choice((1.0, 3.0, 4.0, 5.0, 5.0))))
    reviews += [review("u0", "b0", JAN_2017 - DAY), review("u0", "b0", JAN_2018)] * 30
    books = [{"asin": f"b{n}", "title": f"Book &amp; {n}"} for n in range(28)]  # two have no metadata
    draw.shuffle(books)
    return reviews, [*books, {"asin": "unread", "title": "U"}, books[0] | {"title": "The last row counts"}]


def folder(path: Path, reviews: list, meta: list) -> Path:
    write(path / "Books_5.json.gz", reviews)
    write(path / "meta_Books.json.gz", meta)
    return path


def expected(reviews: list[dict], meta: list[dict]) -> dict:
    """The rule, one row at a time, without the package."""
    books = [m["asin"] for n, m in enumerate(meta) if m["asin"] not in [other["asin"] for other in meta[n + 1 :]]]
    year = [r for b in books for r in reviews if r["asin"] == b and JAN_2017 <= r["unixReviewTime"] < JAN_2018]
    by = {key: [r[key] for r in year] for key in ("reviewerID", "asin")}
    active = [r for r in year if all(by[key].count(r[key]) > 20 for key in by)]
    users, items = (list(dict.fromkeys(r[key] for r in active)) for key in ("reviewerID", "asin"))
    late = sorted((r for r in active if r["unixReviewTime"] >= DEC_2017), key=lambda r: r["unixReviewTime"])
    halves = {"valid": late[: len(late) // 2], "test": late[len(late) // 2 :]}
    splits = {"train": [r for r in active if r["unixReviewTime"] < DEC_2017], **halves}
    rows = {part: [] for part in splits}
    for user in users:
        liked: list[int] = []
        mine = [(r, part) for part in splits for r in splits[part] if r["reviewerID"] == user]
        for r, part in sorted(mine, key=lambda pair: pair[0]["unixReviewTime"]):
            item, label = items.index(r["asin"]) + 1, int(r["overall"] >= 5)
            rows[part].append((users.index(user) + 1, item, label, r["unixReviewTime"], tuple(liked)))
            liked += [item] * label
    return {"users": users, "items": items, "year": len(year), "rows": rows}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> D.Interactions:
    return D.load("amazon-book", folder(tmp_path_factory.mktemp("book"), *sample()))


def test_the_rule(book: D.Interactions) -> None:
    truth = expected(*sample())
    assert 10 < len(truth["users"]) < 40 and 10 < len(truth["items"]) < 28  # the filter bites on both sides
    assert book.name == "amazon-book" and book.users["external_id"].tolist() == truth["users"]
    assert book.items["external_id"].tolist() == truth["items"]
    columns = ["user_id", "item_id", "label", "timestamp", "history"]
    for part in D.SPLITS:
        assert list(book.split(part)[columns].itertuples(index=False, name=None)) == truth["rows"][part], part


def test_halves_warmth_and_titles(book: D.Interactions) -> None:
    assert len(book.test) - len(book.valid) in (0, 1)
    assert book.train["timestamp"].max() < DEC_2017 <= book.valid["timestamp"].min()
    assert book.valid["timestamp"].max() <= book.test["timestamp"].min()
    known = [set(book.train[column]) for column in ("user_id", "item_id")]
    warm = [user in known[0] and item in known[1] for user, item in book.test[["user_id", "item_id"]].to_numpy()]
    assert book.test["is_warm"].tolist() == warm
    assert "The last row counts" in book.titles and "Book & 1" in book.titles


def test_counted_before_either_filter_and_once(tmp_path: Path) -> None:
    """u has 21 reviews, 20 of them of rare books: it stays, with one row; v has 20 and goes, though b has 22."""
    some = [(f"w{n}", month) for n in range(20) for month in (0, 340, 360)]
    reviews = [review(user, "b", JAN_2017 + day * DAY) for user, day in some]
    reviews += [review(user, f"of {user}", JAN_2017) for user, _ in some for _ in range(18)]
    reviews += [review("u", "b", JAN_2017), *(review("u", f"rare{n}", JAN_2017) for n in range(20))]
    reviews += [review("v", "b", JAN_2017), *(review("v", f"rare{n}", JAN_2017) for n in range(19))]
    meta = [{"asin": asin, "title": asin} for asin in dict.fromkeys(r["asin"] for r in reviews)]
    data = D.load("amazon-book", folder(tmp_path, reviews, meta))
    rows = data.train["user_id"].map(data.users["external_id"])
    assert (rows == "u").sum() == 1 and "v" not in data.users["external_id"].tolist()


def test_steps_and_leak_report(book: D.Interactions) -> None:
    truth = expected(*sample())
    in_2017 = [r for r in sample()[0] if JAN_2017 <= r["unixReviewTime"] < JAN_2018]
    left = sum(map(len, truth["rows"].values()))
    assert book.steps["interactions"].tolist() == [len(in_2017), truth["year"], left, left]
    cut = truth["rows"]["test"] and min(row[3] for row in truth["rows"]["test"])
    valid, test = (sum(row[3] == cut for row in truth["rows"][part]) for part in ("valid", "test"))
    assert book.steps["note"].iloc[-1] == f"the day of the cut has {valid} rows in valid, {test} in test"
    own = sum(row[1] in row[4] for rows in truth["rows"].values() for row in rows)
    assert own > 0 and counts(book)["rows with the target inside its own history"] == own
    assert counts(D.leave_one_out(book))["rows with the target inside its own history"] == 0


def test_bad_files(tmp_path: Path) -> None:
    reviews, meta = sample()
    with pytest.raises(D.DataError, match=r"Books_5\.json\.gz or the like, found none"):
        D.load("amazon-book", tmp_path)
    write(tmp_path / "Books_5.json", reviews)
    with pytest.raises(D.DataError, match=r"meta_Books\.json\.gz.*nothing"):
        D.load("amazon-book", tmp_path)
    write(tmp_path / "meta_Books.json", meta)
    broken = [reviews[0] | {"overall": value} for value in (None, "5", float("nan"))]
    write(tmp_path / "Books_5.json", [*broken, *reviews])
    data = D.load("amazon-book", tmp_path)
    assert data.steps["note"].iloc[0] == "broken lines: 3 (1, 2, 3), left out"
    write(tmp_path / "Books_5.json", [r for r in reviews if r["unixReviewTime"] < DEC_2017])
    with pytest.raises(D.DataError, match=r"Books_5\.json: expected a valid row.*none"):
        D.load("amazon-book", tmp_path)
    write(tmp_path / "Books_5.json", [r for r in reviews if r["unixReviewTime"] < JAN_2017])
    with pytest.raises(D.DataError, match=r"expected a train row.*none"):
        D.load("amazon-book", tmp_path)
    with pytest.raises(D.DataError, match=r"root, the folder.*None"):
        D.load("amazon-book")
