"""What a language model takes a vector for: the vector stands where a name would, and the model goes on.

This shows what it makes of a soft token, and not what the token was trained for: a direction drawn at random gets an
answer as well, so such a control belongs beside every reading.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from transformers import GenerationConfig

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Encoder
from sellarec_lab.llm.examples import EncodedRows, by_length
from sellarec_lab.llm.losses import TextLoss
from sellarec_lab.llm.score import SoftTokens, last_hidden, splice, states
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
        words: as they stand behind a space. Where one has several tokens all of them count, and a model is asked for
            every word apart.

    Raises:
        ValueError: vectors of another width than the model's.
    """
    lm.model.eval()
    encoder, (prompts, soft) = Encoder(lm.tokenizer, "plain"), _asked(what, lead, end)
    spelled = [lm.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in words]
    if all(len(tokens) == 1 for tokens in spelled):
        told = _next_tokens(lm, encoder, prompts, soft, [token for (token,) in spelled], batch_size)
    else:
        told = _whole_words(lm, encoder, prompts, soft, words, batch_size)
    return told.argmax(dim=1).numpy()


def _next_tokens(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], soft: SoftTokens | None, tokens: list[int],
    batch_size: int,
) -> torch.Tensor:  # fmt: skip
    """Logits of some tokens after each prompt, [n, tokens]."""
    encoded, out = EncodedRows(encoder, prompts), torch.empty(len(prompts), len(tokens))
    for rows in by_length(encoded.lengths(), batch_size, lm.at_once):
        hidden = last_hidden(lm, encoder.collate(encoded[rows]).to(lm.device), soft)
        out[rows] = lm.logits(hidden)[:, tokens].cpu()
    return out


def _whole_words(
    lm: LanguageModel, encoder: Encoder, prompts: Sequence[Prompt], soft: SoftTokens | None, words: Sequence[str],
    batch_size: int,
) -> torch.Tensor:  # fmt: skip
    """Log-probabilities of words, all their tokens, after each prompt, [n, words]."""
    targets = [f" {word}" for _ in prompts for word in words]
    encoded = EncodedRows(encoder, [prompt for prompt in prompts for _ in words], targets)
    out = torch.empty(len(targets))
    for rows in by_length(encoded.lengths(), batch_size, lm.at_once):
        batch = encoder.collate(encoded[rows]).to(lm.device)
        batch = replace(batch, end=batch.end - 1)  # a word may go on: no end token
        losses, _ = TextLoss().by_token(lm, states(lm, batch, soft), batch)
        whose = torch.arange(len(rows), device=losses.device).repeat_interleave(batch.end - batch.last)
        out[rows] = -losses.new_zeros(len(rows)).index_add(0, whose, losses).cpu()
    return out.view(len(prompts), len(words))


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
