"""Many models, one protocol, one table.

Every model answers the same questions once, after its training and selection on valid are over. Finished cells are
never made again; a cell that fails is a row with its error, and the rest goes on.
"""

from sellarec_lab.compare.fusion import Fusion, fuse
from sellarec_lab.compare.links import LINKS
from sellarec_lab.compare.methods import CEILINGS, CORE, METHODS, TITLES, check_fit, method, models_for, named, titled
from sellarec_lab.compare.next_item import NEXT_ITEM
from sellarec_lab.compare.outcomes import Method, outcome, put_together
from sellarec_lab.compare.protocol import (
    NEXT_METRICS,
    Scored,
    answers,
    decoding,
    finished,
    full_ranking,
    plan,
    predictions,
    rating_stages,
    run,
)
from sellarec_lab.compare.sanity import battery, renumber, sanity
from sellarec_lab.compare.search import GRIDS, search
from sellarec_lab.compare.summary import Summary, summary
from sellarec_lab.compare.tables import (
    LINK_METRICS,
    METRICS,
    TAILS,
    by_seed,
    cells,
    compared_by,
    paired_tests,
    parts,
    table,
)
from sellarec_lab.compare.tasks import DECODING, LAST_ITEM, LINK, QUESTION, RATING, Task, likers, next_item
from sellarec_lab.compare.text import check_section, markdown, section, write_section

__all__ = [
    "CEILINGS", "CORE", "DECODING", "GRIDS", "LAST_ITEM", "LINK", "LINKS", "LINK_METRICS", "METHODS",
    "METRICS", "NEXT_ITEM", "NEXT_METRICS", "QUESTION", "RATING", "TAILS", "TITLES", "Fusion", "Method", "Scored",
    "Summary", "Task", "answers", "battery", "by_seed", "cells", "check_fit", "check_section", "compared_by",
    "decoding", "finished", "full_ranking", "fuse", "likers", "markdown", "method", "models_for", "named", "next_item",
    "outcome", "paired_tests", "parts", "plan", "predictions", "put_together", "rating_stages", "renumber", "run",
    "sanity", "search", "section", "summary", "table", "titled", "write_section",
]  # fmt: skip
