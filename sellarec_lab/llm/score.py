"""Soft tokens into the prompt, and scores out of it: logit(Yes) - logit(No) at the last prompt position, float32."""

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Batch, Encoded, Encoder
from sellarec_lab.llm.examples import EncodedRows, by_length
from sellarec_lab.prompts import Prompt

# (kind, id [S], bag [S, H]) -> vectors [S, width]
SoftTokens = Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor]


def splice(lm: LanguageModel, batch: Batch, soft: SoftTokens | None) -> torch.Tensor:
    """Input embeddings [B, L, width] with the soft tokens in their places.

    Raises:
        ValueError: the batch has slots and there is nothing to fill them with, or vectors of another width.
    """
    embeddings = lm.embed(batch.ids)
    if batch.slots and soft is None:
        raise ValueError(f"the prompts hold soft tokens ({', '.join(batch.slots)}), but no projector to fill them")
    for kind, slots in batch.slots.items():
        vectors = soft(kind, slots.id, slots.bag)
        if vectors.shape != (len(slots.id), lm.width):
            wanted = (len(slots.id), lm.width)
            raise ValueError(f"{kind} tokens have shape {tuple(vectors.shape)}, the batch needs {wanted}")
        embeddings = embeddings.index_put((slots.row, slots.column), vectors.to(embeddings.dtype))
    return embeddings


def last_hidden(lm: LanguageModel, batch: Batch, soft: SoftTokens | None) -> torch.Tensor:
    """Hidden state at the last prompt position [B, width]."""
    return at(lm.hidden(splice(lm, batch, soft), batch.mask), batch.last)


def at(hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Hidden states [B, L, width] at one position a row [B] to [B, width]."""
    return hidden[torch.arange(len(hidden), device=hidden.device), positions]


@torch.no_grad()
def score(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], answers: tuple[int, int],
    soft: SoftTokens | None = None, batch_size: int = 256,
) -> np.ndarray:  # fmt: skip
    """Scores of many prompts, float32 [n], in their order.

    Raises:
        FloatingPointError: a score is not finite.
    """
    lm.model.eval()
    encoded, out = EncodedRows(encoder, prompts), np.empty(len(prompts), dtype=np.float32)
    for rows in _watched(by_length(encoded.lengths(), batch_size)):
        batch = encoder.collate(encoded[rows]).to(lm.device)
        out[rows] = _difference(lm, last_hidden(lm, batch, soft), answers)
    return _finite(out)


@torch.no_grad()
def score_shared(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], answers: tuple[int, int],
    soft: SoftTokens | None = None, batch_size: int = 256,
) -> np.ndarray:  # fmt: skip
    """Scores of prompts that begin alike (one user, many candidates): a beginning that many share runs once for them.

    Equal to `score` up to rounding. Soft tokens may stand in the shared part (the user's) and in the rest.

    Raises:
        FloatingPointError: a score is not finite.
    """
    lm.model.eval()
    encoded, out = encoder.encode_many(prompts), np.empty(len(prompts), dtype=np.float32)
    alone = []
    for rows, shared in alike(encoded):
        if shared < 2 or len(rows) < 2:
            alone += rows.tolist()
            continue
        head = encoder.collate([_cut(encoded[rows[0]], 0, shared)]).to(lm.device)
        first = lm.base.base_model(inputs_embeds=splice(lm, head, soft), attention_mask=head.mask, use_cache=True)
        for some in _watched([rows[part] for part in by_length([len(encoded[i].ids) for i in rows], batch_size)]):
            tails = encoder.collate([_cut(encoded[i], shared, len(encoded[i].ids)) for i in some]).to(lm.device)
            out[some] = _difference(lm, _continued(lm, first.past_key_values, tails, shared, soft), answers)
    if alone:
        out[alone] = score(lm, encoder, [prompts[i] for i in alone], answers, soft, batch_size)
    return _finite(out)


def _continued(lm: LanguageModel, kept, tails: Batch, shared: int, soft: SoftTokens | None) -> torch.Tensor:
    """Hidden state at the last position [B, width] of rows whose first ``shared`` positions are in the cache."""
    cache = copy.deepcopy(kept)  # a forward appends to its cache
    cache.batch_repeat_interleave(len(tails.ids))
    mask = torch.cat([tails.mask.new_ones(len(tails.ids), shared), tails.mask], dim=1)
    return at(lm.hidden(splice(lm, tails, soft), mask, past_key_values=cache, use_cache=True), tails.last)


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


def alike(encoded: Sequence[Encoded]) -> list[tuple[np.ndarray, int]]:
    """Groups of rows that begin alike: row numbers, and how many positions they share.

    A row that shares clearly less with its neighbours than most do stands apart, and costs the others nothing. At least
    one position of every row is left outside of what is shared.
    """
    table = _comparable(encoded)
    order = np.lexsort(table.T[::-1])
    lengths = np.array([len(encoded[i].ids) for i in order])
    same = np.cumprod(table[order][1:] == table[order][:-1], axis=1).sum(1)  # with the row before, [n - 1]
    same = np.minimum(same, np.minimum(lengths[1:], lengths[:-1]) - 1)
    apart = same < 0.9 * np.median(same) if len(same) else same
    starts = np.concatenate([[0], 1 + np.flatnonzero(apart), [len(order)]])
    groups = [(a, b) for a, b in itertools.pairwise(starts) if a < b]
    return [(order[a:b], int(same[a : b - 1].min(initial=lengths[a] - 1))) for a, b in groups]


def _comparable(encoded: Sequence[Encoded]) -> np.ndarray:
    """Token ids [n, longest], a number of its own below zero for each soft token, and -1 where a row has ended."""
    names: dict = {}
    table = np.full((len(encoded), max(len(e.ids) for e in encoded)), -1)
    for row, e in enumerate(encoded):
        table[row, : len(e.ids)] = e.ids
        for position, slot in e.slots:
            table[row, position] = names.setdefault(slot, -2 - len(names))
    return table


def _cut(encoded: Encoded, start: int, end: int) -> Encoded:
    slots = [(p - start, s) for p, s in encoded.slots if start <= p < end]
    return Encoded(encoded.ids[start:end], slots)
