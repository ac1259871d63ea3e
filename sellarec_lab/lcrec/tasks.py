"""The alignment tasks of LC-Rec (arXiv 2311.09049, section III-C): templates as data, and the mixture they make.

A template is a text with fields and what should follow it. A field of items is filled with their indices
(``{history}``, ``{index}``) or with their titles (``{titles}``, ``{title}``); which index follows can be asked in the
middle of a history, so a *sequence* template ends with it: then one pass over a whole sequence learns from every prefix
of it, and each is the very prompt that is asked later. (The paper has a prompt for every prefix; in a causal model the
two give the same losses, and one pass takes a tenth of the time.)

Texts are this project's own. Intentions and preferences are made by rule from the items' attributes (`Catalogue`);
where the data has reviews, half of the intentions are what somebody wrote of the item. The paper had a large language
model write both from reviews.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sellarec_lab import llm
from sellarec_lab.config import TASKS
from sellarec_lab.lcrec.catalogue import Catalogue
from sellarec_lab.prompts import Prompt, Text
from sellarec_lab.training import Batches

_FIELD = re.compile(r"\{(\w+)\}")


class Example(NamedTuple):
    """What is asked, and the text that should follow."""

    prompt: Prompt
    target: tuple[Text, ...]


TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "sequence": tuple((text, "{next}") for text in (
        "Chosen one after the other: {history}",
        "A customer's history, oldest first: {history}",
        "What somebody took, and what comes next: {history}",
        "Go on with this history: {history}",
        "In order of time, this person chose {history}",
    )),
    "index": (
        ("Which item is called {title}? It is ", "{index}"),
        ("Title: {title}. Index: ", "{index}"),
        ("About an item: {description} Its index: ", "{index}"),
        ("{title}. {description} Index: ", "{index}"),
        ("What is {index} called?", " {title}"),
        ("The title of {index} is", " {title}"),
        ("Describe {index}:", " {description}"),
        ("What is {index} like?", " {attributes}"),
    ),
    "fusion": (
        ("Chosen one after the other: {history}. Title of what comes next:", " {next_title}"),
        ("After {history} somebody took the item called", " {next_title}"),
        ("Titles chosen one after the other: {titles}. Index of what comes next: ", "{next}"),
        ("After {titles} comes ", "{next}"),
    ),
    "search": (
        ("Wanted: {intention}. Found: ", "{index}"),
        ("Somebody looks for this: {intention}. An item that fits: ", "{index}"),
        ("A customer with the history {history} wants {next_intention}. They take ", "{next}"),
    ),
    "preference": (
        ("What does somebody like who chose {history}? They like", " {preference}"),
        ("The history {history} speaks of a taste for", " {preference}"),
    ),
}  # fmt: skip
BARE = {"sequence": (("{history}", "{next}"),)}  # without language: the history alone
_OF_ITEMS = ("index", "search")  # tasks with an example an item; the others have one a sequence


def fill(template: str, fields: dict[str, str | Sequence[Text]]) -> tuple[Text, ...]:
    """A template's text with its fields filled in: segments of a prompt."""
    parts: list[Text] = []
    for place, part in enumerate(_FIELD.split(template)):
        value = fields[part] if place % 2 else part
        parts += [Text(value, "words" if place % 2 else "frame")] if isinstance(value, str) else value
    return tuple(part for part in parts if part.text)


class Speaker:
    """Fills templates with what a catalogue says of items and histories; ``templates`` by default all of them."""

    def __init__(self, catalogue: Catalogue, longest: int, templates: Mapping[str, Sequence] | None = None):
        self.catalogue, self.longest, self.templates = catalogue, longest, templates or TEMPLATES

    def ask(
        self, template: str, history: Sequence[int] = (), item: int = 0, following: int = 0, **words: str
    ) -> Prompt:
        """A prompt about a history (its last ``longest`` items), an item, and what follows."""
        shown = list(history)[-self.longest :]
        return Prompt(fill(template, self._fields(shown, item, following) | words), "", ("", ""), 0, item or following)

    def answer(self, template: str, history: Sequence[int] = (), item: int = 0, following: int = 0) -> tuple[Text, ...]:
        """What should follow."""
        return fill(template, self._fields(list(history)[-self.longest :], item, following))

    def indices(self, items: Sequence[int]) -> tuple[Text, ...]:
        """The indices of items, one after the other."""
        return tuple(Text(self.catalogue.words[i], "token", i) for i in items)

    def silent(self, item: int) -> set[str]:
        """Fields that have nothing to say of an item."""
        told = {"description": self.catalogue.descriptions[item], "attributes": self.catalogue.attributes[item]}
        return {field for field, text in told.items() if not text}

    def next_item(self, history: Sequence[int], number: int = 0) -> Prompt:
        """The prompt that asks what comes after a history, by the sequence template of this number."""
        return self.ask(self.templates["sequence"][number][0], history)

    def find(self, words: str) -> Prompt:
        """The prompt that asks for an item by an intention in words."""
        return self.ask(self.templates["search"][0][0], intention=words)

    def _fields(self, history: list[int], item: int, following: int) -> dict[str, str | Sequence[Text]]:
        known = self.catalogue
        return {
            "history": self.indices(history),
            "titles": _listed([Text(known.titles[i], "history", i) for i in history]),
            "index": self.indices([item]),
            "title": [Text(known.titles[item], "title", item)],
            "description": known.descriptions[item],
            "attributes": ", ".join(known.attributes[item]).lower(),
            "intention": known.intention(item),
            "next": self.indices([following]),
            "next_title": [Text(known.titles[following], "title", following)],
            "next_intention": known.intention(following),
            "preference": known.preference(history),
        }


