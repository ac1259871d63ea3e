"""A small language model of one's own: tokenizer and pre-training, for where no weights of a hub can be had."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from sellarec_lab import runtime, training
from sellarec_lab.config import LoopConfig, MiniLMConfig
from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.runtime import Decision

END = "<|endoftext|>"


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer; the two answers are single tokens by their frequency."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, pad_token=END)


def new_model(config: MiniLMConfig, vocabulary: int) -> Qwen2ForCausalLM:
    """A randomly initialised Qwen2 with tied embeddings."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocabulary, hidden_size=config.hidden_size, intermediate_size=3 * config.hidden_size,
            num_hidden_layers=config.layers, num_attention_heads=config.heads, num_key_value_heads=config.heads,
            max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=None, eos_token_id=0, pad_token_id=0,
        )
    )  # fmt: skip


def of_words(words: Sequence[str], config: MiniLMConfig) -> LanguageModel:
    """A randomly initialised decoder whose vocabulary is ``words`` and an end token, which also begins every text; all
    of it trains."""
    plain = Tokenizer(models.WordLevel({END: 0}, unk_token=END))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, bos_token=END, eos_token=END, pad_token=END)
    tokenizer.add_tokens(list(words))
    model, on = new_model(config, len(tokenizer)), runtime.device()
    decided = {"device": on, "dtype": Decision("float32", "trained from nothing")}
    return LanguageModel(model.to(on.value), tokenizer, "decoder of words", "plain", decided)


class _NextToken(nn.Module):
    """Next-token cross-entropy over whole documents, answers weighted up (they are one token in ten)."""

    def __init__(self, model: Qwen2ForCausalLM, heavy: list[int], weight: float):
        super().__init__()
        self.model, self.weight = model, weight
        self.register_buffer("heavy", torch.tensor(heavy), persistent=False)

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        ids, mask = (part.to(self.model.device) for part in batch)
        hidden = self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state
        keep = mask[:, 1:].bool()
        target = ids[:, 1:][keep]
        loss = F.cross_entropy(self.model.lm_head(hidden[:, :-1][keep]), target, reduction="none")
        weights = torch.where(torch.isin(target, self.heavy), self.weight, 1.0)
        return (loss * weights).sum() / weights.sum()


def _padded(tokenizer, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [[*ids, tokenizer.eos_token_id] for ids in tokenizer(texts)["input_ids"]]
    lengths = np.array([len(r) for r in rows])
    filled = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(filled.shape, tokenizer.pad_token_id)
    ids[filled] = np.concatenate(rows)
    return torch.from_numpy(ids), torch.from_numpy(filled.astype(np.int64))


def pretrain(
    config: MiniLMConfig,
    documents: Callable[[int, float], list[str]],
    folder: Path,
    answers: tuple[str, ...] = (" Yes", " No"),
    label: str = "pre-training the mini-LLM",
) -> training.History:
    """Train a tokenizer and a mini-LLM from nothing and save both as a Hugging Face folder.

    Args:
        config: sizes and optimisation.
        documents: (count, progress in [0, 1]) -> that many texts; called as training goes on, so the mix can change.
        folder: where the model, the tokenizer and the checkpoint of a killed run lie.

    Returns:
        The training `History`.
    """
    torch.manual_seed(config.seed)
    sample = [text for part in (0.0, 0.5, 1.0) for text in documents(4000, part)]
    tokenizer = train_tokenizer(sample, config.vocabulary)
    model = new_model(config, len(tokenizer))
    chunk = 64  # batches drawn together and sorted by length, so that little is padded

    def batches(epoch: int) -> training.Batches:
        texts = sorted(documents(config.batch_size * chunk, epoch * chunk / config.steps), key=len)
        order = np.random.default_rng([config.seed, epoch]).permutation(chunk)
        alike = np.arange(len(texts)).reshape(chunk, config.batch_size)
        return training.Batches(alike[order], lambda rows: _padded(tokenizer, [texts[row] for row in rows]))

    loop = LoopConfig(
        learning_rate=config.learning_rate, batch_size=config.batch_size, epochs=max(1, config.steps // chunk),
        weight_decay=0.05, warmup=0.03, checkpoint_seconds=120,
    )  # fmt: skip
    heavy = [ids[0] for ids in tokenizer(list(answers))["input_ids"]]
    history = training.fit(
        _NextToken(model, heavy, config.answer_weight), batches, loop,
        label=label, seed=config.seed, checkpoint=folder / "checkpoint.safetensors",
    )  # fmt: skip
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return history
