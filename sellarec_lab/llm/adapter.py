"""LoRA through PEFT: put on, saved, loaded, switched on and off; with rows for words that a system adds."""

import contextlib
import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import peft
import torch
from torch import nn

from sellarec_lab import runtime
from sellarec_lab.config import LoraConfig
from sellarec_lab.llm.backbone import LanguageModel

_TRAINS = ("lora_", "trainable_tokens_delta")  # in the names of all that an adapter trains
_WORDS = "new_words.json"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """PEFT asks transformers by a name that is about to go; the user can do nothing about it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
        yield


def attach(
    lm: LanguageModel, config: LoraConfig, gradient_checkpointing: bool = False, words: Sequence[str] = (),
    starts: torch.Tensor | None = None,
) -> None:  # fmt: skip
    """Wrap the backbone with a fresh LoRA adapter, in place. Adapter weights are float32 on any backbone.

    ``words`` are added to the vocabulary; their rows, and no others, train and are saved with the adapter. They start
    at ``starts`` [words, width], or where the backbone has them.

    Raises:
        ValueError: the backbone has an adapter already, or none of the target modules exists in it.
    """
    if isinstance(lm.model, peft.PeftModel):
        raise ValueError("the backbone has an adapter already; load the backbone again")
    ids = _add_words(lm, words)
    if starts is not None:
        with torch.no_grad():
            lm.base.get_input_embeddings().weight[ids] = starts.to(lm.base.get_input_embeddings().weight)
    settings = peft.LoraConfig(
        r=config.r, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets),
        task_type="CAUSAL_LM", trainable_token_indices=ids,
    )  # fmt: skip
    if gradient_checkpointing:
        lm.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        lm.model.enable_input_require_grads()
    with _quiet():
        lm.model = peft.get_peft_model(lm.model, settings)


def _add_words(lm: LanguageModel, words: Sequence[str]) -> list[int] | None:
    """Ids of new words of the vocabulary, for which the table of embeddings has a row; None without words.

    Raises:
        ValueError: the vocabulary holds one of them already.
    """
    known = lm.tokenizer.get_vocab()
    if old := [word for word in words if word in known]:
        raise ValueError(f"the vocabulary holds {old[0]!r} already; choose other words")
    if not words:
        return None
    lm.tokenizer.add_tokens(list(words))
    if len(lm.tokenizer) > lm.base.get_input_embeddings().num_embeddings:
        lm.base.resize_token_embeddings(len(lm.tokenizer), mean_resizing=False)
    return lm.tokenizer.convert_tokens_to_ids(list(words))


def adapter_parameters(lm: LanguageModel) -> dict[str, nn.Parameter]:
    """All that the adapter trains: LoRA's matrices, and the rows of words that were added."""
    return {name: p for name, p in lm.model.named_parameters() if any(part in name for part in _TRAINS)}


def set_trainable(lm: LanguageModel, trainable: bool) -> None:
    """Switch the adapter's gradients; everything else in the backbone stays frozen."""
    for parameter in adapter_parameters(lm).values():
        parameter.requires_grad_(trainable)


def save_adapter(lm: LanguageModel, folder: str | Path) -> None:
    """Save the adapter alone, in PEFT's own layout: ``PeftModel.from_pretrained`` loads it."""
    if not runtime.is_main():
        return
    lm.model.save_pretrained(str(folder), save_embedding_layers=False)  # "auto" writes the whole table for one new word
    ids = lm.model.peft_config["default"].trainable_token_indices
    if ids:
        runtime.write_text(Path(folder) / _WORDS, json.dumps(lm.tokenizer.convert_ids_to_tokens(ids)))


def load_adapter(lm: LanguageModel, folder: str | Path) -> None:
    """Put a saved adapter on the backbone, in place.

    Raises:
        FileNotFoundError: the folder holds no adapter; PEFT would ask a hub for it.
        ValueError: the adapter holds other weights than the model expects, or numbers that are not finite.
    """
    folder = Path(folder)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder}: no {name}; save the adapter once more")
    if (folder / _WORDS).is_file():
        _add_words(lm, json.loads((folder / _WORDS).read_text(encoding="utf-8")))
    with _quiet():
        model = peft.PeftModel.from_pretrained(lm.model, str(folder))
    stored = peft.utils.load_peft_weights(str(folder))
    expected = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
    if stored.keys() != expected.keys():
        odd = sorted(stored.keys() ^ expected.keys())[:3]
        raise ValueError(f"{folder}: the adapter does not fit this backbone, for example {odd}")
    if odd := [name for name, weight in stored.items() if not torch.isfinite(weight).all()]:
        raise ValueError(f"{folder}: {odd[0]} holds numbers that are not finite")
    lm.model = model
