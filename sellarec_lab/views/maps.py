"""Two-dimensional maps of vectors that live in one space: words, users, items, before and after alignment.

A map is a picture, not a measurement: UMAP's coordinates differ between machines, and distances across it mean
little. So every map carries a number from the full space: how mixed the groups are among nearest neighbours.
"""

import hashlib
import itertools
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch

from sellarec_lab import runtime
from sellarec_lab.views.style import colours, dress, matrices, need_one_each, plain, units
from sellarec_lab.views.vectors import nearest

CACHE = Path("artifacts/cache/maps")
METHODS = ("umap", "pca")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "cross", "hexagon")
_NEIGHBOURS, _QUERIES = 10, 2000
_RECIPE = 2  # of the coordinates; a kept map of another number is made anew


class Map(NamedTuple):
    """Coordinates [n, 2], those of points placed on the map later at the end; and, for PCA, the share of variance that
    each axis shows (empty for UMAP)."""

    xy: np.ndarray
    variance: tuple[float, ...]


class Mixing(NamedTuple):
    """Share of a row's nearest rows that belong to another group, and that share if groups were irrelevant."""

    share: float
    expected: float


def pca(points: np.ndarray, placed: np.ndarray | None = None) -> Map:
    """The two directions of largest variance of points [n, d], by SVD; each axis points to its largest entry.
    ``placed`` [p, d] is drawn on them, and has no say in them."""
    mean = points.mean(0)
    centred = np.pad(points - mean, ((0, 1), (0, 1)))  # so that one row or column has two directions as well
    _, size, axes = np.linalg.svd(centred, full_matrices=False)
    both = points if placed is None else np.concatenate([points, placed])
    xy = (both - mean) @ axes[:2, :-1].T
    largest = xy[: len(points)][np.abs(xy[: len(points)]).argmax(0), [0, 1]]
    share = size[:2] ** 2 / ((size**2).sum() or 1.0)
    return Map(xy * np.where(largest < 0, -1.0, 1.0), tuple(share.tolist()))


def umap_map(points: np.ndarray, seed: int = 0, placed: np.ndarray | None = None) -> Map:
    """UMAP (arXiv 1802.03426) of points [n, d] by cosine; repeatable on one machine, not across machines. ``placed``
    [p, d] finds its places among them, and moves none."""
    if len(points) < 10:
        raise ValueError(f"UMAP needs at least 10 rows, got an array of shape {points.shape}; use method='pca'")
    import umap  # takes 20 seconds, so only those wait who need it

    neighbours = min(15, len(points) - 1)
    fit = umap.UMAP(n_neighbors=neighbours, min_dist=0.6, metric="cosine", random_state=seed, n_jobs=1)
    parts = [fit.fit_transform(points.astype(np.float32))]
    if placed is not None:
        parts.append(fit.transform(placed.astype(np.float32)))
    return Map(np.concatenate(parts).astype(float), ())


