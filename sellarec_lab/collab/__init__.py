"""Collaborative models: what co-ratings alone can tell.

Five that learn (`train` takes the config of any: matrix factorisation, LightGCN, SASRec, DIN, binary codes), baselines
that only count, and a door for embedding tables made elsewhere. All are trained pointwise, with a logistic loss on the
train rows, and stopped on valid AUC, so that they differ in nothing but the model. RLFM, which reads features of items
too, learns its priors by expectation maximisation instead.
"""

from sellarec_lab.collab.codes import BinaryCodes, Bits, binarised
from sellarec_lab.collab.counts import (
    Counts,
    MeanSoFar,
    item_mean_scores,
    mean_scores,
    popularity_scores,
    user_mean_scores,
)  # fmt: skip
from sellarec_lab.collab.lightgcn import LightGCN
from sellarec_lab.collab.mf import MatrixFactorisation
from sellarec_lab.collab.next_item import ItemNeighbours, NextItemSASRec, PopularNext, next_item_stage, train_next_item
from sellarec_lab.collab.pointwise import Pointwise, rating_batches
from sellarec_lab.collab.rlfm import RLFM, train_rlfm
from sellarec_lab.collab.sequential import DIN, SASRec, padded_histories
from sellarec_lab.collab.trainer import MODELS, Kind, new, stage, train
from sellarec_lab.collab.vectors import FixedVectors, Vectors, from_vectors

__all__ = [
    "DIN", "MODELS", "BinaryCodes", "Bits", "Counts", "FixedVectors", "ItemNeighbours", "Kind", "LightGCN",
    "MatrixFactorisation", "MeanSoFar", "NextItemSASRec", "Pointwise", "PopularNext", "RLFM", "SASRec", "Vectors",
    "binarised", "from_vectors", "item_mean_scores", "mean_scores", "new", "next_item_stage", "padded_histories",
    "popularity_scores", "rating_batches", "stage", "train", "train_next_item", "train_rlfm", "user_mean_scores",
]  # fmt: skip
