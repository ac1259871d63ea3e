"""Soft tokens into the prompt, and scores out of it: logit(Yes) - logit(No) at the last prompt position, float32."""

import copy
import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.branches import branched, comparable
from sellarec_lab.llm.encode import Batch, Encoded, Encoder
from sellarec_lab.llm.examples import EncodedRows, by_length
from sellarec_lab.llm.last_layer import fits, read_at
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
    """Hidden state at each prompt's last position [N, width]."""
    return at(states(lm, batch, soft), batch)


def states(lm: LanguageModel, batch: Batch, soft: SoftTokens | None, whole: bool = False) -> torch.Tensor:
    """Hidden states [B, L, width] of prompts, or of branches; unless they are asked for as a ``whole``, those that
    predict nothing (`Batch.read`) may be zeros."""
    embeddings, mask, more = splice(lm, batch, soft), batch.mask, {}
    if batch.positions is not None:
        mask, more = additive(lm, batch.mask), {"position_ids": batch.positions}
    places, counts = batch.read()
    if whole or places.shape[1] >= batch.ids.shape[1] or not fits(lm.base):
        return lm.hidden(embeddings, mask, **more)
    with read_at(lm.base, places):
        few = lm.hidden(embeddings, mask, **more)[counts]  # [M, width]
    rows = counts.nonzero()[:, 0]
    return few.new_zeros(*batch.ids.shape, lm.width).index_put((rows, places[counts]), few)


def at(hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Hidden states [B, L, width] where each prompt predicts its answer, [N, width]."""
    return hidden[batch.row, batch.last]


def additive(lm: LanguageModel, sees: torch.Tensor) -> torch.Tensor:
    """A mask [B, n, all] as attention takes it: what is added to its logits [B, 1, n, all]."""
    kind = lm.base.get_input_embeddings().weight.dtype
    return torch.zeros(sees.shape, dtype=kind, device=sees.device).masked_fill(~sees, torch.finfo(kind).min)[:, None]


@torch.no_grad()
def score(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], answers: tuple[int, int],
    soft: SoftTokens | None = None, batch_size: int = 256, families: np.ndarray | None = None,
) -> np.ndarray:  # fmt: skip
    """Scores of many prompts, float32 [n], in their order. What rows of one of the ``families`` [n] begin with runs
    once for up to 16 of them; equal to scores without up to rounding.

    Raises:
        FloatingPointError: a score is not finite.
    """
    lm.model.eval()
    encoded, out = EncodedRows(encoder, prompts), np.empty(len(prompts), dtype=np.float32)
    families = None if families is None else _limited(families)
    for rows in _watched(_together(encoded.lengths(), families, batch_size, lm.at_once)):
        some = encoded[rows]
        batch = encoder.collate(some) if families is None else branched(encoder, some, families[rows])
        out[rows] = _difference(lm, last_hidden(lm, batch.to(lm.device), soft), answers)
    return _finite(out)


def _limited(families: np.ndarray) -> np.ndarray:
    """Families of at most 16 rows: what many branches would see of each other is masked, but costs."""
    table = pd.DataFrame({"family": families})
    table["part"] = table.groupby("family").cumcount() // 16
    return table.groupby(["family", "part"]).ngroup().to_numpy()


def _together(
    lengths: np.ndarray, families: np.ndarray | None, batch_size: int, positions: int | None
) -> list[np.ndarray]:
    """As `by_length`, with all rows of a family in one batch, longest families first; what a family shares counts for
    each of its rows."""
    if families is None or not len(lengths):
        return by_length(lengths, batch_size, positions)
    sizes = pd.Series(lengths).groupby(families).transform("sum").to_numpy()
    order = np.lexsort([families, -sizes])
    batches, rows, held = [[]], 0, 0
    for family in np.split(order, np.flatnonzero(np.diff(families[order])) + 1):
        rows, held = rows + len(family), held + int(sizes[family[0]])
        if batches[-1] and (rows > batch_size or held > (positions or held)):
            batches.append([])
            rows, held = len(family), int(sizes[family[0]])
        batches[-1].append(family)
    return [np.concatenate(batch) for batch in batches]


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
        lm.check_length(max(len(encoded[i].ids) for i in rows))
        _, kept = lm.begun(splice(lm, head, soft), head.mask)
        own = [len(encoded[i].ids) - shared for i in rows]
        for some in _watched([rows[part] for part in by_length(own, batch_size, lm.at_once)]):
            tails = encoder.collate([_cut(encoded[i], shared, len(encoded[i].ids)) for i in some]).to(lm.device)
            out[some] = _difference(lm, _continued(lm, kept, tails, shared, soft), answers)
    if alone:
        out[alone] = score(lm, encoder, [prompts[i] for i in alone], answers, soft, batch_size)
    return _finite(out)


def _continued(lm: LanguageModel, kept, tails: Batch, shared: int, soft: SoftTokens | None) -> torch.Tensor:
    """Hidden state at the last position [B, width] of rows whose first ``shared`` positions are in the cache."""
    cache = copy.deepcopy(kept)  # a forward appends to its cache
    cache.batch_repeat_interleave(len(tails.ids))
    mask = torch.cat([tails.mask.new_ones(len(tails.ids), shared), tails.mask], dim=1)
    return at(lm.hidden(splice(lm, tails, soft), mask, cache), tails)


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
    table = comparable(encoded)
    order = np.lexsort(table.T[::-1])
    lengths = np.array([len(encoded[i].ids) for i in order])
    same = np.cumprod(table[order][1:] == table[order][:-1], axis=1).sum(1)  # with the row before, [n - 1]
    same = np.minimum(same, np.minimum(lengths[1:], lengths[:-1]) - 1)
    apart = same < 0.9 * np.median(same) if len(same) else same
    starts = np.concatenate([[0], 1 + np.flatnonzero(apart), [len(order)]])
    groups = [(a, b) for a, b in itertools.pairwise(starts) if a < b]
    return [(order[a:b], int(same[a : b - 1].min(initial=lengths[a] - 1))) for a, b in groups]


def _cut(encoded: Encoded, start: int, end: int) -> Encoded:
    slots = [(p - start, s) for p, s in encoded.slots if start <= p < end]
    return Encoded(encoded.ids[start:end], slots)