def coordinates(
    points: np.ndarray, method: str = "umap", seed: int = 0, cache: Path | None = CACHE,
    placed: np.ndarray | None = None,
) -> Map:  # fmt: skip
    """A 2-D map of points [n, d], read from ``cache`` if the very same map was made before (None: never kept).

    Args:
        placed: more points [p, d], which are placed on the map when it stands; their coordinates come last.

    Raises:
        ValueError: unknown method, or too few rows for UMAP.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    points = np.ascontiguousarray(points, dtype=float)
    if cache is None:
        return umap_map(points, seed, placed) if method == "umap" else pca(points, placed)
    how = {"seed": seed, "umap": version("umap-learn")} if method == "umap" else {}
    shapes = [list(part.shape) for part in (points, placed) if part is not None]
    content = hashlib.sha256(points.tobytes() + (b"" if placed is None else placed.tobytes())).hexdigest()
    key = runtime.digest({"content": content, "shapes": shapes, "method": method, "of": _RECIPE, **how})
    path = runtime.artifacts_folder(cache) / f"{method}-{key}.safetensors"
    if path.is_file():
        tensors, note = runtime.load_tensors(path)
        return Map(tensors["xy"].numpy(), tuple(note["variance"]))
    made = coordinates(points, method, seed, None, placed)
    note = {"variance": list(made.variance), "method": method, "seed": seed, "shapes": shapes}
    runtime.save_tensors(path, {"xy": torch.from_numpy(made.xy)}, note)
    return made


def mixing(groups: Mapping[str, np.ndarray], seed: int = 0) -> Mixing:
    """How mixed groups [n_g, d] are: of each row's 10 nearest rows by cosine, the share from another group.

    0 if the groups are islands; ``expected`` if a row's group says nothing of where it lies. At most 2,000 rows ask.
    """
    unit = np.concatenate([units(name, g) for name, g in matrices(groups).items()])
    owner = np.repeat(np.arange(len(groups)), [len(g) for g in groups.values()])
    n, k = len(unit), min(_NEIGHBOURS, len(unit) - 1)
    if k < 1:
        return Mixing(0.0, 0.0)
    asking = np.random.default_rng(seed).permutation(n)[:_QUERIES]
    near, _ = nearest(unit[asking], unit, k + 1)  # the row itself is among them, and in its own group
    foreign = float((owner[near] != owner[asking][:, None]).sum())
    sizes = np.bincount(owner)
    return Mixing(foreign / (len(asking) * k), 1 - alike_by_chance(sizes))


def alike_by_chance(sizes: np.ndarray) -> float:
    """The probability that two rows are of one group, where groups have these sizes."""
    return float((sizes * (sizes - 1)).sum() / (sizes.sum() * (sizes.sum() - 1)))


def alignment_map(
    groups: Mapping[str, np.ndarray], hover: Mapping[str, Sequence[str]] | None = None, method: str = "umap",
    seed: int = 0, cache: Path | None = CACHE,
) -> go.Figure:  # fmt: skip
    """One map of all groups together, fitted on their rows at length 1: one colour and marker a group.

    Args:
        groups: name → vectors [n, d], one d for all (padding rows dropped).
        hover: name → one text a row.
        method: "umap" or "pca".
        cache: folder for coordinates, by content hash; None keeps nothing.

    Raises:
        ValueError: shapes that do not fit (both are named), rows of zeros, unknown method.
    """
    groups = matrices(groups)
    texts = {name: [f"row {i}" for i in range(len(values))] for name, values in groups.items()} | dict(hover or {})
    for name, values in groups.items():
        need_one_each(f"hover: {name!r}", texts[name], "its vectors", values)
    made = coordinates(np.concatenate([units(n, g) for n, g in groups.items()]), method, seed, cache)
    places = np.split(made.xy, np.cumsum([len(g) for g in groups.values()])[:-1])
    figure, colour = go.Figure(), colours(groups)
    for name, xy, symbol in zip(groups, places, itertools.cycle(_SYMBOLS)):
        size = 9 if len(xy) <= 150 else 7 if len(xy) <= 600 else 5
        look = {"color": colour[name], "symbol": symbol, "size": size, "opacity": 0.75}
        figure.add_scatter(
            x=xy[:, 0], y=xy[:, 1], mode="markers", marker=look | {"line": {"color": "white", "width": 0.5}},
            name=plain(name), text=[plain(t) for t in texts[name]],
            hovertemplate=f"<b>%{{text}}</b><br>{plain(name)}<extra></extra>",
        )  # fmt: skip
    name_axes(figure, made, method).update_yaxes(scaleanchor="x")
    mix = mixing(groups, seed)
    note = f"in the full space {mix.share:.0%} of the 10 nearest neighbours belong to another group "
    note += f"({mix.expected:.0%} if mixed at random)"
    return dress(figure, "Map of the shared space", note if len(groups) > 1 else "", 560)


def name_axes(figure: go.Figure, made: Map, method: str, **panel: int) -> go.Figure:
    """Say what the axes are, without ticks: distances across a map mean little."""
    shares = [f" ({share:.0%} of variance)" for share in made.variance] or ["", ""]
    names = [f"{method.upper()} {i}{share}" for i, share in enumerate(shares, start=1)]
    figure.update_xaxes(title_text=names[0], showticklabels=False, ticks="", **panel)
    return figure.update_yaxes(title_text=names[1], showticklabels=False, ticks="", **panel)
