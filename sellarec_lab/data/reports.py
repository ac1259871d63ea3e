"""What the data are (`statistics`) and where they could mislead (`leak_report`)."""

from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd

from sellarec_lab.data.build import seen_often
from sellarec_lab.data.interactions import SPLITS, Interactions

OFTEN = 3  # the stricter of the two definitions of warm found in the literature


def warm(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose user and item both occur in train."""
    return frame[frame["is_warm"]]


def cold(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows whose user or item does not occur in train."""
    return frame[~frame["is_warm"]]


def warmth(data: Interactions, frame: pd.DataFrame, at_least: int = 1) -> pd.Series:
    """True where user and item each have at least `at_least` rows in `data.train`. bool [rows]

    1 is the benchmark's definition (it is what `is_warm` holds); 3 is the stricter one in use.
    """
    if at_least < 1:
        raise ValueError(f"at_least: expected 1 or more, found {at_least}")
    return seen_often(data.train, frame, at_least=at_least).rename("is_warm")


def statistics(data: Interactions) -> pd.DataFrame:
    """One row a split: sizes, shares, histories, and the users that a per-user AUC can use."""
    return pd.DataFrame([_split_statistics(data.split(part)) for part in SPLITS], index=list(SPLITS))


def _split_statistics(frame: pd.DataFrame) -> dict[str, float]:
    lengths = frame["history"].map(len).astype("int64")
    return {
        "rows": len(frame),
        "users": frame["user_id"].nunique(),
        "items": frame["item_id"].nunique(),
        "share of label 1": frame["label"].mean(),
        "warm share": frame["is_warm"].mean(),
        "mean history length": lengths.mean(),
        "users with both labels": int((frame.groupby("user_id")["label"].nunique() == 2).sum()),
        "rows with empty history": int((lengths == 0).sum()),
    }


def leak_report(data: Interactions) -> pd.DataFrame:
    """Look for ways in which a model could know what it must not, and for what one should know.

    Returns:
        DataFrame with the columns `check`, `count` and `verdict`: "ok" (nothing found), "leak" (an
        evaluation on these data is not to be trusted), "fault: ..." (broken table) or "note: ..."
        (allowed, but read your numbers with it in mind).
    """
    table = pd.concat([data.split(part).assign(split=part) for part in SPLITS])
    liked = _first_liked(table, data.n_items)
    facts = {part: _history_facts(data.split(part), liked, data.n_items) for part in SPLITS}
    rows = [*_leaks(data, table, facts), *_history_notes(facts), *_cold_start(data), *_faults(data, table, facts)]
    return pd.DataFrame(rows, columns=["check", "count", "verdict"])


class _HistoryFacts(NamedTuple):
    """Numbers of rows of one split whose history holds such an item."""

    own_target: int
    future: int
    same_second: int
    unknown: int  # never liked by this user in any split
    padding: int


def _first_liked(table: pd.DataFrame, n_items: int) -> pd.Series:
    """Earliest second at which a user liked an item, by user_id * (n_items + 1) + item_id, sorted."""
    likes = table[table["label"] == 1]
    keys = likes["user_id"] * (n_items + 1) + likes["item_id"]
    return likes["timestamp"].groupby(keys.to_numpy()).min()


def _history_facts(frame: pd.DataFrame, liked: pd.Series, n_items: int) -> _HistoryFacts:
    """Compare every item of every history with the moment it was liked, all at once."""
    row = np.repeat(np.arange(len(frame)), frame["history"].map(len).to_numpy(dtype="int64"))  # [entries]
    entry = np.fromiter(chain.from_iterable(frame["history"]), dtype="int64", count=len(row))  # [entries]
    user, target, now = (frame[c].to_numpy()[row] for c in ("user_id", "item_id", "timestamp"))
    place = liked.index.get_indexer(user * (n_items + 1) + entry)
    known = place >= 0
    when = np.append(liked.to_numpy(), 0)[place]  # place -1 reads the appended 0, masked by `known`
    hits = (entry == target, known & (when > now), known & (when == now), ~known & (entry != 0), entry == 0)
    return _HistoryFacts(*(len(np.unique(row[hit])) for hit in hits))


def _verdict(count: int, otherwise: str) -> str:
    return "ok" if count == 0 else otherwise


def _leaks(data: Interactions, table: pd.DataFrame, facts: dict[str, _HistoryFacts]) -> list[tuple]:
    in_splits = table.groupby(["user_id", "item_id"])["split"].nunique()
    counts = {
        "(user, item) pairs in two splits": int((in_splits > 1).sum()),
        "rows with the target inside its own history": sum(f.own_target for f in facts.values()),
        "rows with future items in the history": sum(f.future for f in facts.values()),
    }
    rows = [(check, count, _verdict(count, "leak")) for check, count in counts.items()]
    late = int((data.train["timestamp"] >= data.test["timestamp"].min()).sum())
    note = "note: not split by time"
    return [*rows, ("train rows at or after the first test row", late, _verdict(late, note))]


def _history_notes(facts: dict[str, _HistoryFacts]) -> list[tuple]:
    rows = []
    for part, fact in facts.items():
        note = "note: order within a second is arbitrary"
        rows.append(
            (f"same-second events in the history ({part} rows)", fact.same_second, _verdict(fact.same_second, note))
        )
    unknown = sum(f.unknown for f in facts.values())
    rows.append(
        (
            "rows with history items that have no liked row",
            unknown,
            _verdict(unknown, "note: history from outside the tables"),
        )
    )
    return rows


def _cold_start(data: Interactions) -> list[tuple]:
    rows = []
    for part in ("valid", "test"):
        frame = data.split(part)
        for column, what in (("user_id", "users"), ("item_id", "items")):
            unseen = len(set(frame[column]) - set(data.train[column]))
            rows.append((f"{what} unseen in train ({part})", unseen, _verdict(unseen, f"note: cold {what}")))
        for at_least, rule in ((1, "seen in train"), (OFTEN, f"at least {OFTEN} times in train")):
            is_warm = warmth(data, frame, at_least)
            for kind, count in (("warm", int(is_warm.sum())), ("cold", int((~is_warm).sum()))):
                share = count / len(frame) if len(frame) else 0.0
                rows.append((f"{kind} rows, {rule} ({part})", count, f"note: {share:.1%} of {part}"))
    return rows


def _faults(data: Interactions, table: pd.DataFrame, facts: dict[str, _HistoryFacts]) -> list[tuple]:
    flags = sum(int((warmth(data, data.split(p)) != data.split(p)["is_warm"]).sum()) for p in SPLITS)
    counts = [
        ("is_warm differs from seen in train", flags, "fault: wrong flags"),
        (
            "padding id 0 in the frames",
            int((table[["user_id", "item_id"]] == 0).any(axis=1).sum()),
            "fault: 0 is no user or item",
        ),
        ("rows with padding item 0 in the history", sum(f.padding for f in facts.values()), "fault: 0 is no item"),
        ("empty titles", int((data.items["title"].str.strip() == "").sum()), "fault: no text to read"),
    ]
    return [(check, count, _verdict(count, fault)) for check, count, fault in counts]
