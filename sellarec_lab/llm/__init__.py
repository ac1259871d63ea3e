"""The language model: backbone, 4-bit, LoRA, soft tokens in, scores out. The only room that knows transformers."""

from sellarec_lab.llm import _quiet  # noqa: F401
from sellarec_lab.llm.adapter import adapter_parameters, attach, load_adapter, save_adapter, set_trainable
from sellarec_lab.llm.asking import chosen_words, continuations
from sellarec_lab.llm.attention import last_attention
from sellarec_lab.llm.backbone import (
    LanguageModel,
    ask_hub,
    describe,
    embedded_folder,
    estimate_memory,
    load,
    place,
    quantised_layers,
)
from sellarec_lab.llm.corpus import CatalogueCorpus
from sellarec_lab.llm.decode import Beams, Step, Tree, beam_search, grow, tree_scores, write
from sellarec_lab.llm.encode import Batch, Encoded, Encoder, Slots
from sellarec_lab.llm.examples import EncodedRows, Examples, by_length, grouped_rows, shuffled_rows
from sellarec_lab.llm.finetune import finetune
from sellarec_lab.llm.losses import (
    AnswerLoss,
    GenreLoss,
    Loss,
    Objective,
    PairLoss,
    TextLoss,
    pairwise_loss,
    target_loss,
    text_loss,
)
from sellarec_lab.llm.minilm import new_model, of_words, pretrain, train_tokenizer
from sellarec_lab.llm.pretrained import READY, ready_model
from sellarec_lab.llm.score import SoftTokens, alike, last_hidden, score, score_shared, splice
from sellarec_lab.llm.stored import inputs, pretraining, ready, save_whole, stored, whole

__all__ = [
    "READY", "AnswerLoss", "Batch", "Beams", "CatalogueCorpus", "Encoded", "EncodedRows", "Encoder", "Examples",
    "GenreLoss", "LanguageModel", "Loss", "Objective", "PairLoss", "Slots", "SoftTokens", "Step", "TextLoss", "Tree",
    "adapter_parameters", "alike", "ask_hub", "attach", "beam_search", "by_length", "chosen_words", "continuations",
    "describe", "embedded_folder", "estimate_memory", "finetune", "grouped_rows", "grow", "inputs",
    "last_attention", "last_hidden", "load", "load_adapter", "new_model", "of_words", "pairwise_loss", "place",
    "pretrain", "pretraining", "quantised_layers", "ready", "ready_model", "save_adapter", "save_whole", "score",
    "score_shared", "set_trainable", "shuffled_rows", "splice", "stored", "target_loss", "text_loss",
    "train_tokenizer", "tree_scores", "whole", "write",
]  # fmt: skip
