"""A prompt as a value: text and typed slots. The object shown on screen is the very one that the model embeds."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

PROMPT_TOKENS = 8  # how many learned tokens stand in the place of {prompt}


class Text(NamedTuple):
    """A stretch of text. ``role`` is "frame", "history", "disliked", "title", "code" or "token" (words that a system
    has added to the vocabulary: they alone may spell such a word); ``item_id`` names the item of a title."""

    text: str
    role: str = "frame"
    item_id: int = 0


class Slot(NamedTuple):
    """A position filled by a soft token: ``kind`` (one of `KINDS`) and the id whose vector it holds; a taste token
    holds the ``items`` whose vectors it averages."""

    kind: str
    id: int
    items: tuple[int, ...] = ()


Segment = Text | Slot


class Row(NamedTuple):
    """What a prompt speaks about: user, item, and the liked and the disliked items that it shows, oldest first."""

    user_id: int
    item_id: int
    shown: tuple[int, ...]
    disliked: tuple[int, ...] = ()


class Kind(NamedTuple):
    """A kind of soft token: how readers see it, and the slots that it has in a prompt about a row (none, if there is
    nothing to say)."""

    shown: str
    colour: str
    slots: Callable[[Row], tuple[Slot, ...]]


KINDS: dict[str, Kind] = {
    "user": Kind("<User_ID>", "#0072B2", lambda row: (Slot("user", row.user_id),)),
    "item": Kind("<Item_ID>", "#D55E00", lambda row: (Slot("item", row.item_id),)),
    "warm": Kind("<Warm_ID>", "#009E73", lambda row: (Slot("warm", row.item_id),)),
    # beyond the paper: the mean of what the history's items mean, so that new users have one
    "taste": Kind("<Taste_ID>", "#CC79A7", lambda row: (Slot("taste", row.user_id, row.shown),) * bool(row.shown)),
    # a learned token that knows neither user nor item (prompt tuning)
    "prompt": Kind("<Prompt>", "#8A6D00", lambda row: tuple(Slot("prompt", i) for i in range(1, PROMPT_TOKENS + 1))),
}


@dataclass(frozen=True)
class Prompt:
    """One question to the model: segments in order, with the ids it speaks about.

    ``history`` are the items shown, oldest first. Editing returns a new prompt and leaves the old one alone.
    """

    segments: tuple[Segment, ...]
    system: str
    answers: tuple[str, str]
    user_id: int
    item_id: int

    @property
    def text(self) -> str:
        """The user's turn as a reader sees it, slots by name."""
        return "".join(s.text if isinstance(s, Text) else KINDS[s.kind].shown for s in self.segments)

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(s for s in self.segments if isinstance(s, Slot))

    def _repr_html_(self) -> str:
        parts = [f"<i>{html.escape(self.system)}</i><br>"] if self.system else []
        for s in self.segments:
            if isinstance(s, Slot):
                parts.append(f"<b style='color:{KINDS[s.kind].colour}'>{html.escape(KINDS[s.kind].shown)}</b>")
            else:
                shown = html.escape(s.text).replace("\n", "<br>")
                parts.append(f"<u>{shown}</u>" if s.role == "title" else shown)
        return f"<div style='font-family:monospace'>{''.join(parts)}</div>"


def without_slot(prompt: Prompt, kind: str) -> Prompt:
    """The prompt with one kind of soft token taken out (its words stay)."""
    return dataclasses.replace(
        prompt, segments=tuple(s for s in prompt.segments if not (isinstance(s, Slot) and s.kind == kind))
    )
