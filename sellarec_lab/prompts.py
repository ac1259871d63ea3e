"""The prompt: text and typed slots. The object shown on screen is the very one that the model embeds.

A template is data: pieces in order, each with at most one field. A piece whose field has nothing to show (no history,
a slot that the recipe does not use) is left out. Titles are filled in after the template was taken apart, so a title
that contains ``<Item_ID>`` or a brace stays text.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

SHOWN = {
    "user": "<User_ID>",
    "item": "<Item_ID>",
    "warm": "<Warm_ID>",
    "taste": "<Taste_ID>",  # beyond the paper: the mean of what the history's items mean, so that new users have one
    "prompt": "<Prompt>",  # a learned token that knows neither user nor item (prompt tuning)
}
KINDS = tuple(SHOWN)
COLOURS = {"user": "#0072B2", "item": "#D55E00", "warm": "#009E73", "taste": "#CC79A7", "prompt": "#8A6D00"}
PROMPT_TOKENS = 8  # how many learned tokens stand in the place of {prompt}


class Text(NamedTuple):
    """A stretch of text. ``role`` is "frame", "history", "title" or "code"; ``item_id`` names the item of a title."""

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


@dataclass(frozen=True)
class Template:
    """Pieces of the user's turn with the fields {history}, {user}, {title}, {item}, {warm}; and the two answers."""

    pieces: tuple[str, ...]
    system: str = ""
    answers: tuple[str, str] = ("Yes", "No")  # first the answer that means "like"
    joiner: str = ", "
    describe: str = "Offer: {title}"  # the text whose last hidden state stands for an item (stage 2a)


TEMPLATES = {
    "tiny": Template(  # the mini-LLM's words carry their leading space, so no space stands before a slot
        (
            "{prompt}",
            "Favourites: {history}. ",
            "Taste:{user}. ",
            "History:{taste}. ",
            "Offer: {title}",
            "{item}",
            "{warm}",
            "?",
        ),
        describe="Marks of {title}:",
    ),
    "paper": Template(
        (
            "{prompt}",
            "Favourites: {history}\n",
            "Feature of the user: {user}\n",
            "Feature of the favourites: {taste}\n",
            "Feature of the candidate: {item}",
            "{warm}",
            "\nCandidate: {title}",
        ),
        system=(
            "You judge what a person will enjoy. You are given titles that the person rated highly, features of the "
            "person and of a candidate where they are known, and the candidate's title. Will the person enjoy the "
            "candidate? Answer with one word, Yes or No."
        ),
        joiner="; ",
        describe="Movie: {title}",
    ),
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
        return "".join(s.text if isinstance(s, Text) else SHOWN[s.kind] for s in self.segments)

    @property
    def slots(self) -> tuple[Slot, ...]:
        return tuple(s for s in self.segments if isinstance(s, Slot))

    def _repr_html_(self) -> str:
        parts = [f"<i>{html.escape(self.system)}</i><br>"] if self.system else []
        for s in self.segments:
            if isinstance(s, Slot):
                parts.append(f"<b style='color:{COLOURS[s.kind]}'>{html.escape(SHOWN[s.kind])}</b>")
            else:
                shown = html.escape(s.text).replace("\n", "<br>")
                parts.append(f"<u>{shown}</u>" if s.role == "title" else shown)
        return f"<div style='font-family:monospace'>{''.join(parts)}</div>"


def build(
    template: Template,
    titles: Sequence[str],
    user_id: int,
    item_id: int,
    history: Sequence[int],
    slots: Sequence[str] = (),
    longest: int = 10,
    codes: tuple[str, str] = ("", ""),
) -> Prompt:
    """Fill a template.

    Args:
        template: the pieces.
        titles: title by item id, ``titles[0]`` is the empty title of the padding item.
        user_id, item_id: who is asked about what; ``item_id`` must not be 0.
        history: liked items, oldest first; the last ``longest`` are shown.
        slots: kinds of soft tokens that this recipe uses.
        codes: words that stand where the user's and the item's soft tokens would (binary codes); "" for none.

    Raises:
        ValueError: the padding item or an empty title would reach the prompt; an unknown slot kind.
    """
    unknown = set(slots) - set(KINDS)
    if unknown:
        raise ValueError(f"unknown slot kinds {sorted(unknown)}; known kinds: {', '.join(KINDS)}")
    shown = tuple(history)[-longest:] if longest else ()
    for item in (*shown, item_id):
        if item == 0 or not titles[item]:
            raise ValueError(f"item {item} has no title (0 is padding): it must not reach a prompt; check the data")
    ids = {"user": user_id, "item": item_id, "warm": item_id}
    fields: dict[str, list[Segment]] = {
        "history": _joined([Text(titles[i], "history", i) for i in shown], template.joiner),
        "title": [Text(titles[item_id], "title", item_id)],
        **{kind: [Slot(kind, ids[kind])] if kind in slots else [] for kind in ids},
        "taste": [Slot("taste", user_id, shown)] if "taste" in slots and shown else [],
        "prompt": [Slot("prompt", i) for i in range(1, PROMPT_TOKENS + 1)] if "prompt" in slots else [],
    }
    for kind, code in zip(("user", "item"), codes):
        if code:
            fields[kind].append(Text(code, "code"))
    segments: list[Segment] = []
    for piece in template.pieces:
        before, brace, rest = piece.partition("{")
        name, _, after = rest.partition("}")
        if brace and not fields[name]:
            continue
        inner = fields[name] if brace else []
        if inner and isinstance(inner[0], Text) and inner[0].role == "code" and not before.endswith(" "):
            before += " "  # a code is a word
        segments += [Text(before), *inner, Text(after)]
    kept = tuple(s for s in segments if not isinstance(s, Text) or s.text)
    return Prompt(kept, template.system, template.answers, user_id, item_id)


def _joined(parts: list[Text], joiner: str) -> list[Segment]:
    out: list[Segment] = []
    for part in parts:
        out += [Text(joiner), part] if out else [part]
    return out


def without_slot(prompt: Prompt, kind: str) -> Prompt:
    """The prompt with one kind of soft token taken out (its words stay)."""
    return dataclasses.replace(
        prompt, segments=tuple(s for s in prompt.segments if not (isinstance(s, Slot) and s.kind == kind))
    )
