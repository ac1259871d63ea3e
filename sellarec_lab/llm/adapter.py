"""LoRA through PEFT, and what it trains: stage 1's objective."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

import peft
import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab.config import LoraConfig
from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Batch
from sellarec_lab.llm.score import SoftTokens, splice


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PEFT asks transformers by a name that is about to go; the user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def attach(lm: LanguageModel, config: LoraConfig, gradient_checkpointing: bool = False) -> None:
    """Wrap the backbone with a fresh LoRA adapter, in place. Adapter weights are float32 on any backbone.

    Raises:
        ValueError: the backbone has an adapter already, or none of the target modules exists in it.
    """
    if isinstance(lm.model, peft.PeftModel):
        raise ValueError("the backbone has an adapter already; load the backbone again")
    settings = peft.LoraConfig(
        r=config.r, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets),
        task_type="CAUSAL_LM",
    )  # fmt: skip
    if gradient_checkpointing:
        lm.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        lm.model.enable_input_require_grads()
    with _quiet():
        lm.model = peft.get_peft_model(lm.model, settings)


def adapter_parameters(lm: LanguageModel) -> dict[str, nn.Parameter]:
    return {name: p for name, p in lm.model.named_parameters() if "lora_" in name}


def set_trainable(lm: LanguageModel, trainable: bool) -> None:
    """Switch the adapter's gradients; everything else in the backbone stays frozen."""
    for parameter in adapter_parameters(lm).values():
        parameter.requires_grad_(trainable)


def save_adapter(lm: LanguageModel, folder: Path) -> None:
    """Save the adapter alone, in PEFT's own layout: ``PeftModel.from_pretrained`` loads it."""
    lm.model.save_pretrained(str(folder))


def load_adapter(lm: LanguageModel, folder: Path) -> None:
    """Put a saved adapter on the backbone, in place.

    Raises:
        ValueError: the adapter holds other weights than the model expects.
    """
    with _quiet():
        model = peft.PeftModel.from_pretrained(lm.model, str(folder))
    stored = peft.utils.load_peft_weights(str(folder))
    expected = peft.get_peft_model_state_dict(model)
    if stored.keys() != expected.keys():
        odd = sorted(stored.keys() ^ expected.keys())[:3]
        raise ValueError(f"{folder}: the adapter does not fit this backbone, for example {odd}")
    lm.model = model


class AnswerLoss(nn.Module):
    """Next-token cross-entropy on the answer (arXiv 2504.10107, stages 1 and 3), or on the whole prompt too.

    Only the position before the answer is projected on the vocabulary, unless the prompt is under the loss
    (``whole``). ``pairwise`` is the weight of a second term (BPR, arXiv 1205.2618): within a user, what was liked
    should score above what was not.
    """

    def __init__(
        self,
        lm: LanguageModel,
        answers: tuple[int, int],
        soft: nn.Module | None = None,
        whole: bool = False,
        pairwise: float = 0.0,
    ):
        super().__init__()
        self.model, self.soft = lm.model, soft  # registered, so that their parameters are found
        self._lm, self._answers, self._whole, self._pairwise = lm, answers, whole, pairwise

    def forward(self, batch: Batch) -> torch.Tensor:
        batch = batch.to(self._lm.device)
        soft: SoftTokens | None = self.soft
        hidden = self._lm.hidden(splice(self._lm, batch, soft), batch.mask)
        rows = torch.arange(len(hidden), device=hidden.device)
        yes, no = self._answers
        answer = torch.where(batch.labels > 0.5, yes, no)
        logits = self._lm.logits(hidden[rows, batch.last])
        pairs = 0.0
        if self._pairwise:
            both = self._lm.answer_logits(hidden[rows, batch.last], self._answers)
            pairs = self._pairwise * pairwise_loss(both[:, 0] - both[:, 1], batch)
        if not self._whole:
            return F.cross_entropy(logits, answer) + pairs
        keep = batch.mask[:, 1:].bool()
        if len(batch.row):  # a soft token has no id to predict
            keep = keep.index_put((batch.row, batch.column - 1), torch.zeros_like(batch.row, dtype=torch.bool))
        prompt = self._lm.logits(hidden[:, :-1][keep])
        return F.cross_entropy(torch.cat([logits, prompt]), torch.cat([answer, batch.ids[:, 1:][keep]])) + pairs


def pairwise_loss(scores: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Mean of -log sigmoid(s_i - s_j) over all pairs of rows of one user with i liked and j not; 0 without pairs.

    ``scores`` are [B].
    """
    liked = batch.labels > 0.5
    pairs = (batch.group[:, None] == batch.group[None, :]) & liked[:, None] & ~liked[None, :]  # [B, B]
    if not pairs.any():
        return scores.sum() * 0.0
    return F.softplus(scores[None, :] - scores[:, None])[pairs].mean()
