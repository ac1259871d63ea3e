"""Knowledge graphs: loaders, checks, and what they say of the data.

`load` gives known graphs by name, `from_triples` takes your own, `split_triples` holds some out. All come as `Graph`,
several of them with their links as `Graphs`.
"""

from sellarec_lab.kg.build import from_triples, split_triples
from sellarec_lab.kg.files import LOADERS, load
from sellarec_lab.kg.graph import Graph, Graphs
from sellarec_lab.kg.report import statistics, validate

__all__ = ["LOADERS", "Graph", "Graphs", "from_triples", "load", "split_triples", "statistics", "validate"]
