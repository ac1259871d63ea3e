"""A what-if question as a value: who is asked about what, with which history, in which words, with which soft tokens.

A case knows no widget and no model. `Case.prompt` fills it in for a model, and gives the very prompt that is scored.
Every edit returns a new case that differs in what its name says and in nothing else.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sellarec_lab import prompts, sella
from sellarec_lab.prompts import KINDS, CodeWords, Prompt, Segment, Slot, Text
from sellarec_lab.sella import Explanation

FIELDS = ("history", "title", *KINDS)
LINE_BREAK = "↵"  # how a line break inside a piece is written where one line is one piece


@dataclass(frozen=True)
class Case:
    """One question to any number of models.

    Args:
        user_id: who is asked.
        item_id: about what.
        history: the items shown as liked, oldest first.
        title: a title that stands in the place of the item's; no such film need exist. No vector belongs to it, so the
            item's soft tokens are left out.
        template: the pieces of the prompt, see `prompts.Template`; None leaves every model its own.
        off: kinds of soft tokens that are switched off; the words around them stay.
        owner: the user whose `<User_ID>` token stands in the prompt; None for the user's own.

    Raises:
        ValueError: a value that no prompt can be made of; the message starts with the field's name.
    """

    user_id: int
    item_id: int
    history: tuple[int, ...] = ()
    title: str | None = None
    template: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()
    owner: int | None = None

    def __post_init__(self) -> None:
        for field, ids in self._ids.items():
            if wrong := [i for i in ids if not isinstance(i, int) or isinstance(i, bool) or i < 1]:
                raise ValueError(f"{field}: {wrong[0]!r} is no id; ids are whole numbers from 1")
        if twice := sorted({i for i in self.history if self.history.count(i) > 1}):
            raise ValueError(f"history: item {twice[0]} would be shown twice")
        if (i := self.item_id) in self.history:
            raise ValueError(f"history: item {i} is the target, and would answer the question; choose another target")
        if self.title is not None and not (isinstance(self.title, str) and self.title.strip()):
            raise ValueError(f"title: {self.title!r} is no text; give a title, or None for the item's own")
        if self.template is not None:
            check_template(self.template)
        if unknown := [kind for kind in self.off if kind not in KINDS]:
            raise ValueError(f"off: unknown soft tokens {unknown}; known kinds: {', '.join(KINDS)}")

    @property
    def _ids(self) -> dict[str, tuple[int, ...]]:
        owner = () if self.owner is None else (self.owner,)
        return {"user_id": (self.user_id,), "owner": owner, "item_id": (self.item_id,), "history": self.history}

    @classmethod
    def of(cls, model, user_id: int, item_id: int, history: Iterable[int] | None = None) -> Case:
        """The untouched case, whose prompt is ``model.prompt(user_id, item_id, history)``."""
        known = model.profiles.liked.get(user_id, []) if history is None else history
        shown = [int(i) for i in known if i != item_id]
        longest = model.prompt_config.history
        case = cls(int(user_id), int(item_id), tuple(shown[-longest:]) if longest else ())
        case.check(model)
        return case

    def dropped(self, item_id: int) -> Case:
        """Without one title of the history."""
        if item_id not in self.history:
            raise ValueError(f"history: item {item_id} is not in it, so it can't be dropped")
        return dataclasses.replace(self, history=tuple(i for i in self.history if i != item_id))

    def added(self, item_id: int) -> Case:
        """With one more title, as the most recent of the history."""
        return dataclasses.replace(self, history=(*self.history, item_id))

    def retargeted(self, item_id: int) -> Case:
        """About another item; if the history shows that item, it leaves the history."""
        history = tuple(i for i in self.history if i != item_id)
        return dataclasses.replace(self, item_id=item_id, title=None, history=history)

    def retitled(self, title: str | None) -> Case:
        """With a title of your own in the place of the target's; None brings the item back."""
        return dataclasses.replace(self, title=title if title is None else " ".join(title.split()))

    def rephrased(self, pieces: Iterable[str] | None) -> Case:
        """In other words; None brings each model's own template back."""
        return dataclasses.replace(self, template=pieces if pieces is None else tuple(pieces))

    def switched(self, kind: str, on: bool) -> Case:
        """With a kind of soft token switched on or off."""
        kinds = {*self.off, kind} if not on else set(self.off) - {kind}
        return dataclasses.replace(self, off=(*(k for k in KINDS if k in kinds), *sorted(kinds - set(KINDS))))

    def owned(self, user_id: int | None) -> Case:
        """With another user's `<User_ID>` token; None, or the user, brings the own one back."""
        return dataclasses.replace(self, owner=None if user_id == self.user_id else user_id)

    def check(self, model) -> None:
        """ValueError that names the field whose user or item the model doesn't know."""
        users, last = model.profiles.seen, len(model.profiles.titles) - 1
        for field in ("user_id", "owner"):
            if wrong := [i for i in self._ids[field] if i not in users]:
                known = f"known ids run from {min(users)} to {max(users)}"
                raise ValueError(f"{field}: user {wrong[0]} is not in the data; {known}")
        for field in ("item_id", "history"):
            if wrong := [i for i in self._ids[field] if i > last]:
                raise ValueError(f"{field}: item {wrong[0]} is not in the catalogue; ids run from 1 to {last}")

    def prompt(self, model) -> Prompt:
        """The prompt that ``model`` embeds: the case's words, and of the recipe's soft tokens those left on.

        A free title stands where the item's stood, as text, whatever it spells; the prompt's ``item_id`` is then 0.

        Raises:
            ValueError: the model doesn't know the user or an item.
        """
        self.check(model)
        writer, titles = model.writer, model.profiles.titles
        free, owner = self.title is not None, self.user_id if self.owner is None else self.owner
        titles, item = ([*titles, self.title], len(titles)) if free else (titles, self.item_id)
        changes = {"titles": titles, "longest": len(self.history)}
        if self.template is not None:
            changes["template"] = dataclasses.replace(writer.template, pieces=self.template)
        if writer.codes is not None:
            item_code = "" if free else writer.codes.items[item]
            changes["codes"] = CodeWords({self.user_id: writer.codes.users[owner]}, {item: item_code})
        if free:
            changes["slots"] = tuple(kind for kind in writer.slots if kind not in ("item", "warm"))
        built = dataclasses.replace(writer, **changes).write(self.user_id, item, self.history)
        for kind in self.off:
            built = prompts.without_slot(built, kind)
        segments = tuple(_settled(s, owner, item if free else None) for s in built.segments)
        return dataclasses.replace(built, segments=segments, item_id=0 if free else item)

    def explain(self, model) -> Explanation:
        """The model's answer, and what each soft token and each title was worth to it; see `sella.explain`."""
        return sella.explain(model, self.prompt(model), lambda item: self.dropped(item).prompt(model))


