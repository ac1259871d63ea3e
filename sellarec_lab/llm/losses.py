"""What a language model is trained for: losses as values, and the module that adds them up."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Batch, Encoder, Target
from sellarec_lab.llm.examples import EncodedRows, by_length
from sellarec_lab.llm.score import SoftTokens, at, states
from sellarec_lab.prompts import Prompt, Text


class Loss(Protocol):
    """Hidden states [B, L, width] of a batch to a scalar. ``whole_batch``: it compares rows with each other;
    ``whole``: it reads states that predict neither answer nor target."""

    whole_batch: bool
    whole: bool

    def __call__(self, lm: LanguageModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor: ...


@dataclass(frozen=True)
class AnswerLoss:
    """Next-token cross-entropy on the answer (arXiv 2504.10107, stages 1 and 3), or on the whole prompt too.

    ``answer_ids`` are those of the two answers. Only the position before the answer is projected on the vocabulary,
    unless the prompt is under the loss (``whole``): then the mean is over all positions.
    """

    answer_ids: tuple[int, int]
    whole: bool = False
    whole_batch = False

    def __call__(self, lm: LanguageModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        yes, no = self.answer_ids
        answer = torch.where(batch.labels > 0.5, yes, no)
        logits = lm.logits(at(hidden, batch))
        if not self.whole:
            return F.cross_entropy(logits, answer)
        keep = batch.mask[:, 1:].bool()
        for slots in batch.slots.values():  # a soft token has no id to predict
            keep = keep.index_put((slots.row, slots.column - 1), torch.zeros_like(slots.row, dtype=torch.bool))
        prompt = lm.logits(hidden[:, :-1][keep])
        return F.cross_entropy(torch.cat([logits, prompt]), torch.cat([answer, batch.ids[:, 1:][keep]]))


@dataclass(frozen=True)
class PairLoss:
    """BPR within a user (arXiv 1205.2618): what was liked should score above what was not. ``weight`` of the term."""

    answer_ids: tuple[int, int]
    weight: float
    whole_batch, whole = True, False

    def __call__(self, lm: LanguageModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        both = lm.answer_logits(at(hidden, batch), self.answer_ids)
        return self.weight * pairwise_loss(both[:, 0] - both[:, 1], batch)


class GenreLoss(nn.Module):
    """Which genres the user likes, asked at the place that predicts the answer (ARROW, WSDM 2026): binary cross-entropy
    of a new output for each of G genres, which is thrown away after training. Its weight is ``weight`` times the root
    mean square of the answers' entropies (nats), through which no gradient goes: an unsure model thinks of genres more.

    ``liked`` [n_users + 1, G] has shares from 0 to 1, and a row of zeros for users who are not asked; a batch's
    ``group`` names its users. Departs from ARROW: shares told by train in the place of genres told by a larger model.
    """

    whole_batch, whole = False, False

    def __init__(self, answer_ids: tuple[int, int], weight: float, liked: torch.Tensor, width: int):
        super().__init__()
        self.answer_ids, self.weight = answer_ids, weight
        self.register_buffer("liked", liked.float(), persistent=False)
        self.genres = nn.Linear(width, liked.shape[1])

    def forward(self, lm: LanguageModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        states, told = at(hidden, batch), self.liked[batch.group]  # [N, width], [N, G]
        known = told.any(dim=1)
        if not known.any():
            return states.sum() * 0.0
        with torch.autocast(states.device.type, enabled=False):
            asked = F.binary_cross_entropy_with_logits(self.genres(states[known].float()), told[known])
        return self.weight * self._unsure(lm, states) * asked

    @torch.no_grad()
    def _unsure(self, lm: LanguageModel, states: torch.Tensor) -> torch.Tensor:
        log_p = lm.answer_logits(states, self.answer_ids).float().log_softmax(-1)  # [N, 2]
        return (log_p.exp() * log_p).sum(-1).square().mean().sqrt()


@dataclass(frozen=True)
class TextLoss:
    """Next-token cross-entropy on the texts that follow the prompts, the end token included; mean over tokens."""

    whole_batch, whole = False, False

    def __call__(self, lm: LanguageModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        return self.by_token(lm, hidden, batch)[0].mean()

    def by_token(self, lm: LanguageModel, hidden: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of every token that follows, and which it is, [N] each."""
        place = torch.arange(hidden.shape[1] - 1, device=hidden.device)  # [L - 1]
        asked = (place >= batch.last[:, None]) & (place < batch.end[:, None])  # [B, L - 1], positions that predict
        ids = batch.ids[:, 1:][asked]
        return F.cross_entropy(lm.logits(hidden[:, :-1][asked]), ids, reduction="none"), ids


@torch.no_grad()
def target_loss(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], targets: Sequence[Target], batch_size: int = 128,
    ended: bool = True,
) -> float:  # fmt: skip
    """Mean cross-entropy, in nats a token, of texts that follow prompts; ``ended``: with their end tokens."""
    lm.model.eval()
    encoded, told, total, many = EncodedRows(encoder, prompts, targets), TextLoss(), 0.0, 0
    for rows in by_length(encoded.lengths(), batch_size, lm.at_once):
        batch = encoder.collate(encoded[rows]).to(lm.device)
        batch = replace(batch, end=batch.end - int(not ended))
        tokens = int((batch.end - batch.last).sum())
        total += float(told(lm, states(lm, batch, None), batch)) * tokens
        many += tokens
    return total / many


def text_loss(lm: LanguageModel, texts: Sequence[str]) -> float:
    """Mean cross-entropy, in nats a token, of plain texts after their first word: is a model still at home in them?"""
    starts, rests = zip(*(text.split(" ", 1) for text in texts if " " in text), strict=True)
    prompts = [Prompt((Text(start),), "", ("", ""), 0, 0) for start in starts]
    return target_loss(lm, Encoder(lm.tokenizer, "plain"), prompts, [f" {rest}" for rest in rests])


class Objective(nn.Module):
    """Batch to the sum of the losses; ``soft`` fills the prompts' soft tokens, and trains where it may, as do losses
    with parameters of their own."""

    def __init__(self, lm: LanguageModel, losses: Sequence[Loss], soft: nn.Module | None = None):
        super().__init__()
        self.model, self.soft = lm.model, soft  # registered, so that their parameters are found
        self._lm, self._losses = lm, tuple(losses)
        self.heads = nn.ModuleList(loss for loss in losses if isinstance(loss, nn.Module))
        self.whole_batch, self.whole = (any(getattr(x, kind) for x in losses) for kind in ("whole_batch", "whole"))

    def forward(self, batch: Batch) -> torch.Tensor:
        batch = batch.to(self._lm.device)
        soft: SoftTokens | None = self.soft
        hidden = states(self._lm, batch, soft, self.whole)
        return sum(loss(self._lm, hidden, batch) for loss in self._losses)


def pairwise_loss(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean of -log sigmoid(s_i - s_j) over all pairs of rows of one user with i liked and j not; 0 without pairs.

    ``scores`` are [B].
    """
    liked = batch.labels > 0.5
    pairs = (batch.group[:, None] == batch.group[None, :]) & liked[:, None] & ~liked[None, :]  # [B, B]
    if not pairs.any():
        return scores.sum() * 0.0
    return F.softplus(scores[None, :] - scores[:, None])[pairs].mean()
