"""Domain objects in, pictures out: plotly figures, tables and html that touch no network and no model.

Every figure is static as well: `to_html` makes a page that opens offline. UMAP is imported when a map asks for it.
"""

from sellarec_lab.views.attention import attention_by_layer, attention_table
from sellarec_lab.views.costs import cost_against_quality
from sellarec_lab.views.curves import training_curves
from sellarec_lab.views.graphs import neighbourhood
from sellarec_lab.views.indices import beam_tree, index_tree
from sellarec_lab.views.maps import alignment_map, coordinates, mixing
from sellarec_lab.views.over_time import alignment_over_time, draw_walk, scores_over_time
from sellarec_lab.views.prompt import Html, attribution, prompt_tokens
from sellarec_lab.views.results import gap_closed, paired_forest, results_forest
from sellarec_lab.views.scores import calibration, score_against_truth
from sellarec_lab.views.style import PALETTE, SLOT_COLOURS, TEMPLATE, to_html
from sellarec_lab.views.vectors import alignment_scores, nearest_items, nearest_words, nearness, norms, parameters_table
from sellarec_lab.views.walk import WalkMap, neighbourhoods, walk_map
from sellarec_lab.views.walk_scene import walk_scene
from sellarec_lab.views.world import history_lengths, interaction_timeline

__all__ = [
    "PALETTE", "SLOT_COLOURS", "TEMPLATE", "Html", "WalkMap", "alignment_map", "alignment_over_time",
    "alignment_scores", "attention_by_layer", "attention_table", "attribution", "beam_tree", "calibration",
    "coordinates", "cost_against_quality", "draw_walk", "gap_closed", "history_lengths", "index_tree",
    "interaction_timeline", "mixing", "nearest_items", "nearest_words", "nearness", "neighbourhood", "neighbourhoods",
    "norms", "paired_forest", "parameters_table", "prompt_tokens", "results_forest", "score_against_truth",
    "scores_over_time", "to_html", "training_curves", "walk_map", "walk_scene",
]  # fmt: skip
