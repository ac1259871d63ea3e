"""What a language model takes a vector for: the vector stands where a name would, and the model goes on.

This shows what it makes of a soft token, and not what the token was trained for: a direction drawn at random gets an
answer as well, so such a control belongs beside every reading.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import GenerationConfig

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Encoder
from sellarec_lab.llm.examples import EncodedRows, by_length
from sellarec_lab.llm.score import SoftTokens, last_hidden, splice
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
        words: of each the first token decides, as it stands behind a space.

    Raises:
        ValueError: two words begin with the same token; vectors of another width than the model's.
    """
    lm.model.eval()
    encoder, starts = Encoder(lm.tokenizer, "plain"), _first_tokens(lm, words)
    prompts, soft = _asked(what, lead, end)
    encoded, found = EncodedRows(encoder, prompts), np.empty(len(prompts), dtype=int)
    for rows in by_length(encoded.lengths(), batch_size):
        hidden = last_hidden(lm, encoder.collate(encoded[rows]).to(lm.device), soft)
        found[rows] = lm.logits(hidden)[:, starts].argmax(dim=1).cpu().numpy()
    return found


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


def _first_tokens(lm: LanguageModel, words: Sequence[str]) -> list[int]:
    starts = [lm.tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0] for word in words]
    if len(set(starts)) < len(starts):
        shared = next(word for word, start in zip(words, starts) if starts.count(start) > 1)
        raise ValueError(f"{shared!r} begins with the same token as another of the words: choose other words")
    return starts
