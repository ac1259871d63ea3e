"""The reading club: a small invented table in the form in which people have theirs, for the notebook on own data.

    python docs/club.py [FOLDER]

Writes ``books.csv`` and ``ratings.csv``, the same on every machine. Readers have favourite genres, books differ in
quality. As tables are, this one is not clean: a rating stands in it twice, and a book lacks its title.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

READERS, BOOKS, EACH = 90, 60, 30
GENRES = {
    "mystery": ("Alibi", "Cipher", "Witness", "Verdict", "Locked Door", "Last Train"),
    "romance": ("Letter", "Garden", "Promise", "Summer", "Wedding", "Harbour"),
    "science fiction": ("Orbit", "Signal", "Colony", "Android", "Comet", "Archive"),
    "history": ("Empire", "Treaty", "Voyage", "Abbey", "Siege", "Silk Road"),
    "humour": ("Landlord", "Aunt", "Goose", "Committee", "Umbrella", "Picnic"),
}
FIRST = ("The Silent", "A Distant", "The Second", "Our", "The Borrowed", "An Endless", "The Winter", "The Paper")
START, DAYS = pd.Timestamp("2023-01-05"), 700


def books(rng: np.random.Generator) -> pd.DataFrame:
    """``book, title, genres, year``."""
    genres = np.array(list(GENRES))[np.arange(BOOKS) % len(GENRES)]
    titles: list[str] = []
    for genre in genres:
        names = (f"{rng.choice(FIRST)} {rng.choice(GENRES[genre])}" for _ in range(1000))
        titles.append(next(name for name in names if name not in titles))
    ids = [f"B{number:03d}" for number in rng.permutation(900)[:BOOKS] + 100]
    return pd.DataFrame({"book": ids, "title": titles, "genres": genres, "year": rng.integers(1950, 2023, BOOKS)})


def ratings(catalogue: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """``reader, book, stars, day``, in the order in which they came in."""
    kinds = pd.Categorical(catalogue["genres"], list(GENRES)).codes
    taste, quality = rng.normal(0, 1.3, (READERS, len(GENRES))), rng.normal(0, 0.6, BOOKS)
    rows = []
    for reader in range(READERS):
        read = rng.permutation(BOOKS)[:EACH]
        stars = np.rint(3.4 + taste[reader, kinds[read]] + quality[read] + rng.normal(0, 0.7, EACH)).clip(1, 5)
        days = START + pd.to_timedelta(np.sort(rng.integers(0, DAYS, EACH)), unit="D")
        rows.append(pd.DataFrame({
            "reader": f"reader-{reader + 1:02d}", "book": catalogue["book"].to_numpy()[read],
            "stars": stars.astype(int), "day": days.strftime("%Y-%m-%d"),
        }))  # fmt: skip
    return pd.concat(rows).sort_values(["day", "reader"], kind="stable", ignore_index=True)


def main(folder: Path) -> None:
    rng = np.random.default_rng(0)
    catalogue = books(rng)
    given = ratings(catalogue, rng)
    again = pd.concat([given.iloc[:1500], given.iloc[[700]], given.iloc[1500:]])  # entered twice
    catalogue.loc[catalogue["book"] == catalogue["book"].iloc[41], "title"] = None
    folder.mkdir(parents=True, exist_ok=True)
    catalogue.to_csv(folder / "books.csv", index=False, lineterminator="\n")
    again.to_csv(folder / "ratings.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "data" / "club"))
