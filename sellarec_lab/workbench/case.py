"""A what-if question as a value: who is asked about what, with which history, in which words, with which soft tokens.

A case knows no widget and no model. `Case.prompt` fills it in for a model, and gives the very prompt that is scored.
Every edit returns a new case that differs in what its name says and in nothing else.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sellarec_lab import prompts, sella
from sellarec_lab.prompts import KINDS, CodeWords, Prompt, Segment, Slot
from sellarec_lab.sella import Explanation

TOLD = ("history", "disliked")  # what a case tells of its user, in lists of titles
FIELDS = (*TOLD, "title", *KINDS)
LINE_BREAK = "↵"  # how a line break inside a piece is written where one line is one piece


@dataclass(frozen=True)
class Case:
    """One question to any number of models.

    Args:
        user_id: who is asked.
        item_id: about what.
        history: what is shown as liked, oldest first: items, or titles as text, which need not exist.
        title: a title that stands in the place of the item's; no such film need exist. No vector belongs to it, so the
            item's soft tokens are left out.
        template: the pieces of the prompt, see `prompts.Template`; None leaves every model its own.
        off: kinds of soft tokens that are switched off; the words around them stay.
        owner: the user whose `<User_ID>` token stands in the prompt; None for the user's own.
        disliked: items shown as disliked, oldest first, to models whose prompts show such.

    Raises:
        ValueError: a value that no prompt can be made of; the message starts with the field's name.
    """

    user_id: int
    item_id: int
    history: tuple[int | str, ...] = ()
    title: str | None = None
    template: tuple[str, ...] | None = None
    off: tuple[str, ...] = ()
    owner: int | None = None
    disliked: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for field, ids in self._ids.items():
            if wrong := [i for i in ids if not isinstance(i, int) or isinstance(i, bool) or i < 1]:
                raise ValueError(f"{field}: {wrong[0]!r} is no id; ids are whole numbers from 1")
        if blank := [i for i in self.history if isinstance(i, str) and not i.strip()]:
            raise ValueError(f"history: {blank[0]!r} is no text; give a title")
        if twice := [i for i in self.history if self.history.count(i) > 1]:
            raise ValueError(f"history: {_named(twice[0])} would be shown twice")
        if both := [i for i in self.disliked if i in self.history]:
            raise ValueError(f"disliked: {_named(both[0])} would be shown as liked too; drop it there, or turn it")
        if where := [name for name in TOLD if self.item_id in getattr(self, name)]:
            answer = f"item {self.item_id} is the target, and would answer the question; choose another target"
            raise ValueError(f"{where[0]}: {answer}")
        if self.title is not None and not (isinstance(self.title, str) and self.title.strip()):
            raise ValueError(f"title: {self.title!r} is no text; give a title, or None for the item's own")
        if self.template is not None:
            check_template(self.template)
        if unknown := [kind for kind in self.off if kind not in KINDS]:
            raise ValueError(f"off: unknown soft tokens {unknown}; known kinds: {', '.join(KINDS)}")

    @property
    def _ids(self) -> dict[str, tuple[int, ...]]:
        owner = () if self.owner is None else (self.owner,)
        shown = tuple(i for i in self.history if not isinstance(i, str))
        told = {"history": shown, "disliked": self.disliked}
        return {"user_id": (self.user_id,), "owner": owner, "item_id": (self.item_id,), **told}

    @property
    def told(self) -> tuple[tuple[int | str, ...], ...]:
        """What is shown as liked, and what as disliked."""
        return self.history, self.disliked

    @property
    def new_titles(self) -> tuple[str, ...]:
        """The titles of the history that are text alone."""
        return tuple(i for i in self.history if isinstance(i, str))

    @property
    def without_vector(self) -> tuple[str, ...]:
        """Kinds of soft tokens that nothing can fill here: a new title has no vector, and means nothing to a taste."""
        return ("item", "warm") * (self.title is not None) + ("taste",) * (not self._ids["history"])

    @classmethod
    def of(cls, model, user_id: int, item_id: int, history: Iterable[int] | None = None) -> Case:
        """The untouched case, whose prompt is ``model.prompt(user_id, item_id, history)``."""
        known = model.profiles.liked.get(user_id, []) if history is None else history
        shown = [int(i) for i in known if i != item_id]
        longest = model.prompt_config.history
        case = cls(int(user_id), int(item_id), tuple(shown[-longest:]) if longest else ())
        case.check(model)
        return case._with_disliked(model, None if history is None else item_id)

    def _with_disliked(self, model, before: int | None) -> Case:
        """With what the model's prompt shows as disliked."""
        shown, longest = model.prompt_config.history, model.prompt_config.disliked
        known = [i for i in model.profiles.disliked(self.user_id, before, shown) if i != self.item_id]
        return dataclasses.replace(self, disliked=tuple(known[-longest:]) if longest else ())

    def dropped(self, entry: int | str) -> Case:
        """Without one title of the history, liked or disliked: an item, or a new title as it is spelled there."""
        return self._put(entry, ())

    def added(self, entry: int | str) -> Case:
        """With one more title, an item's or a new one, as the most recent of the history."""
        return dataclasses.replace(self, history=(*self.history, _spaced(entry)))

    def moved(self, entry: int | str, by: int) -> Case:
        """With one title of the history, liked or disliked, ``by`` places later, or earlier where that is negative.

        Raises:
            ValueError: the title is not in it, or would leave it.
        """
        name, place = self._place(entry)
        rest, to = getattr(self.dropped(entry), name), place + by
        if not 0 <= to <= len(rest):
            where = "earlier than the oldest" if to < 0 else "later than the newest"
            raise ValueError(f"{name}: {_named(entry)} can't stand {where} title")
        return dataclasses.replace(self, **{name: (*rest[:to], entry, *rest[to:])})

    def turned(self, item: int) -> Case:
        """With a liked title shown as disliked, or a disliked one as liked: the most recent of those."""
        rest, to = self.dropped(item), "history" if item in self.disliked else "disliked"
        return dataclasses.replace(rest, **{to: (*getattr(rest, to), item)})

    def replaced(self, entry: int | str, by: int | str) -> Case:
        """With another title in the place of one of the history, liked or disliked."""
        return self._put(entry, (_spaced(by),))

    def _put(self, entry: int | str, instead: tuple[int | str, ...]) -> Case:
        name, place = self._place(entry)
        shown = getattr(self, name)
        return dataclasses.replace(self, **{name: (*shown[:place], *instead, *shown[place + 1 :])})

    def _place(self, entry: int | str) -> tuple[str, int]:
        """In which list a title is shown, and where."""
        for name, shown in zip(TOLD, self.told, strict=True):
            if entry in shown:
                return name, shown.index(entry)
        raise ValueError(f"history: {_named(entry)} is not in it")

    def retargeted(self, item_id: int) -> Case:
        """About another item; if the history shows that item, liked or disliked, it leaves the history."""
        told = {name: tuple(i for i in getattr(self, name) if i != item_id) for name in TOLD}
        return dataclasses.replace(self, item_id=item_id, title=None, **told)

    def retitled(self, title: str | None) -> Case:
        """With a title of your own in the place of the target's; None brings the item back."""
        return dataclasses.replace(self, title=title if title is None else _spaced(title))

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
        for field in ("item_id", "history", "disliked"):
            if wrong := [i for i in self._ids[field] if i > last]:
                raise ValueError(f"{field}: item {wrong[0]} is not in the catalogue; ids run from 1 to {last}")

    def prompt(self, model) -> Prompt:
        """The prompt that ``model`` embeds: the case's words, and of the recipe's soft tokens those left on.

        A free title stands where the item's stood, as text, whatever it spells; the prompt's ``item_id`` is then 0.
        The new titles of the history are told apart by ids below 0, in their order: -1, -2, ...

        Raises:
            ValueError: the model doesn't know the user or an item.
        """
        self.check(model)
        writer, titles = model.writer, model.profiles.titles
        free, owner = self.title is not None, self.user_id if self.owner is None else self.owner
        known, new = len(titles), self.new_titles
        if free or new:
            titles = [*titles, *new, *([self.title] if free else [])]
        item = known + len(new) if free else self.item_id
        history = [known + new.index(i) if isinstance(i, str) else i for i in self.history]
        changes = {"titles": titles, "longest": len(history)}
        changes["disliked"] = len(self.disliked) if writer.disliked else 0
        if self.template is not None:
            changes["template"] = dataclasses.replace(writer.template, pieces=self.template)
        if writer.codes is not None:
            item_code = "" if free else writer.codes.items[item]
            changes["codes"] = CodeWords({self.user_id: writer.codes.users[owner]}, {item: item_code})
        changes["slots"] = tuple(kind for kind in writer.slots if kind not in self.without_vector)
        built = dataclasses.replace(writer, **changes).write(self.user_id, item, history, self.disliked)
        for kind in self.off:
            built = prompts.without_slot(built, kind)
        segments = tuple(_settled(s, owner, known, item) for s in built.segments)
        return dataclasses.replace(built, segments=segments, item_id=0 if free else item)

    def explain(self, model) -> Explanation:
        """The model's answer, and what each soft token and each title was worth to it; see `sella.explain`."""

        def drop(item: int) -> Prompt:
            return self.dropped(self.new_titles[-1 - item] if item < 0 else item).prompt(model)

        return sella.explain(model, self.prompt(model), drop)


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
    for name in ("history", "disliked", "off", "template"):
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


def _settled(segment: Segment, owner: int, known: int, target: int) -> Segment:
    """The user's token of the owner; titles from the id ``known`` on belong to no item, the target's to none at all."""
    if isinstance(segment, Slot):
        kept = segment._replace(items=tuple(i for i in segment.items if i < known))
        return kept._replace(id=owner) if segment.kind == "user" else kept
    if segment.item_id < known:
        return segment
    return segment._replace(item_id=0 if segment.item_id == target else known - 1 - segment.item_id)


def _named(entry: int | str) -> str:
    return f"the title {entry!r}" if isinstance(entry, str) else f"item {entry}"


def _spaced(entry: int | str) -> int | str:
    """A title with single spaces; an item as it is."""
    return " ".join(entry.split()) if isinstance(entry, str) else entry
