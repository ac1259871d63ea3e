"""Item indices for LC-Rec (arXiv 2311.09049): a few codes an item, close items alike in the first of them.

Vectors become codes by residual k-means or an RQ-VAE (`build`, `fit`); what two items share is repaired; codes become
words of a language model (`tokens`), and a `Trie` says which word may follow. `report` measures an index.
"""

from sellarec_lab.indices.assign import balanced, sinkhorn
from sellarec_lab.indices.build import Fitted, build, fit
from sellarec_lab.indices.quantise import Quantised, code_vectors, quantise, residual_kmeans
from sellarec_lab.indices.report import category_codes, report
from sellarec_lab.indices.rqvae import RQVAE
from sellarec_lab.indices.trie import Children, Held, Trie
from sellarec_lab.indices.words import load, save, tokens, vocabulary

__all__ = [
    "RQVAE", "Children", "Fitted", "Held", "Quantised", "Trie", "balanced", "build", "category_codes", "code_vectors",
    "fit", "load", "quantise", "report", "residual_kmeans", "save", "sinkhorn", "tokens", "vocabulary",
]  # fmt: skip
