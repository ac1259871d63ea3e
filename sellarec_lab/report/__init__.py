"""The main job, and the pages that it leaves: a first page, and one a notebook, that open offline."""

from sellarec_lab.report.jobs import NEXT_ITEMS, RATINGS, Asked, bench, links, run, search
from sellarec_lab.report.notebooks import execute, notebook_folder, numbered

__all__ = [
    "NEXT_ITEMS",
    "RATINGS",
    "Asked",
    "bench",
    "execute",
    "links",
    "notebook_folder",
    "numbered",
    "run",
    "search",
]
