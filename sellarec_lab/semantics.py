"""Item semantics: vectors distilled from the tuned language model (arXiv 2504.10107; stage 2a).

The vector of an item is the last hidden state, after the final norm, at the end of a short prompt that holds its
title. Vectors stay float32; the official code passes them through an integer tensor.
"""

from collections.abc import Sequence

import torch
from tqdm.auto import tqdm

from sellarec_lab import llm
from sellarec_lab.prompts import Writer


@torch.no_grad()
def distil(lm: llm.LanguageModel, writer: Writer, batch_size: int = 256) -> torch.Tensor:
    """Item vectors [n_items + 1, width], float32, row 0 zero; of each item's `Writer.describe`.

    Raises:
        ValueError: see `check`.
    """
    lm.model.eval()
    plain = llm.Encoder(lm.tokenizer, "plain")
    encoded = plain.encode_many([writer.describe(i) for i in range(1, len(writer.titles))])
    out = torch.zeros(len(writer.titles), lm.width)
    parts = llm.by_length([len(e.ids) for e in encoded], batch_size, lm.at_once)
    for rows in tqdm(parts, desc="distilling", unit="batch", leave=False, delay=2):
        batch = plain.collate([encoded[i] for i in rows]).to(lm.device)
        out[1 + rows] = llm.last_hidden(lm, batch, None).float().cpu()
    check(out)
    return out


@torch.no_grad()
def of_texts(lm: llm.LanguageModel, *columns: Sequence[str], longest: int = 512, batch_size: int = 64) -> torch.Tensor:
    """Item vectors [n + 1, width], float32, row 0 zero, from columns of n texts each (arXiv 2311.09049): the mean of
    the last hidden states over a text's first ``longest`` tokens, then over an item's texts that are not empty.

    Raises:
        ValueError: an item without any text; or see `check`.
    """
    lm.model.eval()
    total, many = torch.zeros(len(columns[0]), lm.width), torch.zeros(len(columns[0]), 1)
    for column in columns:
        if not (rows := [i for i, text in enumerate(column) if text.strip()]):
            continue
        total[rows] += _means(lm, [column[i] for i in rows], longest, batch_size)
        many[rows] += 1
    if (many == 0).any():
        raise ValueError(f"item {int((many == 0).flatten().nonzero()[0]) + 1} has no text; give it a title")
    out = torch.cat([torch.zeros(1, lm.width), total / many])
    check(out)
    return out


def _means(lm: llm.LanguageModel, texts: Sequence[str], longest: int, batch_size: int) -> torch.Tensor:
    """Mean hidden state of each text [n, width]; padding does not count."""
    plain = llm.Encoder(lm.tokenizer, "plain")
    coded = lm.tokenizer(list(texts), add_special_tokens=False, truncation=True, max_length=longest)["input_ids"]
    encoded, out = [llm.Encoded(ids, []) for ids in coded], torch.zeros(len(texts), lm.width)
    parts = llm.by_length([len(e.ids) for e in encoded], batch_size, lm.at_once)
    for rows in tqdm(parts, desc="reading the catalogue", unit="batch", leave=False, delay=2):
        batch = plain.collate([encoded[i] for i in rows]).to(lm.device)
        hidden, mask = lm.hidden(lm.embed(batch.ids), batch.mask).float(), batch.mask[..., None]
        out[rows] = ((hidden * mask).sum(1) / mask.sum(1)).cpu()
    return out


def centre(vectors: torch.Tensor) -> torch.Tensor:
    """The table without what all items have in common, scaled to a mean norm of 1; row 0 stays zero.

    Hidden states of one language model share a large common part, so raw cosines are all near 1 and a contrastive
    loss finds nothing to contrast. (The paper does not speak of it.)
    """
    out = vectors - vectors[1:].mean(dim=0)
    out[0] = 0.0
    return out / out[1:].norm(dim=1).mean()


def check(vectors: torch.Tensor) -> None:
    """Refuse a table that can't be item semantics.

    Raises:
        ValueError: a non-finite row, an empty row, vectors that are all alike, or whole numbers only.
    """
    rows = vectors[1:]
    odd = (~torch.isfinite(rows).all(dim=1)).nonzero().flatten()
    if len(odd):
        first = int(odd[0]) + 1
        raise ValueError(f"semantics: item {first} and {len(odd) - 1} more have non-finite vectors; use float32")
    empty = (rows.norm(dim=1) == 0).nonzero().flatten()
    if len(empty):
        raise ValueError(f"semantics: item {int(empty[0]) + 1} and {len(empty) - 1} more have no vector; distil again")
    if len(rows) > 1 and float(rows.std(dim=0).max()) < 1e-6:
        raise ValueError("semantics: all items have the same vector; is the title part of the prompt?")
    if torch.equal(rows, rows.round()):
        raise ValueError("semantics: all values are whole numbers; they were truncated somewhere, keep them float")


def spread(vectors: torch.Tensor) -> dict[str, float]:
    """How distinct the vectors are: mean norm, and mean cosine between random pairs (near 1 = all alike)."""
    rows = vectors[1:]
    unit = torch.nn.functional.normalize(rows, dim=1)
    n = len(unit)
    mean_cosine = (unit.sum(0).square().sum() - n) / (n * (n - 1))
    return {"items": float(n), "mean_norm": float(rows.norm(dim=1).mean()), "mean_cosine": float(mean_cosine)}
