"""A map of the walk as plain data: what a page needs to draw it and to answer questions about it."""

import numpy as np
import torch.nn.functional as F

from sellarec_lab.alignment import Snapshots
from sellarec_lab.data import Interactions
from sellarec_lab.views import attributes
from sellarec_lab.views.over_time import KINDS, moment_names, scores_over_time
from sellarec_lab.views.style import BLACK, GREY, extent
from sellarec_lab.views.walk import Tokens, WalkMap


def walk_scene(drawn: WalkMap, walk: Snapshots, data: Interactions) -> dict:
    """Lists, numbers and texts alone: moments with their scores, places, nearest words, titles, colours.

    ``cosines`` [S][m] are those of each item's token with its own partner at that moment.
    """
    frame = [extent(drawn.made.xy[:, axis], 0.04, 0.04, empty=1) for axis in (0, 1)]
    ways = attributes.colourings(data, drawn.users.ids, drawn.items.ids, KINDS)
    return {
        "moments": _moments(drawn, walk), "frame": frame, "ink": BLACK, "grey": GREY,
        "words": {"names": drawn.names, "shown": drawn.shown.tolist(), "xy": [drawn.words.tolist()]},
        "people": _tokens(drawn.users), "semantics": _tokens(drawn.semantics), "walked": _tokens(drawn.items),
        "users": [{"id": int(i), "title": f"user {i}"} for i in drawn.users.ids], "items": _items(drawn, data),
        "partners": drawn.partners.tolist(), "cosines": _cosines(drawn, walk), "ways": [way._asdict() for way in ways],
    }  # fmt: skip


def _moments(drawn: WalkMap, walk: Snapshots) -> list[dict]:
    table = scores_over_time(walk)
    rows = [[(name, *(f"{v:.3f}" for v in row)) for name, row in zip(table.loc[s].index, table.loc[s].to_numpy())]
            for s in drawn.steps]  # fmt: skip
    return [{"name": name, "scores": scores} for name, scores in zip(moment_names(drawn.steps), rows, strict=True)]


def _tokens(kind: Tokens) -> dict:
    return {"xy": kind.xy.tolist(), "near": kind.near}


def _items(drawn: WalkMap, data: Interactions) -> list[dict]:
    ids = drawn.items.ids
    genres, counts = data.genre.loc[ids].tolist(), attributes.counts(data, "item_id", ids)
    notes = [", ".join(filter(None, [genre, attributes.rows(n)])) for genre, n in zip(genres, counts, strict=True)]
    return [{"id": int(i), "title": data.titles[i], "note": note} for i, note in zip(ids, notes, strict=True)]


def _cosines(drawn: WalkMap, walk: Snapshots) -> list[list[str]]:
    rows = np.searchsorted(walk.item_ids.numpy(), drawn.items.ids)
    cosine = F.cosine_similarity(walk.items[:, rows], walk.semantics[:, rows], dim=-1)
    return [[f"{value:.2f}" for value in moment] for moment in cosine.tolist()]
