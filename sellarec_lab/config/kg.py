"""Knowledge graphs (arXiv 2306.02679): joint pre-training of a teacher, local re-training of a student.

The paper's sizes, rates and weights are not public; all defaults are this project's choice.
"""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from sellarec_lab.config.checked import Amount, Count, Dropout, Names, Odds, Positive, Share, Weight, require, settings
from sellarec_lab.config.loop import LoopConfig

COMBINATIONS = ("collapse", "swap", "extra relation", "disjoint")  # PyKEEN's names for a pair of graphs
ENCODERS = ("transformer", "skipping", "recurrent")
DECODERS = ("transe", "distmult", "rotate", "conve")


@settings
class PathConfig:
    """A model that reads relational paths, and the walks that it learns from."""

    # skips learn soonest on small graphs; a Transformer lies still for many epochs there
    encoder: Literal[*ENCODERS] = "skipping"
    dim: Count = 128
    layers: Count = 2
    heads: Count = 4
    dropout: Dropout = 0.2
    hops: Count = 2  # relations in a path
    depth: Odds = 0.7  # how much a walk shuns the neighbourhood that it comes from (RSN: 0.7); 0.5: not at all
    crossing: Odds = 0.5  # how much it seeks entities that several graphs share (RSN: 0.5, to align 0.9)
    negatives: Amount = 1024  # entities drawn anew each step that compete with the right one; 0: all of them
    smoothing: Dropout = 0.1  # label smoothing
    loop: LoopConfig = LoopConfig(
        learning_rate=2e-3, batch_size=512, epochs=20, weight_decay=0.0, evaluations=1, patience=4
    )

    def __post_init__(self):
        require(self.dim % self.heads == 0, f"dim must be a multiple of heads, got {self.dim} and {self.heads}")


@settings
class DistillationConfig:
    """What a student takes over from its teacher; a weight of 0 switches a level off."""

    features: Weight = 1.0  # entity vectors
    network: Weight = 0.5  # the encoder's states on the same path
    predictions: Weight = 0.5  # the distribution over what comes next
    temperature: Positive = 2.0


@settings
class TripleConfig:
    """A model of triples alone (TransE, DistMult, RotatE, ConvE).

    The defaults are DistMult's on FB15k-237, found on valid.
    """

    decoder: Literal[*DECODERS] = "distmult"
    dim: Count = 128  # numbers an entity; RotatE takes them for half as many complex ones
    norm: Annotated[int, Field(ge=1, le=2)] = 2  # of distances (TransE, RotatE): 1 or 2
    dropout: Dropout = 0.2
    negatives: Amount = 0  # entities drawn anew each step, for the self-adversarial loss; 0: softmax over all entities
    own_negatives: bool = False  # each row draws its own, instead of all rows sharing the step's
    margin: Weight = 9.0  # of distances, in the self-adversarial loss
    temperature: Weight = 1.0  # how much that loss minds hard negatives more; 0: not at all
    smoothing: Dropout = 0.0  # label smoothing of the softmax
    loop: LoopConfig = LoopConfig(
        learning_rate=3e-2, batch_size=256, epochs=5, weight_decay=0.0, evaluations=1, patience=4
    )

    def __post_init__(self):
        require(self.dim % 2 == 0, f"dim must be even, got {self.dim}")
        needless = "of the softmax over all entities"
        require(not (self.negatives and self.smoothing), f"smoothing is {needless}; set smoothing=0 or negatives=0")


_DISTANCES = LoopConfig(learning_rate=3e-2, batch_size=1024, epochs=8, weight_decay=0.0, evaluations=1, patience=4)


@settings
class KGConfig:
    """Several graphs, one of which is the target (`kg.Graphs.target`)."""

    graphs: str = "tiny"  # which ones, by the name that `kg.load` knows
    root: str = field(default="", metadata={"location": True})  # where their files lie, if they do not ship
    background: Names = ()  # the teacher's graphs; none named: all but the target
    combine: Literal[*COMBINATIONS] = "collapse"  # how linked entities meet
    alignment: Share = 1.0  # share of the links that is used
    noise: Share = 0.0  # share of the used links that is made wrong
    reach: Amount = 1  # relations from an aligned entity that the linked subgraph goes
    cap: Count = 50  # most neighbours that it takes of an entity, those of the highest degree
    subgraph: bool = True  # False: the student sees the target's triples alone
    teacher: PathConfig = PathConfig()
    student: PathConfig = PathConfig(dim=64)
    start: Literal["teacher", "random"] = (
        "teacher"  # the student's tables start at the teacher's principal components; "random"
    )
    distillation: DistillationConfig = DistillationConfig()
    distmult: TripleConfig = TripleConfig()
    transe: TripleConfig = TripleConfig(decoder="transe", dropout=0.0, negatives=1024, loop=_DISTANCES)
    rotate: TripleConfig = TripleConfig(decoder="rotate", dropout=0.0, negatives=1024, loop=_DISTANCES)
