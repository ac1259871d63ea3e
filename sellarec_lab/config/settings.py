"""The settings of every stage as a frozen dataclass."""

from dataclasses import dataclass

from sellarec_lab.config.loop import LoopConfig, require

ALL_LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class MiniLMConfig:
    """A small Qwen2-architecture model that is pre-trained here, where no weights of a hub can be had."""

    hidden_size: int = 128
    layers: int = 4
    heads: int = 4
    vocabulary: int = 1200
    steps: int = 8000
    batch_size: int = 64
    learning_rate: float = 2e-3
    answer_weight: float = 10.0  # weight of an answer token in the pre-training loss: they are few
    seed: int = 1


@dataclass(frozen=True)
class BackboneConfig:
    """Which language model, and how it is held in memory."""

    name: str = "embedded"  # ships with the lab; "catalogue" (made from the data), "smollm2", a hub id, folder or .gguf
    revision: str | None = None
    quantisation: str = "auto"  # "nf4", "none" or "auto": nf4 with double quantisation wherever bitsandbytes works
    dtype: str = "auto"  # "float32", "bfloat16", "float16" or "auto"
    template: str = "auto"  # "plain", "chat" or "auto": the tokenizer's chat template where it has one
    gradient_checkpointing: bool = False
    pretraining: MiniLMConfig | None = None  # for "catalogue"

    def __post_init__(self):
        require(self.quantisation in ("auto", "nf4", "none"), f"quantisation: {self.quantisation!r} is unknown")
        require(self.dtype in ("auto", "float32", "bfloat16", "float16"), f"dtype: {self.dtype!r} is unknown")
        require(self.template in ("auto", "plain", "chat"), f"template: {self.template!r} is unknown")


@dataclass(frozen=True)
class LoraConfig:
    """The adapter (Hu et al., arXiv 2106.09685)."""

    r: int = 16
    alpha: int = 32
    dropout: float = 0.05
    targets: tuple[str, ...] = ALL_LINEAR


@dataclass(frozen=True)
class PromptConfig:
    """What the prompt says; see `prompts.TEMPLATES`."""

    template: str = "tiny"
    history: int = 10  # most recent liked titles shown


# a table of vectors learns fast and overfits fast: a high constant rate, strong decay, stopped on valid
CF_LOOP = LoopConfig(
    learning_rate=1e-2, batch_size=1024, epochs=60, weight_decay=1.0, schedule="constant", warmup=0.0, evaluations=1,
    patience=8,
)  # fmt: skip


@dataclass(frozen=True)
class MFConfig:
    """Matrix factorisation."""

    dim: int = 32
    biases: bool = True
    loop: LoopConfig = CF_LOOP


@dataclass(frozen=True)
class LightGCNConfig:
    """LightGCN (arXiv 2002.02126) on the graph of likes in train."""

    dim: int = 32
    layers: int = 2
    loop: LoopConfig = CF_LOOP


@dataclass(frozen=True)
class SASRecConfig:
    """SASRec (arXiv 1808.09781), pointwise: the state after the liked items, times the candidate's vector."""

    dim: int = 32
    layers: int = 1
    heads: int = 2
    dropout: float = 0.5
    history: int = 50  # most recent liked items that are read
    loop: LoopConfig = CF_LOOP


@dataclass(frozen=True)
class NextItemConfig:
    """SASRec for the next item, with the softmax over the whole catalogue (arXiv 2309.07602)."""

    dim: int = 64
    layers: int = 2
    heads: int = 2
    dropout: float = 0.3
    history: int = 50  # most recent items that are read
    loop: LoopConfig = LoopConfig(
        learning_rate=1e-3, batch_size=128, epochs=100, schedule="constant", evaluations=1, patience=10
    )


@dataclass(frozen=True)
class NeighboursConfig:
    """Neighbours of items, for the next item."""

    history: int = 20  # most recent items whose neighbours count
    fading: float = 0.8  # the item n places back counts fading ** n


@dataclass(frozen=True)
class DINConfig:
    """Deep Interest Network (arXiv 1706.06978): the liked items, weighted by their bearing on the candidate."""

    dim: int = 32
    hidden: int = 64
    dropout: float = 0.5
    history: int = 50
    loop: LoopConfig = CF_LOOP


@dataclass(frozen=True)
class CodesConfig:
    """Binary codes of users and items, told to the language model as text (BinLLM, arXiv 2406.03210)."""

    bits: int = 16
    loop: LoopConfig = CF_LOOP


@dataclass(frozen=True)
class AlignmentConfig:
    """Stage 2b: the collaborative model moves towards the item semantics (papers: section 1.5)."""

    temperature: float = 0.2
    weight: float = 0.1  # of the contrastive term beside the rating term; the paper has 1, valid prefers less
    loss: str = "infonce"  # or "rince", the robust form of the official code
    hidden: int = 128  # width of the projector's inner layer
    semantics_move: bool = True  # bidirectional: the semantic table receives gradient too
    semantics_rate: float = 0.03  # its learning rate, as a share of the others'
    loop: LoopConfig = CF_LOOP

    def __post_init__(self):
        require(self.loss in ("infonce", "rince"), f"alignment loss is 'infonce' or 'rince', got {self.loss!r}")


def _check_answers(settings: "TuningConfig | InjectionConfig") -> None:
    """What stages 1 and 3 share."""
    loss_on, branches = settings.loss_on, settings.branches
    require(loss_on in ("answer", "prompt"), f"loss_on is 'answer' or 'prompt', got {loss_on!r}")
    require(branches > 0, f"branches must be positive, got {branches}")
    require(settings.older >= 0, f"older must not be negative, got {settings.older}")
    alone = branches == 1 or loss_on == "answer"
    require(alone, "branches share the prompt that loss_on='prompt' is about; set branches=1 or loss_on='answer'")


@dataclass(frozen=True)
class TuningConfig:
    """Stage 1: task tuning on text."""

    loss_on: str = "answer"  # or "prompt": the whole text, as the official code does
    branches: int = 1  # most candidates that stand behind one history in a step; what they share runs once
    older: int = 0  # likes that a history may lack, so that rows share it; 0: every history is up to date
    loop: LoopConfig = LoopConfig(learning_rate=2e-3, batch_size=64, epochs=1, evaluations=2)

    def __post_init__(self):
        _check_answers(self)


@dataclass(frozen=True)
class InjectionConfig:
    """Stage 3: soft tokens enter the prompt."""

    # the paper trains the first three; with the adapter joining in, a small model learns to read the tokens far better
    trainable: tuple[str, ...] = ("projector", "tables", "semantics", "lora")
    norm: str = "words"  # soft tokens start at the norm of real word embeddings; "raw" leaves them
    loss_on: str = "answer"  # as in stage 1
    pairwise: float = 0.0  # weight of a within-user pairwise term beside the answer's loss
    branches: int = 1  # as in stage 1
    older: int = 0
    loop: LoopConfig = LoopConfig(learning_rate=2e-3, batch_size=64, epochs=1, evaluations=2)

    def __post_init__(self):
        unknown = set(self.trainable) - {"projector", "tables", "semantics", "lora"}
        require(not unknown, f"injection.trainable: unknown parts {sorted(unknown)}")
        _check_answers(self)
