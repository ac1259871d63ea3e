"""From `Prompt` to tensors: token ids, positions of soft tokens, answer tokens found in context."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
import torch

from sellarec_lab.prompts import KINDS, Prompt, Slot, Text

Target = str | Sequence[Text]  # what should follow a prompt
_MARK = "\ue000"  # private-use character that stands for a soft token while a chat template is rendered


class Encoded(NamedTuple):
    """One prompt as tokens. ``slots`` are (position, `Slot`); ``spans`` are (first, last + 1) token positions of each
    of the prompt's segments, in their order; the last ``target`` tokens are an answer that follows the prompt."""

    ids: list[int]
    slots: list[tuple[int, Slot]]
    spans: Sequence[tuple[int, int]] = ()
    target: int = 0


class _Cut(NamedTuple):
    """A prompt cut at its soft tokens: text runs, (run, first, last + 1 character) of each segment, the slots."""

    runs: list[str]
    pieces: list[tuple[int, int, int]]
    slots: list[Slot]


class Slots(NamedTuple):
    """All soft tokens of one kind in a batch: ``row``, ``column`` and ``id`` [S], and ``bag`` [S, H], the items that a
    token averages (0 where there are fewer)."""

    row: torch.Tensor
    column: torch.Tensor
    id: torch.Tensor
    bag: torch.Tensor


