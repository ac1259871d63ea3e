"""SeLLa-Rec: task tuning, distillation, alignment, injection; and its relatives as recipes of the same machine."""

from sellarec_lab.sella.answers import tokens
from sellarec_lab.sella.explanation import AnswerToken, Attention, Explanation, LeftOut, Span, explain
from sellarec_lab.sella.injection import histories, inject, new_projector, stage_artifacts
from sellarec_lab.sella.recipes import RECIPES, Recipe, recipe
from sellarec_lab.sella.recommender import Codes, Memory, Recommender, load
from sellarec_lab.sella.stages import (
    align,
    aligned_model,
    collab_artifact,
    distil,
    load_backbone,
    snapshots,
    train_collab,
    tune,
    tuned,
)

__all__ = [
    "RECIPES", "AnswerToken", "Attention", "Codes", "Explanation", "LeftOut", "Memory", "Recipe", "Recommender", "Span",
    "align", "aligned_model", "collab_artifact", "distil", "explain", "histories", "inject", "load", "load_backbone",
    "new_projector", "recipe", "snapshots", "stage_artifacts", "tokens", "train", "train_collab", "tune", "tuned",
]  # fmt: skip


def train(cfg, data, recipe_name: str = "sella") -> Recommender:
    """Run every stage that a recipe needs, resuming what is there, and return the recommender."""
    return inject(cfg, data, recipe(recipe_name))
