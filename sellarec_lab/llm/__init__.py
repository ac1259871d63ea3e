"""The language model: backbone, 4-bit, LoRA, soft tokens in, scores out. The only room that knows transformers."""

from sellarec_lab.llm import _quiet  # noqa: F401
from sellarec_lab.llm.adapter import (
    AnswerLoss,
    adapter_parameters,
    attach,
    load_adapter,
    pairwise_loss,
    save_adapter,
    set_trainable,
)
from sellarec_lab.llm.attention import last_attention
from sellarec_lab.llm.backbone import (
    LanguageModel,
    describe,
    embedded_folder,
    estimate_memory,
    load,
    quantised_layers,
)
from sellarec_lab.llm.corpus import CatalogueCorpus
from sellarec_lab.llm.encode import Batch, Encoded, Encoder
from sellarec_lab.llm.minilm import new_model, pretrain, train_tokenizer
from sellarec_lab.llm.score import (
    SoftTokens,
    grouped_batches,
    last_hidden,
    score,
    score_shared,
    shuffled_batches,
    splice,
)

__all__ = [
    "AnswerLoss", "Batch", "CatalogueCorpus", "Encoded", "Encoder", "LanguageModel", "SoftTokens",
    "adapter_parameters", "attach", "describe", "embedded_folder", "estimate_memory", "grouped_batches",
    "last_attention", "last_hidden", "load", "load_adapter", "new_model", "pairwise_loss", "pretrain",
    "quantised_layers", "save_adapter", "score", "score_shared", "set_trainable", "shuffled_batches", "splice",
    "train_tokenizer",
]  # fmt: skip