@dataclass(frozen=True)
class Batch:
    """N prompts in B sequences, padded on the right to the longest among them; each its own, or as branches.

    ``ids`` [B, L], ``mask`` [B, L], or of branches what each position sees [B, L, L]; ``row`` [N], the sequence of each
    prompt, ``last`` [N] (position that predicts the answer, or the target's first token), ``end`` [N] (the prompt's
    last token), ``labels`` [N] float, ``group`` [N] (whose row it is), ``slots`` by kind; of branches ``positions``
    [B, L].
    """

    ids: torch.Tensor
    mask: torch.Tensor
    row: torch.Tensor
    last: torch.Tensor
    end: torch.Tensor
    labels: torch.Tensor
    group: torch.Tensor
    slots: dict[str, Slots] = field(default_factory=dict)
    positions: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        moved = {name: value.to(device) for name, value in self.__dict__.items() if torch.is_tensor(value)}
        slots = {kind: Slots(*(part.to(device) for part in slots)) for kind, slots in self.slots.items()}
        return replace(self, **moved, slots=slots)

    def read(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Positions of each sequence that predict something, ``last`` and what follows it before ``end``, [B, Q], and
        which of them count, bool [B, Q]."""
        many = torch.bincount(self.row, minlength=len(self.ids))  # prompts of each sequence
        order = self.row.argsort(stable=True)
        nth = torch.empty_like(order).scatter(0, order, torch.arange(len(order), device=order.device))
        nth = nth - (many.cumsum(0) - many)[self.row]  # of the prompt in its sequence
        steps = torch.arange(int((self.end - self.last).max().clamp(min=1)), device=order.device)
        asked = self.last[:, None] + steps  # [N, S]
        places = asked.new_zeros(len(many), int(many.max()), len(steps))
        counts = torch.zeros_like(places, dtype=torch.bool)
        places[self.row, nth] = asked.clamp(max=self.ids.shape[1] - 1)
        counts[self.row, nth] = (steps == 0) | (asked < self.end[:, None])
        return places.flatten(1), counts.flatten(1)


class Encoder:
    """Turns prompts into tokens for one tokenizer and one template kind ("plain" or "chat")."""

    def __init__(self, tokenizer, template: str):
        self.tokenizer, self.template = tokenizer, template
        self.pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self._frames: dict[str, tuple[str, str]] = {}
        declared = {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
        self._specials = sorted(declared, key=len, reverse=True)
        self._starts = {special[0] for special in self._specials}
        self._longest = len(self._specials[0]) - 1 if self._specials else 0

    def _frame(self, prompt: Prompt) -> tuple[str, str]:
        """What stands before and after the user's turn; rendered once for a system text."""
        if prompt.system not in self._frames:
            self._frames[prompt.system] = self._rendered(prompt.system)
        return self._frames[prompt.system]

    def _rendered(self, system: str) -> tuple[str, str]:
        if self.template == "plain":
            start = self.tokenizer.bos_token or ""
            return start + (f"{system}\n" if system else ""), ""
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": _MARK})
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        before, _, after = text.partition(_MARK)
        return before, after

    def _harmless(self, text: str) -> str:
        """Content that spells a special token, or one that a system has added, is broken up: a title stays text."""
        for special in self._specials:
            if special in text:
                text = text.replace(special, special[0] + "\u200b" + special[1:])
        return text

    def _seam(self, before: str, text: str) -> str:
        """The text as it may follow what stands before it: two stretches must not spell a special token together."""
        tail = before[-self._longest :] if self._longest else ""
        if not self._starts.isdisjoint(tail):
            for special in self._specials:
                most = len(special) - 1
                if most and special in tail[-most:] + text[:most]:
                    return "\u200b" + text
        return text

    def _plain(self, target: Target) -> str:
        """Segments as one text in which only tokens may spell tokens; a string is taken as it is."""
        if isinstance(target, str):
            return target
        return "".join(s.text if s.role == "token" else self._harmless(s.text) for s in target)

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def encode(self, prompt: Prompt) -> Encoded:
        """One prompt, with the token span of every segment."""
        return self.encode_many([prompt], spans=True)[0]

    def encode_many(
        self, prompts: Sequence[Prompt], spans: bool = False, targets: Sequence[Target] | None = None
    ) -> list[Encoded]:
        """Many prompts with one call of the tokenizer; with ``targets``, each followed by its own and the end token.

        The text between two soft tokens is tokenised in one piece, so word boundaries are those of plain text.
        """
        if not prompts:
            return []
        cut = [self._cut(prompt) for prompt in prompts]
        distinct = list(dict.fromkeys(run for c in cut for run in c.runs))
        coded = self.tokenizer(distinct, add_special_tokens=False, return_offsets_mapping=spans)
        place = {run: i for i, run in enumerate(distinct)}
        encoded = [self._assemble(c, coded, place, spans) for c in cut]
        if targets is None:
            return encoded
        tails = [[*self._tokens(self._plain(target)), self.tokenizer.eos_token_id] for target in targets]
        return [e._replace(ids=e.ids + tail, target=len(tail)) for e, tail in zip(encoded, tails, strict=True)]

    def _cut(self, prompt: Prompt) -> _Cut:
        before, after = self._frame(prompt)
        runs, pieces, slots = [before], [], []
        for segment in prompt.segments:
            if isinstance(segment, Slot):
                pieces.append((len(runs) - 1, -1, len(slots)))
                slots.append(segment)
                runs.append("")
            else:
                start = len(runs[-1])
                runs[-1] += self._seam(runs[-1], self._plain((segment,)))
                pieces.append((len(runs) - 1, start, len(runs[-1])))
        runs[-1] += after
        return _Cut(runs, pieces, slots)

    def _assemble(self, cut: _Cut, coded, place: dict[str, int], spans: bool) -> Encoded:
        ids: list[int] = []
        starts, positions = [], []
        for i, run in enumerate(cut.runs):
            starts.append(len(ids))
            ids += coded["input_ids"][place[run]]
            if i < len(cut.slots):
                positions.append((len(ids), cut.slots[i]))
                ids.append(self.pad)  # its embedding is replaced, the id is never read
        if not spans:
            return Encoded(ids, positions)
        offsets = [
            [(start + j, a, b) for j, (a, b) in enumerate(coded["offset_mapping"][place[run]])]
            for start, run in zip(starts, cut.runs, strict=True)
        ]
        return Encoded(ids, positions, [_span(piece, offsets, positions) for piece in cut.pieces])

    def answer_ids(self, prompt: Prompt) -> tuple[int, int]:
        """Ids of the first tokens of the two answers, in the place where the prompt ends.

        Raises:
            ValueError: both answers start with the same token, or answers merge with the text before them.
        """
        _, after = self._frame(prompt)
        last = prompt.segments[-1]
        tail = (self._harmless(last.text) if isinstance(last, Text) else "") + after
        lead = "" if self.template == "chat" or tail.endswith(("\n", " ")) else " "
        stem = self._tokens(tail)
        found = []
        for answer in prompt.answers:
            full = self._tokens(tail + lead + answer)
            if full[: len(stem)] != stem or len(full) == len(stem):
                raise ValueError(f"the answer {answer!r} merges with the text before it ({tail[-20:]!r}): edit it")
            found.append(full[len(stem)])
        if found[0] == found[1]:
            shared = self.tokenizer.decode([found[0]])
            raise ValueError(f"answers {prompt.answers} share their first token {shared!r}: choose other answers")
        return found[0], found[1]

    def collate(
        self, encoded: Sequence[Encoded], labels: Sequence[float] | None = None, groups: Sequence[int] | None = None
    ) -> Batch:
        """Pad to the longest row of this batch (right side) and list the soft tokens."""
        lengths = np.array([len(e.ids) for e in encoded])
        width = int(lengths.max())
        ids = np.full((len(encoded), width), self.pad, dtype=np.int64)
        filled = np.arange(width)[None, :] < lengths[:, None]
        ids[filled] = np.concatenate([e.ids for e in encoded])
        many, end = len(encoded), torch.from_numpy(lengths - 1)
        return Batch(
            torch.from_numpy(ids), torch.from_numpy(filled.astype(np.int64)), torch.arange(many),
            end - torch.tensor([e.target for e in encoded]), end, column(labels, many).float(), column(groups, many),
            _by_kind(encoded),
        )  # fmt: skip

    def shown(self, encoded: Encoded) -> list[str]:
        """Each token as text, soft tokens by name: what the model got, position by position."""
        words = [self.tokenizer.decode([i]) for i in encoded.ids]
        for position, slot in encoded.slots:
            words[position] = KINDS[slot.kind].shown
        return words


def column(values: Sequence[float] | None, n: int) -> torch.Tensor:
    """Values as a tensor [n]; zeros where there are none."""
    return torch.zeros(n, dtype=torch.long) if values is None else torch.as_tensor(values)


def _by_kind(encoded: Sequence[Encoded]) -> dict[str, Slots]:
    found: dict[str, list[tuple[int, int, Slot]]] = {}
    for row, e in enumerate(encoded):
        for column, slot in e.slots:
            found.setdefault(slot.kind, []).append((row, column, slot))
    return {
        kind: Slots(*torch.tensor([(r, c, s.id) for r, c, s in many]).T, _bags([s.items for _, _, s in many]))
        for kind, many in found.items()
    }


def _bags(items: list[tuple[int, ...]]) -> torch.Tensor:
    """Item ids padded with 0, [S, longest]."""
    lengths = np.array([len(bag) for bag in items], dtype=int)
    bags = np.zeros((len(items), lengths.max(initial=0)), dtype=np.int64)
    bags[np.arange(bags.shape[1])[None, :] < lengths[:, None]] = [i for bag in items for i in bag]
    return torch.from_numpy(bags)


def _span(piece, offsets, positions) -> tuple[int, int]:
    """Token range of one segment; a token that straddles two (a word with the space before it) belongs to the one
    where it ends."""
    run, start, end = piece
    if start < 0:
        position = positions[end][0]
        return position, position + 1
    inside = [position for position, _, b in offsets[run] if start < b <= end]
    if not inside:
        edge = offsets[run][-1][0] + 1 if offsets[run] else 0
        return edge, edge
    return inside[0], inside[-1] + 1
