"""Knowledge graphs: several that are linked, a teacher of all, and a smaller student of one (arXiv 2306.02679).

`load` gives known graphs by name, `from_triples` takes your own, `split_triples` holds some out; all come as `Graph`,
several of them with their links as `Graphs`. `teach` pre-trains a teacher over the background, `retrain` a student of
the target on the linked subgraph; a `GraphModel` ranks links and gives vectors. `train_triples` is what it is held
against: TransE, DistMult, RotatE or ConvE on one graph alone, a `TripleGraphModel` with the same verbs.
"""

from sellarec_lab.kg.build import from_triples, split_triples
from sellarec_lab.kg.combine import Combined, combine, some_links
from sellarec_lab.kg.files import LOADERS, load
from sellarec_lab.kg.graph import Graph, Graphs
from sellarec_lab.kg.known import GraphModel
from sellarec_lab.kg.known import load as load_model
from sellarec_lab.kg.learning import Distillation
from sellarec_lab.kg.lookup import Frequency, Lookup
from sellarec_lab.kg.model import PathModel, Paths
from sellarec_lab.kg.paths import Walker
from sellarec_lab.kg.pipeline import Pipeline, retrain, teach
from sellarec_lab.kg.questions import learn_to_answer, questions
from sellarec_lab.kg.ranking import LinkRanker, quality, queries
from sellarec_lab.kg.report import statistics, validate
from sellarec_lab.kg.subgraph import Subgraph, linked_subgraph, target_alone
from sellarec_lab.kg.triple_learning import train_triples, triple_stage
from sellarec_lab.kg.triples import TripleGraphModel, TripleModel

__all__ = [
    "Combined", "Distillation", "Frequency", "Graph", "GraphModel", "Graphs", "LOADERS", "LinkRanker", "Lookup",
    "PathModel", "Paths", "Pipeline", "Subgraph", "TripleGraphModel", "TripleModel", "Walker", "combine",
    "from_triples", "learn_to_answer", "linked_subgraph", "load", "load_model", "quality", "queries", "questions",
    "retrain", "some_links", "split_triples", "statistics", "target_alone", "teach", "train_triples", "triple_stage",
    "validate",
]  # fmt: skip
