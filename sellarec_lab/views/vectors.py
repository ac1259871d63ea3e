"""Numbers and pictures of vectors: how alike two spaces are, which words lie nearest, how long the vectors are."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import ArrayLike

from sellarec_lab import metrics
from sellarec_lab.views.style import colours, dress, matrices, need_one_each, plain, units

_CELLS = 4_000_000  # most cosines held at once: 32 MB


def alignment_scores(collab: ArrayLike, semantics: ArrayLike, seed: int = 0) -> pd.DataFrame:
    """How well row i of one space matches row i of the other; both [n, d], n > 10, padding dropped.

    The column ``shuffled control`` is the same number after the rows of ``semantics`` were permuted: what two clouds
    of these shapes reach without any match.

    Raises:
        ValueError: shapes differ (both are named), or a row is all zero.
    """
    scores = {
        "matched cosine": metrics.matched_cosine,
        "retrieval@1": lambda a, b: metrics.retrieval_at(a, b, 1),
        "retrieval@10": lambda a, b: metrics.retrieval_at(a, b, 10),
        "linear CKA": metrics.linear_cka,
        "neighbour overlap@10": lambda a, b: metrics.neighbour_overlap(a, b, 10),
    }
    columns = {"value": semantics, "shuffled control": metrics.shuffled(semantics, seed)}
    table = {column: {name: score(collab, b) for name, score in scores.items()} for column, b in columns.items()}
    return pd.DataFrame(table).rename_axis("score")


def nearest_words(
    vectors: ArrayLike, words: ArrayLike, vocabulary: Sequence[str], k: int = 8, readable: bool = True
) -> pd.DataFrame:
    """The k word embeddings nearest to each vector by cosine: DataFrame ``row, rank, word, cosine``.

    Args:
        vectors: [n, d], for example soft tokens.
        words: word embeddings [V, d]; rows of zeros (unused ids) are nobody's neighbour.
        vocabulary: V texts, the token with that id.
        k: how many words a vector, nearest first with rank 1.
        readable: leave out single characters, byte pieces and tokens that do not print.

    Raises:
        ValueError: shapes that do not fit (both are named), or fewer than k words to choose from.
    """
    checked = matrices({"vectors": vectors, "words": words}, "nearest_words")
    unit, words = units("vectors", checked["vectors"]), checked["words"]
    need_one_each("vocabulary", vocabulary, "words", words)
    norms = np.linalg.norm(words, axis=1)
    allowed = np.flatnonzero([n > 0 and (not readable or _reads(w)) for n, w in zip(norms, vocabulary, strict=True)])
    if not 0 < k <= len(allowed):
        raise ValueError(f"k is {k}, expected 1 to {len(allowed)}, the number of words to choose from")
    near, cosine = nearest(unit, words[allowed] / norms[allowed, None], k)
    rows, ranks = (part.ravel() + first for part, first in zip(np.indices(near.shape), (0, 1)))
    texts = [vocabulary[i] for i in allowed[near.ravel()]]
    return pd.DataFrame({"row": rows, "rank": ranks, "word": texts, "cosine": cosine.ravel()})


def nearest_items(
    word: str, words: ArrayLike, vocabulary: Sequence[str], tokens: ArrayLike, titles: Sequence[str], k: int = 8
) -> pd.DataFrame:
    """The k items (or users) whose soft token is nearest to a word by cosine: DataFrame ``rank, row, title, cosine``.

    Args:
        word: a token of the vocabulary; the mark or space before a word may be left out.
        words: word embeddings [V, d].
        vocabulary: V texts.
        tokens: [n, d], for example the soft tokens of all items.
        titles: n names.

    Raises:
        ValueError: shapes that do not fit (both are named), k out of range, or no such token; names some that start
            alike.
    """
    checked = matrices({"tokens": tokens, "words": words}, "nearest_items")
    tokens, words = checked["tokens"], checked["words"]
    need_one_each("vocabulary", vocabulary, "words", words)
    need_one_each("titles", titles, "tokens", tokens)
    if not 0 < k <= len(titles):
        raise ValueError(f"k is {k}, expected 1 to {len(titles)}, the number of tokens")
    near, cosine = nearest(units(word, words[[_find(word, vocabulary)]]), units("tokens", tokens), k)
    names = [titles[i] for i in near[0]]
    return pd.DataFrame({"rank": np.arange(1, k + 1), "row": near[0], "title": names, "cosine": cosine[0]})


def nearness(groups: Mapping[str, ArrayLike], words: ArrayLike, said: ArrayLike, seed: int = 0) -> pd.DataFrame:
    """How near tokens come to words, and to what is said of the items: a row a group, and one for random directions.

    Columns: mean cosine of the nearest word, of the nearest item semantics, and the share of words among the ten
    nearest of both together, which would be ``by chance`` if words and semantics lay alike.

    Args:
        groups: name → tokens [n, d].
        words: word embeddings [V, d].
        said: item semantics [m, d].

    Raises:
        ValueError: shapes that do not fit (both are named), rows of zeros, or fewer than ten rows to be near to.
    """
    parts = matrices({"words": words, "said": said, **groups}, "nearness")
    parts["random directions"] = np.random.default_rng(seed).normal(size=parts["said"].shape)
    words, said = (units(name, parts.pop(name)) for name in ("words", "said"))
    both, rows = np.concatenate([words, said]), {}
    for name, tokens in parts.items():
        unit = units(name, tokens)
        closest = [float(nearest(unit, targets, 1)[1].mean()) for targets in (words, said)]
        rows[name] = [*closest, float((nearest(unit, both, 10)[0] < len(words)).mean())]
    columns = ["nearest word", "nearest semantics", "words among the ten nearest"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns).assign(**{"by chance": len(words) / len(both)})


def nearest(queries: np.ndarray, targets: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Which k targets [W, d] are nearest to each query [n, d], all of length 1, and their cosines; both [n, k]."""
    found = []
    for some in np.array_split(queries, max(1, len(queries) * len(targets) // _CELLS)):
        cosine = some @ targets.T  # [m, W]
        best = _top(cosine, k)
        found.append((best, np.take_along_axis(cosine, best, axis=1)))
    return tuple(np.concatenate(parts) for parts in zip(*found))


def _find(word: str, vocabulary: Sequence[str]) -> int:
    """Id of a word: as it is spelt, else with a space or a tokenizer's mark before it."""
    place = {token: i for i, token in reversed(list(enumerate(vocabulary)))}
    for spelling in (word, f" {word}", f"Ġ{word}", f"▁{word}"):
        if spelling in place:
            return place[spelling]
    start = word.strip().lower()[:2]
    alike = [t for t in vocabulary if start and t.strip().lstrip("Ġ▁").lower().startswith(start)][:8]
    raise ValueError(f"{word!r} is no single token of the vocabulary; tokens that start alike: {alike or 'none'}")


def _top(cosine: np.ndarray, k: int) -> np.ndarray:
    """Columns of the k largest of each row [m, n], largest first, [m, k]; a tie goes to the earlier column."""
    cut = -np.partition(-cosine, k - 1, axis=1)[:, k - 1 : k]  # the k-th largest
    rows, columns = np.nonzero(cosine >= cut)
    order = np.lexsort((columns, -cosine[rows, columns], rows))
    first = np.searchsorted(rows, np.arange(len(cosine)))  # rows come sorted
    return columns[order][first[:, None] + np.arange(k)]


def _reads(token: str) -> bool:
    """More than one character, all printable, once the tokenizer's mark of a word's start is off."""
    text = token.strip().lstrip("Ġ▁")
    return len(text) > 1 and text.isprintable() and "\ufffd" not in text and not text.startswith("<0x")


def norms(groups: Mapping[str, ArrayLike]) -> go.Figure:
    """Lengths (L2 norms) of each group's vectors [n, d] as violins with a box; the widths d may differ.

    Soft tokens that are much longer or shorter than words disturb a tuned language model.
    """
    if not groups:
        raise ValueError("groups is empty: give at least one array [n, d] by name")
    lengths = {n: np.linalg.norm(matrices({n: g}, "norms")[n], axis=1) for n, g in groups.items()}
    figure = go.Figure()
    for name, colour in colours(lengths).items():
        figure.add_violin(
            y=lengths[name], name=plain(name), box_visible=True, meanline_visible=True, points=False, spanmode="hard",
            line={"color": colour, "width": 1.5}, showlegend=False, scalemode="width", width=0.7,
        )  # fmt: skip
    means = " · ".join(f"{plain(name)} {values.mean():.3g}" for name, values in lengths.items())
    figure.update_yaxes(title_text="L2 norm", rangemode="tozero")
    return dress(figure, "How long the vectors are", f"mean norm: {means}")


def parameters_table(counts: Mapping[str, tuple[int, int]]) -> pd.DataFrame:
    """Trainable and all parameters of each module, with their sum: DataFrame ``trainable, total, share``.

    Raises:
        ValueError: more trainable than there are.
    """
    for name, (trainable, total) in counts.items():
        if not 0 <= trainable <= total:
            raise ValueError(f"{name!r}: {trainable} trainable of {total} parameters cannot be")
    table = pd.DataFrame.from_dict(counts, orient="index", columns=["trainable", "total"]).rename_axis("module")
    table.loc["all"] = table.sum()
    return table.assign(share=table["trainable"] / table["total"].where(table["total"] > 0))
