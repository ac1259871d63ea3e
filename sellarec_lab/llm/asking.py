"""What a language model takes a vector for: the vector stands where a name would, and the model goes on.

This shows what it makes of a soft token, and not what the token was trained for: a direction drawn at random gets an
answer as well, so such a control belongs beside every reading.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm.auto import tqdm
from transformers import Cache, GenerationConfig

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Batch, Encoder
from sellarec_lab.llm.examples import EncodedRows, by_length
from sellarec_lab.llm.score import SoftTokens, at, splice
from sellarec_lab.prompts import Prompt, Slot, Text


@torch.no_grad()
def chosen_words(
    lm: LanguageModel, what: Sequence[str] | torch.Tensor, words: Sequence[str], lead: str, end: str,
    batch_size: int = 256,
) -> np.ndarray:  # fmt: skip
    """Which of some words the model finds most probable after ``lead``, one of ``what`` and ``end``; their places in
    ``words``, int [n].

    Args:
        what: names [n], or vectors [n, width] that stand in their place.
        words: as they stand behind a space. Where one has several tokens all of them count.

    Raises:
        ValueError: vectors of another width than the model's, or a name longer than it reads.
    """
    lm.model.eval()
    encoder, (prompts, soft) = Encoder(lm.tokenizer, "plain"), _asked(what, lead, end)
    spelled = [lm.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
    return _told(lm, encoder, prompts, soft, spelled, batch_size).argmax(dim=1).numpy()


def _told(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], soft: SoftTokens | None, spelled: list[list[int]],
    batch_size: int,
) -> torch.Tensor:  # fmt: skip
    """Log-probabilities of words, all their tokens, after each prompt, [n, words]. A prompt runs once, and words of
    several tokens go on from what it left."""
    encoded, out = EncodedRows(encoder, prompts), torch.empty(len(prompts), len(spelled))
    ids = pad_sequence([torch.tensor(tokens) for tokens in spelled], batch_first=True, padding_value=-1).to(lm.device)
    long = (ids[:, 1:] >= 0).any(dim=1)  # [words], those of several tokens
    size = max(1, batch_size // max(1, int(long.sum())))
    for rows in tqdm(_as_long(encoded.lengths(), size, lm.at_once), "words", unit="batch", leave=False, delay=2):
        batch = encoder.collate(encoded[rows]).to(lm.device)
        lm.check_length(batch.ids.shape[1])
        hidden, cache = lm.begun(splice(lm, batch, soft), batch.mask)
        told = lm.logits(at(hidden, batch)).log_softmax(-1)[:, ids[:, 0]]  # [B, words]
        if long.any():
            told[:, long] += _rest(lm, batch, cache, ids[long])
        out[rows] = told.cpu()
    return out


def _rest(lm: LanguageModel, batch: Batch, cache: Cache, ids: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of all tokens but the first of words [W, T], -1 behind their end, after each prompt of a
    batch, [B, W]."""
    cache.batch_repeat_interleave(len(ids))
    tails = ids.repeat(len(batch.ids), 1)  # [B * W, T]
    there, inputs = tails[:, 1:] >= 0, lm.embed(tails[:, :-1].clamp(min=0))  # what stands behind a word, it can't see
    mask = batch.mask.new_ones(len(tails), batch.ids.shape[1] + inputs.shape[1])
    hidden = lm.hidden(inputs, mask, cache)  # [B * W, T - 1, width]
    said = lm.logits(hidden[there]).log_softmax(-1).gather(1, tails[:, 1:][there][:, None])[:, 0]
    return said.new_zeros(len(tails)).index_add(0, there.nonzero()[:, 0], said).view(-1, len(ids))


def _as_long(lengths: np.ndarray, batch_size: int, positions: int | None) -> list[np.ndarray]:
    """Row numbers in batches whose rows have one length: what goes on from a cache has no padding before it."""
    alike = (np.flatnonzero(lengths == length) for length in np.unique(lengths))
    return [rows[part] for rows in alike for part in by_length(lengths[rows], batch_size, positions)]


@torch.no_grad()
def continuations(
    lm: LanguageModel, what: Sequence[str] | torch.Tensor, lead: str, end: str, tokens: int = 8
) -> list[str]:
    """The most probable next tokens, one by one, after ``lead``, each of ``what`` (see `chosen_words`) and ``end``."""
    lm.model.eval()
    encoder, rules = Encoder(lm.tokenizer, "plain"), GenerationConfig(max_new_tokens=tokens, do_sample=False)
    rules.pad_token_id, rules.eos_token_id = encoder.pad, lm.tokenizer.eos_token_id
    prompts, soft = _asked(what, lead, end)
    found = []
    for encoded in encoder.encode_many(prompts):
        batch = encoder.collate([encoded]).to(lm.device)
        read = {"inputs_embeds": splice(lm, batch, soft), "attention_mask": batch.mask}
        written = lm.model.generate(**read, generation_config=rules)[0]
        found.append(lm.tokenizer.decode(written, skip_special_tokens=True))
    return found


def _asked(what: Sequence[str] | torch.Tensor, lead: str, end: str) -> tuple[list[Prompt], SoftTokens | None]:
    vectors = what if torch.is_tensor(what) else None
    named = [Text(name) for name in what] if vectors is None else [Slot("item", row) for row in range(len(vectors))]
    asked = [tuple(part for part in (Text(lead), one, Text(end)) if part != Text("")) for one in named]
    soft = None if vectors is None else lambda kind, row, bag: vectors.to(row.device)[row]
    return [Prompt(parts, "", ("", ""), 0, 0) for parts in asked], soft
