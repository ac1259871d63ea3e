"""SeLLa-Rec: task tuning, distillation, alignment, injection; and its relatives as recipes of the same machine."""

from sellarec_lab.sella.explanation import AnswerToken, Attention, Explanation, LeftOut, Span, explain
from sellarec_lab.sella.factors import factors_stage
from sellarec_lab.sella.graph import known_items
from sellarec_lab.sella.pipeline import Pipeline
from sellarec_lab.sella.recipes import RECIPES, Recipe, recipe
from sellarec_lab.sella.recommender import Recommender, load
from sellarec_lab.sella.shortcuts import (
    align,
    aligned_model,
    distil,
    histories,
    inject,
    new_projector,
    snapshots,
    stages,
    starting_head,
    train,
    train_collab,
    tune,
    tuned,
)

__all__ = [
    "RECIPES", "AnswerToken", "Attention", "Explanation", "LeftOut", "Pipeline", "Recipe", "Recommender", "Span",
    "align", "aligned_model", "distil", "explain", "factors_stage", "histories", "inject", "known_items", "load",
    "new_projector", "recipe", "snapshots", "stages", "starting_head", "train", "train_collab", "tune", "tuned",
]  # fmt: skip
