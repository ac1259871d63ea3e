"""Item indices (arXiv 2311.09049, section III-B): vectors to short sequences of codes that a language model can write.

``build`` gives the codes, ``report`` says what they are worth, `words` and `Trie` are how a language model meets them.
"""

from sellarec_lab.indices.assign import apart, balanced, sinkhorn, spread_out
from sellarec_lab.indices.build import Indices, build, collisions, errors, fit
from sellarec_lab.indices.quantise import (
    RQVAE,
    Quantised,
    kmeans_codebooks,
    quantise,
    reconstruction,
    squared_distances,
    train_rqvae,
)  # fmt: skip
from sellarec_lab.indices.report import category_codes, report
from sellarec_lab.indices.trie import Trie
from sellarec_lab.indices.words import load, save, split, vocabulary, words

__all__ = [
    "RQVAE", "Indices", "Quantised", "Trie", "apart", "balanced", "build", "category_codes", "collisions", "errors",
    "fit", "kmeans_codebooks", "load", "quantise", "reconstruction", "report", "save", "sinkhorn", "split",
    "spread_out", "squared_distances", "train_rqvae", "vocabulary", "words",
]  # fmt: skip
