"""Soft tokens into the prompt, and scores out of it: logit(Yes) - logit(No) at the last prompt position, float32."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Batch, Encoded, Encoder

# (kind [S], id [S], bag [S, H]) -> vectors [S, width]
SoftTokens = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def splice(lm: LanguageModel, batch: Batch, soft: SoftTokens | None) -> torch.Tensor:
    """Input embeddings [B, L, width] with the soft tokens in their places.

    Raises:
        ValueError: the batch has slots and there is nothing to fill them with, or vectors of another width.
    """
    embeddings = lm.embed(batch.ids)
    if not len(batch.row):
        return embeddings
    if soft is None:
        raise ValueError(f"the prompts hold {len(batch.row)} soft tokens, but no projector was given to fill them")
    vectors = soft(batch.kind, batch.id, batch.bag)
    if vectors.shape != (len(batch.row), lm.width):
        raise ValueError(f"soft tokens have shape {tuple(vectors.shape)}, the batch needs {(len(batch.row), lm.width)}")
    return embeddings.index_put((batch.row, batch.column), vectors.to(embeddings.dtype))


def last_hidden(lm: LanguageModel, batch: Batch, soft: SoftTokens | None) -> torch.Tensor:
    """Hidden state at the last prompt position [B, width]."""
    hidden = lm.hidden(splice(lm, batch, soft), batch.mask)
    return hidden[torch.arange(len(hidden), device=hidden.device), batch.last]


def by_length(encoded: Sequence[Encoded], batch_size: int) -> list[np.ndarray]:
    """Row numbers in batches of similar length, longest first, so that little is padded."""
    order = np.argsort([-len(e.ids) for e in encoded], kind="stable")
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


def shuffled_batches(
    encoded: Sequence[Encoded], batch_size: int, seed: int, epoch: int, rows: int | None = None
) -> list[np.ndarray]:
    """Random batches of similar length: rows are shuffled (and cut to ``rows``), sorted within windows of 32 batches,
    and the batches shuffled."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(encoded))[:rows]
    lengths = np.array([len(e.ids) for e in encoded])
    window = batch_size * 32
    batches = []
    for start in range(0, len(order), window):
        near = order[start : start + window]
        near = near[np.argsort(lengths[near], kind="stable")]
        batches += [near[i : i + batch_size] for i in range(0, len(near), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def grouped_batches(
    encoded: Sequence[Encoded], users: Sequence[int], batch_size: int, seed: int, epoch: int, rows: int | None = None
) -> list[np.ndarray]:
    """Random batches in which a user's rows come in groups of up to eight, so that pairs within a user are there."""
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(encoded))[:rows]
    table = pd.DataFrame({"row": order, "user": np.asarray(users)[order]})
    group = table.groupby("user").cumcount() // 8
    chunk = table["user"].astype(str) + "/" + group.astype(str)
    place = chunk.map(dict(zip(chunk.unique(), rng.permutation(chunk.nunique()))))
    order = table["row"].to_numpy()[np.argsort(place, kind="stable")]
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]


@torch.no_grad()
def score(
    lm: LanguageModel,
    encoder: Encoder,
    encoded: Sequence[Encoded],
    answers: tuple[int, int],
    soft: SoftTokens | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """Scores of many prompts, float32 [n], in their order.

    Raises:
        FloatingPointError: a score is not finite.
    """
    lm.model.eval()
    out = np.empty(len(encoded), dtype=np.float32)
    for rows in _watched(by_length(encoded, batch_size)):
        batch = encoder.collate([encoded[i] for i in rows]).to(lm.device)
        out[rows] = _difference(lm, last_hidden(lm, batch, soft), answers)
    return _finite(out)


@torch.no_grad()
def score_shared(
    lm: LanguageModel,
    encoder: Encoder,
    encoded: Sequence[Encoded],
    answers: tuple[int, int],
    soft: SoftTokens | None = None,
    batch_size: int = 256,
) -> np.ndarray:
    """Scores of prompts that begin alike (one user, many candidates): the shared beginning runs once.

    Equal to `score` up to rounding. Soft tokens may stand in the shared part (the user's) and in the rest.

    Raises:
        FloatingPointError: a score is not finite.
    """
    lm.model.eval()
    shared = _shared_length(encoded)
    if shared < 2:
        return score(lm, encoder, encoded, answers, soft, batch_size)
    device = lm.device
    head = encoder.collate([_cut(encoded[0], 0, shared)]).to(device)
    first = lm.base.base_model(inputs_embeds=splice(lm, head, soft), attention_mask=head.mask, use_cache=True)
    tails = [_cut(e, shared, len(e.ids)) for e in encoded]
    out = np.empty(len(encoded), dtype=np.float32)
    for rows in _watched(by_length(tails, batch_size)):
        batch = encoder.collate([tails[i] for i in rows]).to(device)
        cache = copy.deepcopy(first.past_key_values)  # a forward appends to its cache
        cache.batch_repeat_interleave(len(rows))
        ones = torch.ones(len(rows), shared, dtype=batch.mask.dtype, device=device)
        hidden = lm.hidden(
            splice(lm, batch, soft), torch.cat([ones, batch.mask], dim=1), past_key_values=cache, use_cache=True
        )
        out[rows] = _difference(lm, hidden[torch.arange(len(rows), device=device), batch.last], answers)
    return _finite(out)


def _watched(batches: list[np.ndarray]) -> Iterable[np.ndarray]:
    return tqdm(batches, desc="scoring", unit="batch", leave=False, delay=2)


def _finite(scores: np.ndarray) -> np.ndarray:
    if not np.isfinite(scores).all():
        bad = int(np.sum(~np.isfinite(scores)))
        raise FloatingPointError(f"{bad} of {len(scores)} scores are not finite; set dtype='float32'")
    return scores


def _difference(lm: LanguageModel, hidden: torch.Tensor, answers: tuple[int, int]) -> np.ndarray:
    """logit(Yes) - logit(No) of hidden states [B, width], float32 [B]."""
    both = lm.answer_logits(hidden, answers)
    return (both[:, 0] - both[:, 1]).cpu().numpy()


def _shared_length(encoded: Sequence[Encoded]) -> int:
    """Length of the longest beginning that all rows share; at least one token of every row stays outside."""
    first = encoded[0]
    slots = [dict(e.slots) for e in encoded]
    length = min(len(e.ids) for e in encoded) - 1
    for position in range(length):
        token, slot = first.ids[position], slots[0].get(position)
        if any(e.ids[position] != token or s.get(position) != slot for e, s in zip(encoded, slots, strict=True)):
            return position
    return length


def _cut(encoded: Encoded, start: int, end: int) -> Encoded:
    slots = [(p - start, s) for p, s in encoded.slots if start <= p < end]
    return Encoded(encoded.ids[start:end], slots, [])
