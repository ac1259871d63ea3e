"""The one writer, from rows to prompts.

A piece of the template whose field has nothing to show (no history, a slot that the recipe does not use) is left out.
Titles are filled in after the template was taken apart, so a title that contains ``<Item_ID>`` or a brace stays text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sellarec_lab.config import PromptConfig
from sellarec_lab.data import Profiles
from sellarec_lab.prompts.prompt import KINDS, Prompt, Row, Segment, Text
from sellarec_lab.prompts.templates import Template, template

_UNSEEN = " \t\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff"  # a title of these alone shows nothing


class CodeWords(NamedTuple):
    """Binary codes as words, by user id and by item id; "" for one that training never saw."""

    users: Sequence[str]
    items: Sequence[str]

    @classmethod
    def of(cls, bits: tuple[ArrayLike, ArrayLike]) -> CodeWords:
        """From bits of users and items, [n + 1, bits] each, -1 for who was never seen: "0110 1011"."""
        return cls(*([_word(row) for row in side] for side in bits))


@dataclass(frozen=True)
class Writer:
    """Turns rows into prompts: the one way, in training and scoring, in notebooks and on the bench.

    Args:
        template: the pieces.
        titles: title by item id, ``titles[0]`` is the empty title of the padding item.
        slots: kinds of soft tokens in the prompt.
        longest: how many of the most recent liked titles are shown.
        disliked: how many of the most recent titles are shown, at most, that were disliked since then.
        codes: words that stand where the user's and the item's soft tokens would (binary codes).

    Raises:
        ValueError: an unknown kind of soft token.
    """

    template: Template
    titles: Sequence[str]
    slots: tuple[str, ...] = ()
    longest: int = 10
    disliked: int = 0
    codes: CodeWords | None = None

    def __post_init__(self):
        unknown = set(self.slots) - set(KINDS)
        if unknown:
            raise ValueError(f"unknown slot kinds {sorted(unknown)}; known kinds: {', '.join(KINDS)}")

    @classmethod
    def of(
        cls, config: PromptConfig, titles: Sequence[str], slots: tuple[str, ...] = (), codes: CodeWords | None = None
    ) -> Writer:
        """As a preset's ``prompt`` says.

        Raises:
            ValueError: an unknown template, or one without a place for one of the soft tokens or for dislikes.
        """
        found, fields = template(config.template), (*slots, *(["disliked"] if config.disliked else []))
        if missing := [kind for kind in fields if not any(f"{{{kind}}}" in piece for piece in found.pieces)]:
            raise ValueError(f"template {config.template!r} has no piece with {{{missing[0]}}}; add one to TEMPLATES")
        return cls(found, titles, slots, config.history, config.disliked, codes)

    def told(self, frame: pd.DataFrame, profiles: Profiles) -> pd.DataFrame:
        """The rows with all that their prompts show: where dislikes are shown, a column ``disliked`` too."""
        return profiles.with_disliked(frame, self.longest) if self.disliked else frame

    def write(self, user_id: int, item_id: int, history: Sequence[int], disliked: Sequence[int] = ()) -> Prompt:
        """The prompt about a user and an item. ``history`` are liked items, oldest first, of which the last ``longest``
        are shown; so with ``disliked`` items. The item itself never is: it would answer the question.

        Raises:
            ValueError: the padding item or an empty title would reach the prompt.
        """
        shown, beside = _last(history, self.longest, item_id), _last(disliked, self.disliked, item_id)
        for item in (*shown, *beside, item_id):
            if item == 0 or not self.titles[item].strip(_UNSEEN):
                raise ValueError(f"item {item} has no title (0 is padding): it must not reach a prompt; check the data")
        fields = self._fields(Row(user_id, item_id, shown, beside))
        segments = tuple(s for piece in self.template.pieces for s in _filled(piece, fields))
        return Prompt(segments, self.template.system, self.template.answers, user_id, item_id)

    def describe(self, item_id: int) -> Prompt:
        """The short prompt whose last hidden state stands for an item (stage 2a)."""
        title = {"title": [Text(self.titles[item_id], "title", item_id)]}
        return Prompt(tuple(_filled(self.template.describe, title)), "", self.template.answers, 0, item_id)

    def _fields(self, row: Row) -> dict[str, list[Segment]]:
        fields: dict[str, list[Segment]] = {
            "history": self._listed("history", row.shown),
            "disliked": self._listed("disliked", row.disliked),
            "title": [Text(self.titles[row.item_id], "title", row.item_id)],
            **{name: list(kind.slots(row)) if name in self.slots else [] for name, kind in KINDS.items()},
        }
        if self.codes is not None:
            words = {"user": self.codes.users[row.user_id], "item": self.codes.items[row.item_id]}
            for name, word in words.items():
                fields[name] += [Text(word, "code")] if word else []
        return fields

    def _listed(self, role: str, items: Sequence[int]) -> list[Segment]:
        return _joined([Text(self.titles[i], role, i) for i in items], self.template.joiner)


class PromptRows(Sequence[Prompt]):
    """The prompts of a frame's rows, each written when it is asked for. The frame has ``user_id, item_id, history``,
    and ``disliked`` where the writer shows such titles."""

    def __init__(self, writer: Writer, frame: pd.DataFrame):
        self.writer = writer
        self._users, self._items = frame["user_id"].to_numpy(), frame["item_id"].to_numpy()
        self._histories = frame["history"].to_numpy()
        self._disliked = frame["disliked"].to_numpy() if writer.disliked else [()] * len(frame)

    def __len__(self) -> int:
        return len(self._users)

    def __getitem__(self, row: int) -> Prompt:
        told = self._histories[row], self._disliked[row]
        return self.writer.write(int(self._users[row]), int(self._items[row]), *told)

    def families(self) -> np.ndarray:
        """A number a row [n], the same where user and history are: such prompts begin alike. What was disliked since
        comes later, and grows from row to row: the first of it is alike too."""
        rows = zip(self._users, self._histories)
        return pd.factorize(pd.Series([(user, _last(history, self.writer.longest)) for user, history in rows]))[0]


def shared_histories(frame: pd.DataFrame, older: int) -> pd.DataFrame:
    """The rows with histories that up to ``older`` likes may be missing from, so that more rows of a user share one.

    Of rows whose histories are equally long up to that, all get the shortest: nobody sees what came later. A column
    ``disliked`` goes with it.
    """
    if not older:
        return frame
    likes = frame["history"].map(len)
    family = [frame["user_id"], likes // (older + 1)]
    first = likes.groupby(family).transform("idxmin")
    told = [column for column in ("history", "disliked") if column in frame]
    return frame.assign(**{column: frame[column].loc[first].to_numpy() for column in told})


def _word(row: ArrayLike) -> str:
    """One row of bits [bits] as text in groups of four; "" for an unseen row."""
    bits = [int(bit) for bit in row]
    if -1 in bits:
        return ""
    digits = "".join(map(str, bits))
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _filled(piece: str, fields: dict[str, list[Segment]]) -> list[Segment]:
    """A piece with its field filled in; nothing, if the field has nothing to show."""
    before, brace, rest = piece.partition("{")
    name, _, after = rest.partition("}")
    inner = fields[name] if brace else []
    if brace and not inner:
        return []
    if inner and isinstance(inner[0], Text) and inner[0].role == "code" and not before.endswith(" "):
        before += " "  # a code is a word
    return [s for s in (Text(before), *inner, Text(after)) if not isinstance(s, Text) or s.text]


def _last(items: Sequence[int], count: int, but: int = 0) -> tuple[int, ...]:
    """The last ``count`` items, without one."""
    return tuple(i for i in items if i != but)[-count:] if count else ()


def _joined(parts: list[Text], joiner: str) -> list[Segment]:
    out: list[Segment] = []
    for part in parts:
        out += [Text(joiner), part] if out else [part]
    return out
