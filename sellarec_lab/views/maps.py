"""Two-dimensional maps of vectors that live in one space: words, users, items, before and after alignment.

A map is a picture, not a measurement: UMAP's coordinates differ between machines, and distances across it mean
little. So every map carries a number from the full space: how mixed the groups are among nearest neighbours.
"""

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
import torch

from sellarec_lab import runtime
from sellarec_lab.views.style import colours, dress, matrices, plain, units

CACHE = Path("artifacts/cache/maps")
METHODS = ("umap", "pca")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "x", "star", "cross", "hexagon")
_NEIGHBOURS, _QUERIES = 10, 2000

Groups = Mapping[str, np.ndarray]
Hover = Mapping[str, Sequence[str]]


class Map(NamedTuple):
    """Coordinates [n, 2] and, for PCA, the share of variance that each axis shows (empty for UMAP)."""

    xy: np.ndarray
    variance: tuple[float, ...]


class Mixing(NamedTuple):
    """Share of a row's nearest rows that belong to another group, and that share if groups were irrelevant."""

    share: float
    expected: float


def pca(points: np.ndarray) -> Map:
    """The two directions of largest variance of points [n, d], by SVD; each axis points to its largest entry."""
    centred = points - points.mean(0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    xy = (left * size)[:, :2]  # [n, 2]
    xy = np.pad(xy, ((0, 0), (0, 2 - xy.shape[1])))
    largest = xy[np.abs(xy).argmax(0), [0, 1]]
    total = float((size**2).sum())
    share = np.pad(size[:2] ** 2 / total if total else size[:2], (0, max(0, 2 - len(size))))
    return Map(xy * np.where(largest < 0, -1.0, 1.0), tuple(share.tolist()))


def umap_map(points: np.ndarray, seed: int = 0) -> Map:
    """UMAP (arXiv 1802.03426) of points [n, d] by cosine; repeatable on one machine, not across machines."""
    if len(points) < 10:
        raise ValueError(f"UMAP needs at least 10 rows, got an array of shape {points.shape}; use method='pca'")
    import umap  # takes 20 seconds, so only those wait who need it

    neighbours = min(15, len(points) - 1)
    fit = umap.UMAP(n_neighbors=neighbours, min_dist=0.1, metric="cosine", random_state=seed, n_jobs=1)
    return Map(np.asarray(fit.fit_transform(points.astype(np.float32)), dtype=float), ())


def coordinates(points: np.ndarray, method: str = "umap", seed: int = 0, cache: Path | None = CACHE) -> Map:
    """A 2-D map of points [n, d], read from ``cache`` if the very same map was made before (None: never kept).

    Raises:
        ValueError: unknown method, or too few rows for UMAP.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; choose one of {', '.join(METHODS)}")
    points = np.ascontiguousarray(points, dtype=float)
    name = f"{method}-{_key(points, method, seed)}.safetensors"
    path = None if cache is None else runtime.artifacts_folder(cache) / name
    if path is not None and path.is_file():
        tensors, note = runtime.load_tensors(path)
        return Map(tensors["xy"].numpy(), tuple(note["variance"]))
    made = pca(points) if method == "pca" else umap_map(points, seed)
    if path is not None:
        note = {"variance": list(made.variance), "method": method, "seed": seed, "shape": list(points.shape)}
        runtime.save_tensors(path, {"xy": torch.from_numpy(made.xy)}, note)
    return made


def _key(points: np.ndarray, method: str, seed: int) -> str:
    content = hashlib.sha256(points.tobytes()).hexdigest()
    how = {"seed": seed, "umap": version("umap-learn")} if method == "umap" else {}
    return runtime.digest({"content": content, "shape": points.shape, "method": method, **how})


def mixing(groups: Groups, seed: int = 0) -> Mixing:
    """How mixed groups [n_g, d] are: of each row's 10 nearest rows by cosine, the share from another group.

    0 if the groups are islands; ``expected`` if a row's group says nothing of where it lies. At most 2,000 rows ask.
    """
    unit = np.concatenate([units(name, g) for name, g in matrices(groups).items()])
    owner = np.repeat(np.arange(len(groups)), [len(g) for g in groups.values()])
    n, k = len(unit), min(_NEIGHBOURS, len(unit) - 1)
    if k < 1:
        return Mixing(0.0, 0.0)
    asking = np.random.default_rng(seed).permutation(n)[:_QUERIES]
    foreign = 0.0
    for rows in np.array_split(asking, max(1, len(asking) * n // 4_000_000)):
        cosine = unit[rows] @ unit.T  # [m, n]
        cosine[np.arange(len(rows)), rows] = -np.inf
        near = np.argpartition(-cosine, k - 1, axis=1)[:, :k]
        foreign += float((owner[near] != owner[rows][:, None]).sum())
    sizes = np.bincount(owner)
    return Mixing(foreign / (len(asking) * k), 1 - float((sizes * (sizes - 1)).sum()) / (n * (n - 1)))


def alignment_map(
    groups: Groups, hover: Hover | None = None, method: str = "umap", seed: int = 0, cache: Path | None = CACHE
) -> go.Figure:
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
    texts = _texts(groups, hover)
    made = coordinates(np.concatenate([units(n, g) for n, g in groups.items()]), method, seed, cache)
    figure = go.Figure()
    for trace in _points(_cut(made.xy, groups), texts, colours(groups)):
        figure.add_trace(trace)
    _name_axes(figure, made, method)
    figure.update_yaxes(scaleanchor="x")
    return dress(figure, "Map of the shared space", _sentence(mixing(groups, seed), len(groups)), 560)


def _texts(groups: Groups, hover: Hover | None) -> dict[str, list[str]]:
    texts = {}
    for name, values in groups.items():
        lines = (hover or {}).get(name)
        if lines is not None and len(lines) != len(values):
            raise ValueError(f"hover: {name!r} has shape {(len(lines),)}, its vectors have shape {values.shape}")
        texts[name] = [plain(t) for t in lines] if lines is not None else [f"row {i}" for i in range(len(values))]
    return texts


def _cut(xy: np.ndarray, groups: Groups) -> dict[str, np.ndarray]:
    ends = np.cumsum([len(g) for g in groups.values()])[:-1]
    return dict(zip(groups, np.split(xy, ends), strict=True))


def _points(places: Mapping[str, np.ndarray], texts: dict[str, list[str]], colour: dict[str, str]) -> list[go.Scatter]:
    traces, order = [], list(colour)
    for name, xy in places.items():
        size = 9 if len(xy) <= 150 else 7 if len(xy) <= 600 else 5
        marker = {
            "color": colour[name], "symbol": _SYMBOLS[order.index(name) % len(_SYMBOLS)], "size": size,
            "opacity": 0.75, "line": {"color": "white", "width": 0.5},
        }  # fmt: skip
        traces.append(
            go.Scatter(
                x=xy[:, 0], y=xy[:, 1], mode="markers", name=plain(name), marker=marker, text=texts[name],
                hovertemplate=f"<b>%{{text}}</b><br>{plain(name)}<extra></extra>",
            )
        )  # fmt: skip
    return traces


def _name_axes(figure: go.Figure, made: Map, method: str) -> None:
    names = [f"{method.upper()} {i}" for i in (1, 2)]
    if made.variance:
        names = [f"{n} ({share:.0%} of variance)" for n, share in zip(names, made.variance, strict=True)]
    figure.update_xaxes(title_text=names[0], showticklabels=False, ticks="")
    figure.update_yaxes(title_text=names[1], showticklabels=False, ticks="")


def _sentence(mix: Mixing, n_groups: int) -> str:
    if n_groups < 2:
        return ""
    return (
        f"in the full space {mix.share:.0%} of the 10 nearest neighbours belong to another group "
        f"({mix.expected:.0%} if mixed at random)"
    )
