"""Many models, one protocol, one table.

Every model scores the same test rows once, after its training and selection on valid are over. Finished cells are
never made again; a cell that fails is a row with its error, and the rest goes on.
"""

from sellarec_lab.compare.fusion import fuse
from sellarec_lab.compare.methods import CORE, METHODS, TITLES, Method, method, models_for
from sellarec_lab.compare.protocol import Scored, artifacts, cell, costs, finished, full_ranking, plan, predictions, run
from sellarec_lab.compare.sanity import renumber, sanity
from sellarec_lab.compare.tables import METRICS, Summary, cells, paired_tests, parts, summary, table
from sellarec_lab.compare.text import markdown, section, write_section

__all__ = [
    "CORE", "METHODS", "METRICS", "TITLES", "Method", "Scored", "Summary", "artifacts", "cell", "cells", "costs",
    "finished", "full_ranking", "fuse", "markdown", "method", "models_for", "paired_tests", "parts", "plan",
    "predictions", "renumber", "run", "sanity", "section", "summary", "table", "write_section",
]  # fmt: skip
