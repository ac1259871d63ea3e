"""Knowledge graphs (arXiv 2306.02679): joint pre-training of a teacher, local re-training of a student.

The paper's sizes, rates and weights are not public; all defaults are this project's choice.
"""

from dataclasses import dataclass, field

from sellarec_lab.config.loop import LoopConfig, require

COMBINATIONS = ("collapse", "swap", "extra relation", "disjoint")  # PyKEEN's names for a pair of graphs
ENCODERS = ("transformer", "skipping", "recurrent")
DECODERS = ("transe", "distmult", "rotate", "conve")


@dataclass(frozen=True)
class PathConfig:
    """A model that reads relational paths, and the walks that it learns from."""

    encoder: str = "skipping"  # learns soonest on small graphs; a Transformer lies still for many epochs there
    dim: int = 128
    layers: int = 2
    heads: int = 4
    dropout: float = 0.2
    hops: int = 2  # relations in a path
    depth: float = 0.7  # how much a walk shuns the neighbourhood that it comes from (RSN: 0.7); 0.5: not at all
    crossing: float = 0.5  # how much it seeks entities that several graphs share (RSN: 0.5, to align 0.9)
    negatives: int = 1024  # entities drawn anew each step that compete with the right one; 0: all of them
    smoothing: float = 0.1  # label smoothing
    loop: LoopConfig = LoopConfig(
        learning_rate=2e-3, batch_size=512, epochs=20, weight_decay=0.0, evaluations=1, patience=4
    )

    def __post_init__(self):
        require(self.encoder in ENCODERS, f"encoder is one of {', '.join(ENCODERS)}, got {self.encoder!r}")
        for name in ("dim", "layers", "heads", "hops"):
            require(getattr(self, name) > 0, f"{name} must be positive, got {getattr(self, name)}")
        require(self.dim % self.heads == 0, f"dim must be a multiple of heads, got {self.dim} and {self.heads}")
        for name in ("depth", "crossing"):  # at 0 or 1 a walk could find no way on
            require(0 < getattr(self, name) < 1, f"{name} lies between 0 and 1, got {getattr(self, name)}")
        require(0 <= self.dropout < 1, f"dropout lies from 0 to below 1, got {self.dropout}")
        require(0 <= self.smoothing < 1, f"smoothing lies from 0 to below 1, got {self.smoothing}")
        require(self.negatives >= 0, f"negatives must not be negative, got {self.negatives}")


@dataclass(frozen=True)
class DistillationConfig:
    """What a student takes over from its teacher; a weight of 0 switches a level off."""

    features: float = 1.0  # entity vectors
    network: float = 0.5  # the encoder's states on the same path
    predictions: float = 0.5  # the distribution over what comes next
    temperature: float = 2.0

    def __post_init__(self):
        for name in ("features", "network", "predictions"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        require(self.temperature > 0, f"temperature must be positive, got {self.temperature}")


@dataclass(frozen=True)
class TripleConfig:
    """A model of triples alone (TransE, DistMult, RotatE, ConvE).

    The defaults are DistMult's on FB15k-237, found on valid.
    """

    decoder: str = "distmult"
    dim: int = 128  # numbers an entity; RotatE takes them for half as many complex ones
    norm: int = 2  # of distances (TransE, RotatE): 1 or 2
    dropout: float = 0.2
    negatives: int = 0  # entities drawn anew each step, for the self-adversarial loss; 0: softmax over all entities
    own_negatives: bool = False  # each row draws its own, instead of all rows sharing the step's
    margin: float = 9.0  # of distances, in the self-adversarial loss
    temperature: float = 1.0  # how much that loss minds hard negatives more; 0: not at all
    smoothing: float = 0.0  # label smoothing of the softmax
    loop: LoopConfig = LoopConfig(
        learning_rate=3e-2, batch_size=256, epochs=5, weight_decay=0.0, evaluations=1, patience=4
    )

    def __post_init__(self):
        require(self.decoder in DECODERS, f"decoder is one of {', '.join(DECODERS)}, got {self.decoder!r}")
        require(self.dim > 0 and self.dim % 2 == 0, f"dim must be even and positive, got {self.dim}")
        require(self.norm in (1, 2), f"norm is 1 or 2, got {self.norm}")
        require(0 <= self.dropout < 1, f"dropout lies from 0 to below 1, got {self.dropout}")
        require(0 <= self.smoothing < 1, f"smoothing lies from 0 to below 1, got {self.smoothing}")
        for name in ("negatives", "margin", "temperature"):
            require(getattr(self, name) >= 0, f"{name} must not be negative, got {getattr(self, name)}")
        needless = "of the softmax over all entities"
        require(not (self.negatives and self.smoothing), f"smoothing is {needless}; set smoothing=0 or negatives=0")


_DISTANCES = LoopConfig(learning_rate=3e-2, batch_size=1024, epochs=8, weight_decay=0.0, evaluations=1, patience=4)


@dataclass(frozen=True)
class KGConfig:
    """Several graphs, one of which is the target (`kg.Graphs.target`)."""

    graphs: str = "tiny"  # which ones, by the name that `kg.load` knows
    root: str = field(default="", metadata={"location": True})  # where their files lie, if they do not ship
    background: tuple[str, ...] = ()  # the teacher's graphs; none named: all but the target
    combine: str = "collapse"  # how linked entities meet
    alignment: float = 1.0  # share of the links that is used
    noise: float = 0.0  # share of the used links that is made wrong
    reach: int = 1  # relations from an aligned entity that the linked subgraph goes
    cap: int = 50  # most neighbours that it takes of an entity, those of the highest degree
    subgraph: bool = True  # False: the student sees the target's triples alone
    teacher: PathConfig = PathConfig()
    student: PathConfig = PathConfig(dim=64)
    start: str = "teacher"  # the student's tables start at the teacher's principal components; "random"
    distillation: DistillationConfig = DistillationConfig()
    distmult: TripleConfig = TripleConfig()
    transe: TripleConfig = TripleConfig(decoder="transe", dropout=0.0, negatives=1024, loop=_DISTANCES)
    rotate: TripleConfig = TripleConfig(decoder="rotate", dropout=0.0, negatives=1024, loop=_DISTANCES)

    def __post_init__(self):
        require(self.combine in COMBINATIONS, f"combine is one of {', '.join(COMBINATIONS)}, got {self.combine!r}")
        require(self.start in ("teacher", "random"), f"start is 'teacher' or 'random', got {self.start!r}")
        for name in ("alignment", "noise"):
            require(0 <= getattr(self, name) <= 1, f"{name} lies from 0 to 1, got {getattr(self, name)}")
        require(self.reach >= 0, f"reach must not be negative, got {self.reach}")
        require(self.cap > 0, f"cap must be positive, got {self.cap}")
