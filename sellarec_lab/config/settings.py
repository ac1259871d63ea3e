"""The settings of every stage as a frozen dataclass."""

from typing import Literal

from sellarec_lab.config.checked import Amount, Count, Dropout, Names, Positive, Share, Weight, require, settings
from sellarec_lab.config.loop import LoopConfig

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@settings
class MiniLMConfig:
    """A small Qwen2-architecture model that is pre-trained here, where no weights of a hub can be had."""

    hidden_size: Count = 128
    layers: Count = 4
    heads: Count = 4
    vocabulary: Count = 1200
    steps: Count = 8000
    batch_size: Count = 64
    learning_rate: Positive = 2e-3
    answer_weight: Weight = 10.0  # weight of an answer token in the pre-training loss: they are few
    seed: Amount = 1


@settings
class BackboneConfig:
    """Which language model, and how it is held in memory."""

    name: str = "embedded"  # ships with the lab; "catalogue" (made from the data), "smollm2", a hub id, folder or .gguf
    revision: str | None = None
    quantisation: Literal["auto", "nf4", "none"] = "auto"  # nf4 with double quantisation wherever bitsandbytes works
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    template: Literal["auto", "plain", "chat"] = "auto"  # the tokenizer's chat template where it has one
    gradient_checkpointing: bool = False
    pretraining: MiniLMConfig | None = None  # for "catalogue"


@settings
class LoraConfig:
    """The adapter (Hu et al., arXiv 2106.09685)."""

    r: Count = 16
    alpha: Count = 32
    dropout: Dropout = 0.05
    targets: Names = ALL_LINEAR


@settings
class PromptConfig:
    """What the prompt says; see `prompts.TEMPLATES`."""

    template: str = "tiny"
    history: Amount = 10  # most recent liked titles shown
    disliked: Amount = 0  # titles disliked since the oldest of those, most recent ones; the papers show none
    titles: Literal["own", "undated", "genres", "numbers", "shuffled"] = "own"  # see `data.shown_titles`


# a table of vectors learns fast and overfits fast: a high constant rate, strong decay, stopped on valid
CF_LOOP = LoopConfig(
    learning_rate=1e-2, batch_size=1024, epochs=60, weight_decay=1.0, schedule="constant", warmup=0.0, evaluations=1,
    patience=8,
)  # fmt: skip


@settings
class MFConfig:
    """Matrix factorisation."""

    dim: Count = 32
    biases: bool = True
    loop: LoopConfig = CF_LOOP


@settings
class LightGCNConfig:
    """LightGCN (arXiv 2002.02126) on the graph of likes in train."""

    dim: Count = 32
    layers: Amount = 2
    loop: LoopConfig = CF_LOOP


@settings
class SASRecConfig:
    """SASRec (arXiv 1808.09781), pointwise: the state after the liked items, times the candidate's vector."""

    dim: Count = 32
    layers: Count = 1
    heads: Count = 2
    dropout: Dropout = 0.5
    history: Count = 50  # most recent liked items that are read
    loop: LoopConfig = CF_LOOP


@settings
class NextItemConfig:
    """SASRec for the next item, with the softmax over the whole catalogue (arXiv 2309.07602)."""

    dim: Count = 64
    layers: Count = 2
    heads: Count = 2
    dropout: Dropout = 0.3
    history: Count = 50  # most recent items that are read
    loop: LoopConfig = LoopConfig(
        learning_rate=1e-3, batch_size=128, epochs=100, schedule="constant", evaluations=1, patience=10
    )


@settings
class NeighboursConfig:
    """Neighbours of items, for the next item."""

    history: Count = 20  # most recent items whose neighbours count
    fading: Share = 0.8  # the item n places back counts fading ** n


@settings
class DINConfig:
    """Deep Interest Network (arXiv 1706.06978): the liked items, weighted by their bearing on the candidate."""

    dim: Count = 32
    hidden: Count = 64
    dropout: Dropout = 0.5
    history: Count = 50
    loop: LoopConfig = CF_LOOP


@settings
class CodesConfig:
    """Binary codes of users and items, told to the language model as text (BinLLM, arXiv 2406.03210)."""

    bits: Count = 16
    loop: LoopConfig = CF_LOOP


@settings
class RLFMConfig:
    """Factors with learned priors that item semantics tell (Agarwal and Chen, KDD 2009)."""

    dim: Amount = 3  # free factors of an item, beside its features
    features: Count = 12  # principal components of the item semantics
    strength: Positive = 1.0  # of the prior of the free factors
    rounds: Count = 15  # of expectation maximisation


@settings
class AlignmentConfig:
    """Stage 2b: the collaborative model moves towards the item semantics (papers: section 1.5)."""

    temperature: Positive = 0.2
    weight: Weight = 0.1  # of the contrastive term beside the rating term; the paper has 1, valid prefers less
    loss: Literal["infonce", "rince"] = "infonce"  # "rince" is the robust form of the official code
    hidden: Count = 128  # width of the projector's inner layer
    semantics_move: bool = True  # bidirectional: the semantic table receives gradient too
    semantics_rate: Weight = 0.03  # its learning rate, as a share of the others'
    loop: LoopConfig = CF_LOOP


def _check_answers(config: "TuningConfig | InjectionConfig") -> None:
    """What stages 1 and 3 share."""
    alone = config.branches == 1 or config.loss_on == "answer"
    require(alone, "branches share the prompt that loss_on='prompt' is about; set branches=1 or loss_on='answer'")


@settings
class TuningConfig:
    """Stage 1: task tuning on text."""

    loss_on: Literal["answer", "prompt"] = "answer"  # "prompt": the whole text, as the official code does
    branches: Count = 1  # most candidates that stand behind one history in a step; what they share runs once
    older: Amount = 0  # likes that a history may lack, so that rows share it; 0: every history is up to date
    loop: LoopConfig = LoopConfig(learning_rate=2e-3, batch_size=64, epochs=1, evaluations=2)

    def __post_init__(self):
        _check_answers(self)


@settings
class InjectionConfig:
    """Stage 3: soft tokens enter the prompt."""

    # the paper trains the first three; with the adapter joining in, a small model learns to read the tokens far better
    trainable: Names = ("projector", "tables", "semantics", "lora")
    norm: Literal["words", "raw"] = "words"  # soft tokens start at the norm of real word embeddings; "raw" leaves them
    loss_on: Literal["answer", "prompt"] = "answer"  # as in stage 1
    pairwise: Weight = 0.0  # weight of a within-user pairwise term beside the answer's loss
    genres: Weight = 0.0  # weight of a term that asks for the genres that the user likes, beside the answer's loss
    branches: Count = 1  # as in stage 1
    older: Amount = 0
    loop: LoopConfig = LoopConfig(learning_rate=2e-3, batch_size=64, epochs=1, evaluations=2)

    def __post_init__(self):
        unknown = set(self.trainable) - {"projector", "tables", "semantics", "lora"}
        require(not unknown, f"trainable: unknown parts {sorted(unknown)}")
        require(len(self.trainable) > 0, "trainable: nothing would train; name one part at least")
        _check_answers(self)