def from_json(raw: Mapping[str, Any]) -> Case:
    """The case whose fields a json file holds.

    Raises:
        ValueError: a field is unknown, missing or holds what it can't hold; the message starts with its name.
    """
    known = {f.name: f for f in dataclasses.fields(Case)}
    if unknown := sorted(set(raw) - set(known)):
        raise ValueError(f"{unknown[0]}: unknown field of a case; known fields: {', '.join(known)}")
    if missing := [n for n, f in known.items() if f.default is dataclasses.MISSING and n not in raw]:
        raise ValueError(f"{missing[0]}: missing; a case needs it")
    for name in ("history", "off", "template"):
        if not isinstance(raw.get(name, []), list) and not (name == "template" and raw[name] is None):
            raise ValueError(f"{name}: expected a list, found {type(raw[name]).__name__}")
    return Case(**{name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()})


def template_text(pieces: Iterable[str]) -> str:
    """A template as a text to edit: one piece a line, line breaks inside a piece as ↵."""
    return "\n".join(piece.replace("\n", LINE_BREAK) for piece in pieces)


def template_pieces(text: str) -> tuple[str, ...]:
    """The pieces that `template_text` shows; empty lines are none."""
    return tuple(line.replace(LINE_BREAK, "\n") for line in text.splitlines() if line)


def check_template(pieces: Iterable[str]) -> None:
    """ValueError that names the piece which can't be filled in, or says that no piece holds {title}."""
    named = []
    for number, piece in enumerate(pieces, start=1):
        if not isinstance(piece, str):
            raise ValueError(f"template: piece {number} is {piece!r}; expected text")
        fields = re.findall(r"{([^{}]*)}", piece)
        if unknown := [name for name in fields if name not in FIELDS]:
            known = " ".join(f"{{{name}}}" for name in FIELDS)
            raise ValueError(f"template: piece {number} holds the unknown field {{{unknown[0]}}}; known: {known}")
        if len(fields) > 1:
            raise ValueError(f"template: piece {number} holds {len(fields)} fields; write one field a line")
        if set(re.sub(r"{[^{}]*}", "", piece)) & set("{}"):
            raise ValueError(f"template: piece {number} holds a brace that opens or closes no field: {piece!r}")
        named += fields
    if "title" not in named:
        raise ValueError("template: no piece holds {title}, so nothing would be asked about; add a line with {title}")


def _settled(segment: Segment, owner: int, free: int | None) -> Segment:
    """The user's token of the owner; a free title belongs to no item."""
    if isinstance(segment, Slot) and segment.kind == "user":
        return segment._replace(id=owner)
    if isinstance(segment, Text) and free is not None and segment.item_id == free:
        return segment._replace(item_id=0)
    return segment


class Ranked(NamedTuple):
    """A place in the ranking of the catalogue; ``seen`` says that the user has rated the item."""

    item_id: int
    score: float
    seen: bool


def ranking(model, case: Case) -> list[Ranked]:
    """Every item of the catalogue in the target's place, best first; what the prompts share runs once.

    A free title plays no part: the catalogue takes its place.
    """
    items = range(1, len(model.profiles.titles))
    many = [case.retargeted(i).prompt(model) for i in items]  # an item of the history leaves it when it is asked about
    scores = dict(zip(items, model.score_prompts(many, shared=True).tolist()))
    seen = set(model.profiles.seen[case.user_id])
    return [Ranked(i, scores[i], i in seen) for i in sorted(items, key=lambda i: (-scores[i], i))]
