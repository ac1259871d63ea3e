"""Intervals and paired comparisons: those of brute-force resampling and of scipy's tests, loud where rows differ."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from sellarec_lab import metrics

MEANS = {"uauc": metrics.uauc, "ndcg": metrics.ndcg, "map": metrics.mean_average_precision}


@pytest.mark.parametrize("metric", ["auc", "uauc", "ndcg", "map"])
def test_interval_is_that_of_brute_force_resampling(predictions, metric):
    frame, samples, seed = predictions(n_rows=150, n_users=12), 60, 3
    users = np.unique(frame["user_id"])
    counts = np.random.default_rng(seed).multinomial(len(users), np.full(len(users), 1 / len(users)), size=samples)
    values = []
    for draw in counts:
        copies = [
            frame[frame["user_id"] == user].assign(user_id=1000 * user + copy)
            for user, times in zip(users, draw, strict=True)
            for copy in range(times)
        ]
        rows = pd.concat(copies)
        if metric == "auc":
            values.append(roc_auc_score(rows["label"], rows["score"]))
        else:
            values.append(MEANS[metric](rows["user_id"], rows["label"], rows["score"]))
    got = metrics.interval(frame, metric, samples=samples, seed=seed)
    assert got[1:] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_interval_does_not_depend_on_how_draws_are_chunked(predictions, monkeypatch):
    frame = predictions()
    whole = metrics.interval(frame, samples=50)
    monkeypatch.setattr("sellarec_lab.metrics.uncertainty._CELLS", 7 * len(frame))
    monkeypatch.setattr("sellarec_lab.metrics.uncertainty._KEPT", {})
    assert metrics.interval(frame, samples=50) == whole


def test_interval_holds_its_value_and_narrows_with_users(predictions):
    few, many = (metrics.interval(predictions(20 * n, n), samples=200) for n in (20, 200))
    for got in (few, many):
        assert got.low < got.value < got.high
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_interval_refuses(predictions):
    frame = predictions()
    with pytest.raises(ValueError, match=r"'recall', expected one of \['auc', 'uauc', 'ndcg', 'map'\]"):
        metrics.interval(frame, "recall")
    with pytest.raises(ValueError, match=r"lacks \['score'\]"):
        metrics.interval(frame.drop(columns="score"))
    with pytest.raises(ValueError, match="at least one user"):
        metrics.interval(frame.assign(user_id=np.arange(len(frame))), "uauc")


@pytest.mark.parametrize("metric", ["auc", "uauc", "ndcg", "map"])
def test_paired_tells_better_from_same(predictions, metric):
    weak, strong = predictions(signal=0.5), predictions(signal=2.0)
    better = metrics.paired(strong, weak.sample(frac=1, random_state=0), metric, samples=200)
    assert 0 < better.low < better.difference < better.high
    assert better.p_value < 0.02
    assert better.users == 25
    worse = metrics.paired(weak, strong, metric, samples=200)
    assert worse.difference == pytest.approx(-better.difference)
    assert (worse.low, worse.high) == pytest.approx((-better.high, -better.low))
    assert metrics.paired(weak, weak, metric, samples=50)[:4] == (0, 0, 0, 1)


def test_paired_uauc_p_value_is_the_paired_t_test(predictions):
    a, b = predictions(signal=1.0), predictions(signal=0.8).assign(score=predictions(seed=5)["score"])
    per_user = [metrics.user_auc(f["user_id"], f["label"], f["score"])["auc"] for f in (a, b)]
    got = metrics.paired(a, b, "uauc", samples=50)
    assert got.p_value == pytest.approx(stats.ttest_rel(*per_user).pvalue)
    assert got.difference == pytest.approx((per_user[0] - per_user[1]).mean())


@pytest.mark.parametrize(("metric", "table"), [("ndcg", metrics.user_ndcg), ("map", metrics.user_map)])
def test_paired_per_user_metrics_rest_on_the_t_test(predictions, metric, table):
    a, b = predictions(signal=1.0), predictions(signal=0.8).assign(score=predictions(seed=5)["score"])
    per_user = [table(f["user_id"], f["label"], f["score"])[metric] for f in (a, b)]
    got = metrics.paired(a, b, metric, samples=50)
    assert got.p_value == pytest.approx(stats.ttest_rel(*per_user).pvalue)
    assert got.difference == pytest.approx((per_user[0] - per_user[1]).mean())
    assert got.users == len(per_user[0])


def test_detectable_difference_by_hand():
    compared = metrics.Paired(difference=0.3, low=-0.0096, high=0.0296, p_value=0.5, users=9)  # SE 0.01
    assert metrics.detectable(compared) == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-4)
    assert metrics.detectable(compared, power=0.5, alpha=0.1) == pytest.approx(0.01 * 1.644854, rel=1e-4)
    with pytest.raises(ValueError, match=r"power is 1\.0"):
        metrics.detectable(compared, power=1.0)


def test_a_detectable_difference_is_found_as_often_as_promised():
    """With the spread of 40 users' differences, a z-test finds that shift in about 80 of 100 worlds."""
    rng = np.random.default_rng(0)
    error = 1 / np.sqrt(40)
    shift = metrics.detectable(metrics.Paired(0, -1.96 * error, 1.96 * error, 1, 40))
    found = np.abs(rng.normal(shift, 1, size=(4000, 40)).mean(axis=1)) > 1.96 * error
    assert found.mean() == pytest.approx(0.8, abs=0.02)


