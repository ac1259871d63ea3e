"""Finding people, films and rows: what a search box means, and what was rated when."""

import difflib
import functools
import re
from typing import NamedTuple

import pandas as pd

from sellarec_lab import metrics
from sellarec_lab.data import Interactions

MOST = 200  # a list longer than this is no help
_CLOSE = 0.75  # letters that two titles share, by the ratio of difflib, for one to be meant by the other
_CLOSER = 0.1  # titles that share so much less than the nearest one were hardly meant
_LONGEST = 80  # letters of a description that one reads by pointing
_HELP = "search a user's id, a part of a film's title, 'cold' or 'worst'"


class Found(NamedTuple):
    """User ids, best first, and what they have in common."""

    users: tuple[int, ...]
    note: str


class Lookup:
    """The users, films and rows of a data set; ``trained_users`` and ``trained_items`` have a row in train.

    Args:
        data: an `Interactions`.
        predictions: scored rows ``user_id, item_id, label, score``, for the search "worst"; or None.
    """

    def __init__(self, data: Interactions, predictions: pd.DataFrame | None = None):
        self.data, self.predictions = data, predictions
        frames = [data.split(name).assign(split=name) for name in ("train", "valid", "test")]
        self.rows = pd.concat(frames).sort_index()
        self.titles = data.titles
        self._folded = [title.casefold() for title in self.titles]
        self._bags = [_bag(title) for title in self.titles]
        self.close = functools.lru_cache(100)(self._close)
        self.external = dict(zip(data.users["external_id"].astype(str), data.users.index.tolist()))
        self._names = ["", *self.external]
        self.trained_users, self.trained_items = set(data.train["user_id"]), set(data.train["item_id"])

    def name(self, user_id: int) -> str:
        """The user's id in the original data."""
        return self._names[user_id]

    def user(self, wanted: int | str) -> int:
        """Internal id of a user: a number is taken as it is, a text as the id in the original data.

        Raises:
            ValueError: nobody has it.
        """
        if not isinstance(wanted, str):
            return int(wanted)
        if wanted.strip() not in self.external:
            raise ValueError(f"no user has the id {wanted!r} in the original data; {_HELP}")
        return self.external[wanted.strip()]

    def item(self, wanted: int | str) -> int:
        """Internal id of an item: a number is taken as it is, a text as its title or the only title that holds it.

        Raises:
            ValueError: no title, or several.
        """
        if not isinstance(wanted, str):
            return int(wanted)
        exact = self.titled(wanted)
        close = [exact] if exact else self._holding(wanted)
        if len(close) == 1:
            return close[0]
        if near := "" if close else self.meant(wanted):
            raise ValueError(f"no title holds {wanted!r}; {near}")
        some = "; ".join(self.titles[i] for i in close[:5])
        raise ValueError(f"{len(close)} titles hold {wanted!r}{': ' + some if some else ''}; write one of them in full")

    def called(self, entry: int | str) -> str:
        """The title of an item, or a new title as it is."""
        return entry if isinstance(entry, str) else self.titles[entry]

    def meant(self, title: str) -> str:
        """A question after the titles that are nearly this one; "" if there are none."""
        near = " or ".join(f"“{self.titles[i]}”" for i in self.close(title))
        return f"did you mean {near}?" if near else ""

    def _close(self, title: str, most: int = 3) -> tuple[int, ...]:
        """Items whose titles are nearly this one, nearest first: some letters differ, or the words' order."""
        found: dict[int, float] = {}
        for sought, known in ((title.strip().casefold(), self._folded), (_bag(title), self._bags)):
            for near in difflib.get_close_matches(sought, known[1:], most, _CLOSE):
                ratio = difflib.SequenceMatcher(None, sought, near).ratio()
                found[known.index(near)] = max(ratio, found.get(known.index(near), 0.0))
        best = max(found.values(), default=0.0) - _CLOSER
        return tuple(sorted((i for i in found if found[i] >= best), key=lambda item: -found[item])[:most])

    @functools.cached_property
    def about(self) -> dict[int, str]:
        """What the data says of every item besides its title, in one line."""
        columns = self.data.items.drop(columns=["external_id", "title"], errors="ignore")
        return {int(item): " · ".join(_told(row)) for item, row in zip(columns.index, columns.to_dict("records"))}

    def titled(self, title: str) -> int | None:
        """The first item of exactly this title, whatever its case; None if there is none."""
        sought = title.strip().casefold()
        return self._folded.index(sought) if sought and sought in self._folded else None

    def _holding(self, part: str) -> list[int]:
        sought = part.strip().casefold()
        return [i for i, title in enumerate(self._folded) if i and sought and sought in title]

    def rated(self, user_id: int) -> pd.DataFrame:
        """All rows of a user, oldest first, with their ``split``."""
        return self.rows[self.rows["user_id"] == user_id].sort_values("timestamp", kind="stable")

    def moment(self, user_id: int, item_id: int) -> tuple[int, ...] | None:
        """What the user had liked when they rated the item; None if they never did."""
        rows = self.rated(user_id)
        found = rows[rows["item_id"] == item_id]["history"]
        return tuple(found.iloc[-1]) if len(found) else None

    def search(self, text: str) -> Found:
        """Who is meant: "" (the test split's users), "cold", "worst", an id, or a part of a title.

        Raises:
            ValueError: nobody is; or "worst" without predictions.
        """
        words = text.strip()
        special = {"": self._asked, "cold": self._cold, "worst": self._worst}.get(words.casefold())
        found = special() if special else self._by_name(words)
        if not found.users:
            raise ValueError(f"nobody found for {text!r}: {_HELP}")
        more = f" (the first {MOST} are listed)" if len(found.users) > MOST else ""
        return Found(found.users[:MOST], found.note + more)

    def _asked(self) -> Found:
        split = next(name for name in ("test", "valid", "train") if len(self.data.split(name)))
        users = tuple(sorted(self.data.split(split)["user_id"].unique().tolist()))
        return Found(users, f"{len(users)} users of the {split} split")

    def _cold(self) -> Found:
        users = tuple(sorted(set(self.rows["user_id"]) - self.trained_users))
        return Found(users, f"{len(users)} users without a row in train: their <User_ID> was never trained")

    def _worst(self) -> Found:
        if self.predictions is None:
            raise ValueError(
                "'worst' needs scored rows: open the workbench with predictions=model.predict(data.test), or with cfg "
                "after lab.compare.run has scored the model"
            )
        columns = [self.predictions[c] for c in ("user_id", "label", "score")]
        table = metrics.user_auc(*columns).sort_values("auc", kind="stable")
        worst = f", from AUC {table['auc'].iloc[0]:.2f}" if len(table) else ""
        return Found(tuple(table.index.tolist()), f"{len(table)} users, lowest AUC first{worst}")

    def _by_name(self, words: str) -> Found:
        ids = [self.external[words]] if words in self.external else []
        ids += [int(words)] if words.isdecimal() and int(words) in set(self.rows["user_id"]) else []
        if ids:
            return Found(tuple(dict.fromkeys(ids)), f"the user {words}, by the original or the internal id")
        films = self._holding(words)
        fans = self.rows[self.rows["item_id"].isin(films) & (self.rows["label"] == 1)]["user_id"]
        shown = f"“{self.titles[films[0]]}”" if len(films) == 1 else f"one of {len(films)} films"
        return Found(tuple(sorted(fans.unique().tolist())), f"{fans.nunique()} users like {shown}")


def _bag(title: str) -> str:
    """A title's words without sign and year, in the order of the alphabet: "Matrix, The (1999)" is "matrix the"."""
    return " ".join(sorted(re.findall(r"\w+", re.sub(r"\(\d{4}\)", "", title.casefold()))))


def _told(row: dict) -> list[str]:
    """ "genre crime" and its like, for what a row holds."""
    known = {name: " ".join(str(value).split()) for name, value in row.items() if pd.api.types.is_scalar(value)}
    known = {name: text for name, text in known.items() if text and not pd.isna(row[name])}
    return [f"{name} {text if len(text) <= _LONGEST else text[:_LONGEST] + '…'}" for name, text in known.items()]
