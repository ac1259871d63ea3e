"""Ranks: those of scipy and of a loop, ties included; HR, NDCG, MRR and Hits by hand and as in scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata
from sklearn.metrics import ndcg_score

from sellarec_lab import metrics

METHOD = {"best": "min", "worst": "max", "mean": "average"}  # what scipy calls them


@pytest.fixture
def asked():
    """Scores of which many tie, targets and excluded columns, all [20, 30]; some cells are no candidates."""
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 9, size=(20, 30)).astype(float)
    scores[rng.random(scores.shape) < 0.1] = -np.inf
    scores[rng.random(scores.shape) < 0.1] = np.nan
    return scores, rng.random(scores.shape) < 0.15, rng.random(scores.shape) < 0.1


def loop(scores, targets, excluded, ties, filtered):
    """(query, target, rank, candidates), one target after the other."""
    for query, row in enumerate(scores):
        absent = excluded[query] | ~(row > -np.inf)
        for target in np.flatnonzero(targets[query] & ~absent):
            kept = ~(absent | targets[query]) if filtered else ~absent
            kept[target] = True
            rank = rankdata(-row[kept], METHOD[ties])[kept[:target].sum()]
            yield query, target, rank, kept.sum()


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("ties", METHOD)
def test_ranks_are_those_of_scipy_one_by_one(asked, ties, filtered, monkeypatch):
    scores, targets, excluded = asked
    before = scores.copy()
    got = metrics.rank_targets(scores, targets, ties, excluded=excluded, filtered=filtered)
    expected = np.array(list(loop(scores, targets, excluded, ties, filtered)))
    assert np.array_equal(got[["query", "target", "rank", "candidates"]].to_numpy(), expected)
    assert got.columns.tolist() == ["query", "target", "rank", "candidates", "ties"] and set(got["ties"]) == {ties}
    sets = [[set(np.flatnonzero(row)) for row in mask] for mask in (targets, excluded)]
    monkeypatch.setattr("sellarec_lab.metrics.ranks._CELLS", 70)  # two rows a block
    again = metrics.rank_targets(scores.astype("float32"), sets[0], ties, excluded=sets[1], filtered=filtered)
    pd.testing.assert_frame_equal(again, got)
    assert np.array_equal(scores, before, equal_nan=True)  # the caller's array is left alone


def test_only_candidates_are_ranked_and_queries_keep_their_names():
    scores = [[3.0, 2.0, np.nan, 1.0], [3.0, 2.0, 1.0, -np.inf], [3.0, 2.0, 1.0, 0.0]]
    got = metrics.rank_targets(scores, [[2, 3], [3], [1]], queries=["a", "b", "c"], excluded=[[0], [], []])
    assert got.drop(columns="ties").to_numpy().tolist() == [["a", 3, 2.0, 2], ["c", 1, 2.0, 4]]
    assert metrics.per_query(got, "hr@1").index.tolist() == ["a", "c"]


def test_metrics_by_hand():
    """Targets at ranks 2 and 6; at 6; at 1 and 3."""
    scores = np.tile(np.arange(7.0, 0, -1), (3, 1))
    ranks = metrics.rank_targets(scores, [[1, 5], [5], [0, 2]], queries=[9, 7, 5]).sample(frac=1, random_state=0)
    ranks = pd.concat([ranks[ranks["query"] == 5], ranks[ranks["query"] != 5].set_axis([0, 0, 0])])  # any index
    second, third, sixth = 1 / np.log2([3, 4, 7])
    expected = {
        "hr@1": [1, 0, 0], "hr@2": [1, 0, 1], "hr@6": [1, 1, 1], "hr@99": [1, 1, 1],
        "hits@1": [0.5, 0, 0], "hits@2": [0.5, 0, 0.5], "hits@6": [1, 1, 1], "mrr": [1, 1 / 6, 1 / 2],
        "ndcg@1": [1, 0, 0], "ndcg@2": [1 / (1 + second), 0, second / (1 + second)],
        "ndcg@6": [(1 + third) / (1 + second), sixth, (second + sixth) / (1 + second)],
    }  # fmt: skip
    for metric, values in expected.items():
        want = pd.Series(values, index=pd.Index([5, 7, 9], name="query"), name=metric, dtype=float)
        pd.testing.assert_series_equal(metrics.per_query(ranks, metric), want)
        assert metrics.value(ranks, metric) == pytest.approx(np.mean(values))
    triples = ranks.assign(query=range(len(ranks)))
    assert metrics.value(triples, "mrr") == pytest.approx((1 / 2 + 1 / 6 + 1 / 6 + 1 + 1 / 3) / 5)


def test_ndcg_is_that_of_sklearn_without_ties():
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(30, 50)), rng.random((30, 50)) < 0.1
    targets[:, 0] = True
    ranks = metrics.rank_targets(scores, targets)
    for k in (1, 5, 10, 50):
        one_by_one = [ndcg_score([t], [s], k=k) for t, s in zip(targets, scores, strict=True)]
        np.testing.assert_allclose(metrics.per_query(ranks, f"ndcg@{k}"), one_by_one, atol=1e-12)


@pytest.mark.parametrize("ties", ["best", "worst"])
def test_ndcg_with_ties_is_that_of_the_order_it_assumes(asked, ties):
    """Targets before all their equals, or behind them."""
    scores, targets, _ = asked
    targets &= scores > -np.inf
    nudged = np.nan_to_num(scores, nan=-np.inf) + (0.5 if ties == "best" else -0.5) * targets
    order = np.argsort(-nudged, axis=1, kind="stable")
    gains = np.take_along_axis(targets, order, axis=1)[:, :5] / np.log2(np.arange(2, 7))
    ideal = np.r_[0, (1 / np.log2(np.arange(2, 7))).cumsum()][np.minimum(targets.sum(1), 5)]
    got = metrics.per_query(metrics.rank_targets(scores, targets, ties), "ndcg@5")
    np.testing.assert_allclose(got, (gains.sum(1)[ideal > 0] / ideal[ideal > 0]), atol=1e-12)


def test_ties_decide_what_constant_scores_are_worth():
    even = {ties: metrics.rank_targets(np.ones((2, 29)), [[1], [2, 3]], ties) for ties in METHOD}
    assert [even[ties]["rank"].tolist() for ties in METHOD] == [[1, 1, 1], [29, 29, 29], [15, 15, 15]]
    for metric in ("hr@10", "hits@10", "ndcg@10"):
        assert [metrics.value(even[ties], metric) for ties in METHOD] == [1, 0, 0]
    on_top = [[2.0, 2.0, 1.0, 0.0]]  # both targets before all others, whatever their order
    assert all(metrics.value(metrics.rank_targets(on_top, [[0, 1]], ties), "ndcg@2") == 1 for ties in METHOD)


def test_nothing_to_find_is_empty_and_has_no_mean():
    ranks = metrics.rank_targets(np.ones((2, 3)), [[], []])
    assert ranks.empty and metrics.per_query(ranks, "ndcg@5").empty
    with pytest.raises(ValueError, match="mrr needs at least one query"):
        metrics.value(ranks, "mrr")


def test_filtered_ranks_have_hits_and_no_ndcg():
    ranks = metrics.rank_targets([[3.0, 2.0, 1.0]], [[0, 1]], filtered=True)
    assert metrics.value(ranks, "hits@1") == metrics.value(ranks, "mrr") == 1
    with pytest.raises(ValueError, match=r"two targets of query 0 hold one place; .*filtered=False"):
        metrics.value(ranks, "ndcg@10")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scores": np.ones(3)}, r"shape \(3,\) and type float64, expected numbers \[Q, n\]"),
        ({"scores": [["a"]]}, "expected numbers"),
        ({"ties": "max"}, r"'max', expected one of \['best', 'worst', 'mean'\]"),
        ({"targets": [[1]]}, r"targets have 1 rows, scores have shape \(2, 3\)"),
        ({"targets": np.ones((2, 2), dtype=bool)}, r"targets have shape \(2, 2\), scores have shape \(2, 3\)"),
        ({"targets": [1, 2]}, r"targets\[0\] is 1, expected a collection"),
        ({"targets": [[3], [0]]}, r"targets hold \[3\], expected column numbers from 0 to 2"),
        ({"targets": [[1], [-1]]}, r"targets hold \[-1\]"),
        ({"targets": [[1.5], [0]]}, r"targets hold \[1.5\]"),
        ({"targets": [[True], [False]]}, "targets hold bool"),
        ({"excluded": [[7], []]}, r"excluded hold \[7\]"),
        ({"queries": ["a"]}, "name 1 rows, scores have 2"),
        ({"queries": ["a", "a"]}, r"queries\[1\] is 'a', expected a name that no other row has"),
        ({"queries": ["a", None]}, r"queries\[1\] is"),
    ],
)
def test_rank_targets_refuses(change, says):
    with pytest.raises(ValueError, match=says):
        metrics.rank_targets(**{"scores": np.ones((2, 3)), "targets": [[1], [2]]} | change)


def test_metrics_refuse_what_are_no_ranks():
    ranks = metrics.rank_targets(np.ones((2, 3)), [[1], [2]])
    for metric in ("hr", "hr@0", "ndcg@", "mrr@5", "auc"):
        with pytest.raises(ValueError, match=f"metric is '{metric}', expected hr@K"):
            metrics.per_query(ranks, metric)
    for bad, says in (
        (ranks.drop(columns="ties"), r"lack \['ties'\]; they have .*; rank_targets makes them"),
        (ranks.assign(query=[1, None]), "has no query: {'query': nan, 'target': 2"),
        (ranks.assign(rank=[1, np.nan]), "has a rank outside 1 to candidates: {'query': 1"),
        (ranks.assign(rank=[1, 4]), "has a rank outside"),
        (ranks.assign(rank=[0, 1]), "has a rank outside"),
        (pd.concat([ranks, ranks]), "is there twice; runs with other seeds are frames of their own"),
        (ranks.assign(ties=["mean", "best"]), r"counted as \['best', 'mean'\]; expected the same word"),
        (ranks.assign(ties="max"), r"counted as \['max'\]"),
    ):
        with pytest.raises(ValueError, match=says):
            metrics.value(bad, "mrr")