def _listed(parts: list[Text]) -> list[Text]:
    return [piece for place, part in enumerate(parts) for piece in ((Text("; "), part) if place else (part,))]


class Mixture:
    """All examples of some tasks, drawn anew each epoch: every sequence or item once a task, by a template at random.

    Args:
        speaker: fills the templates.
        sequences: item ids of every user in train, oldest first.
        tasks: which of `TASKS` are in the mixture.
        seed: of the draws, which depend on it and the epoch alone.
    """

    def __init__(self, speaker: Speaker, sequences: Sequence[Sequence[int]], tasks: Sequence[str], seed: int):
        self.speaker, self.tasks, self.seed = speaker, [t for t in TASKS if t in tasks], seed
        self.sequences = [list(s) for s in sequences if len(s) > 1]
        self.windows = [w for s in self.sequences for w in windows(s, speaker.longest)]

    def examples(self, epoch: int) -> list[Example]:
        """The epoch's examples, task by task; as many in every epoch."""
        rng = np.random.default_rng([self.seed, epoch])
        return [example for task in self.tasks for example in self._of(task, rng)]

    def batches(
        self, encoder: llm.Encoder, batch_size: int, seed: int, rows: int | None = None, grouped: bool = False
    ) -> Callable[[int], Batches]:
        """epoch -> its batches, as `llm.Examples` gives them."""

        def batches(epoch: int) -> Batches:
            prompts, targets = zip(*self.examples(epoch), strict=True)
            return llm.Examples(prompts, targets=targets).batches(encoder, batch_size, seed, rows)(epoch)

        return batches

    def _of(self, task: str, rng: np.random.Generator) -> list[Example]:
        known = self.speaker.catalogue
        if task == "sequence":
            return [self._whole(window, rng) for window in self.windows]
        if task in _OF_ITEMS:
            return [self._item(task, item, rng) for item in known.items]
        telling = [s for s in self.sequences if task != "preference" or known.attributes[s[0]]]
        return [self._cut(_drawn(self.speaker.templates[task], rng), sequence, rng) for sequence in telling]

    def _whole(self, window: list[int], rng: np.random.Generator) -> Example:
        """A sequence template with nothing in its history yet, and the whole window to follow."""
        template, _ = _drawn(self.speaker.templates["sequence"], rng)
        return Example(self.speaker.ask(template), self.speaker.indices(window))

    def _item(self, task: str, item: int, rng: np.random.Generator) -> Example:
        """A template that has something to say of the item; one with a history is about a sequence drawn at random."""
        silent = self.speaker.silent(item)
        drawn = _drawn([t for t in self.speaker.templates[task] if not silent & set(_FIELD.findall("".join(t)))], rng)
        if "{history}" in drawn[0]:
            return self._cut(drawn, self.sequences[rng.integers(len(self.sequences))], rng)
        written = self.speaker.catalogue.reviews.get(item)
        words = {"intention": written[rng.integers(len(written))]} if written and rng.random() < 0.5 else {}
        return Example(self.speaker.ask(drawn[0], item=item, **words), self.speaker.answer(drawn[1], item=item))

    def _cut(self, drawn: tuple[str, str], sequence: list[int], rng: np.random.Generator) -> Example:
        """A sequence cut at random: what lies before, and what follows."""
        at = int(rng.integers(1, len(sequence)))
        about = {"history": sequence[:at], "following": sequence[at]}
        return Example(self.speaker.ask(drawn[0], **about), self.speaker.answer(drawn[1], **about))


def windows(sequence: Sequence[int], longest: int) -> list[list[int]]:
    """A sequence in pieces of at most ``longest`` + 1 items, each starting in the middle of the one before."""
    if len(sequence) <= longest + 1:
        return [list(sequence)]
    step = max(1, longest // 2)
    starts = range(0, len(sequence) - longest - 1 + step, step)
    return [list(sequence[s : s + longest + 1]) for s in starts]


def _drawn(templates: Sequence[tuple[str, str]], rng: np.random.Generator) -> tuple[str, str]:
    return templates[rng.integers(len(templates))]