def test_paired_refuses_other_rows(predictions):
    frame = predictions()
    with pytest.raises(ValueError, match="400 rows and 399 rows"):
        metrics.paired(frame, frame.iloc[1:])
    with pytest.raises(ValueError, match="same rows; first mismatch"):
        metrics.paired(frame, frame.assign(label=1 - frame["label"]))
    with pytest.raises(ValueError, match=r"lacks \['item_id'\]"):
        metrics.paired(frame, frame.drop(columns="item_id"))


# --------------------------------------------------------------------------------------- ranks


def ranked(signal=1.0, seed=0, ties="mean", names=None) -> pd.DataFrame:
    """Ranks of one to three targets in each of 40 queries."""
    rng = np.random.default_rng(seed)
    targets = [range(query % 3 + 1) for query in range(40)]
    scores = rng.normal(size=(40, 30))
    scores[:, :3] += signal
    return metrics.rank_targets(scores.round(1), targets, ties, queries=names)


@pytest.mark.parametrize("metric", ["hr@5", "ndcg@5", "mrr", "hits@5"])
def test_interval_of_ranks_draws_queries(metric):
    ranks = ranked()
    copies = [ranks[ranks["query"] == query] for query in range(40)]
    values = []
    for draw in np.random.default_rng(3).multinomial(40, np.full(40, 1 / 40), size=60):
        drawn = [c.assign(query=100 * q + i) for q, c in enumerate(copies) for i in range(draw[q])]
        values.append(metrics.value(pd.concat(drawn), metric))
    got = metrics.interval(ranks, metric, samples=60, seed=3)
    assert got.value == metrics.value(ranks, metric)
    assert got[1:] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_interval_of_ranks_is_about_what_they_hold():
    words = [f"query {number:02}" for number in range(40)]
    one, other = ranked(), ranked(seed=1)
    whole = metrics.interval(one, "mrr", samples=50)
    assert metrics.interval(ranked(names=words).sample(frac=1, random_state=0), "mrr", samples=50) == whole
    assert metrics.interval(other, "mrr", samples=50) != whole
    both = metrics.interval([one, other], "mrr", samples=50)
    assert both.value == pytest.approx((whole.value + metrics.value(other, "mrr")) / 2)
    assert both.high - both.low < whole.high - whole.low


@pytest.mark.parametrize("metric", ["hr@5", "ndcg@5", "mrr", "hits@5"])
def test_paired_ranks_rest_on_the_t_test_over_queries(metric):
    strong, weak = [ranked(2.0), ranked(2.0, seed=1)], [ranked(0.0), ranked(0.0, seed=1)]
    means = [(metrics.per_query(a, metric) + metrics.per_query(b, metric)) / 2 for a, b in (strong, weak)]
    got = metrics.paired(strong, [frame.sample(frac=1, random_state=0) for frame in weak], metric, samples=200)
    assert got.p_value == pytest.approx(stats.ttest_rel(*means).pvalue)
    assert got.difference == pytest.approx((means[0] - means[1]).mean())
    assert 0 < got.low < got.difference < got.high and got.users == 40
    assert 0 < metrics.detectable(got) < got.difference
    assert metrics.paired(weak, weak, metric, samples=50)[:4] == (0, 0, 0, 1)


def test_ranks_that_cannot_be_compared_are_refused(predictions):
    ranks = ranked()
    for other, says in (
        (ranks.iloc[1:], "79 rows and 78 rows"),
        (ranks.assign(target=ranks["target"] + 1), r"mismatch of \('query', 'target', 'candidates'\): \(0, 0, 30"),
        (ranks.assign(candidates=31), r"\(0, 0, 30\) and \(0, 0, 31\)"),
        (ranked(ties="best"), r"ties are counted as \['best', 'mean'\]"),
        (predictions(), r"lacks \['user_id', 'label', 'score'\]; it has \['query'"),
    ):
        with pytest.raises(ValueError, match=says):
            metrics.paired(ranks, other, "mrr", samples=50)
    with pytest.raises(ValueError, match=r"ties are counted as \['mean', 'worst'\]"):
        metrics.interval([ranks, ranked(ties="worst")], "mrr")
    with pytest.raises(ValueError, match="metric is 'auc', expected hr@K"):
        metrics.interval(ranks)
