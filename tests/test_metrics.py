"""Metrics: equal to scikit-learn, right where the answer is known, loud where the input is bad."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from sellarec_lab import metrics

MEANS = {"uauc": metrics.uauc, "ndcg": metrics.ndcg, "map": metrics.mean_average_precision}


def predictions(n_rows=400, n_users=25, signal=1.0, seed=0, decimals=1) -> pd.DataFrame:
    """Random rows whose scores are rounded, so that many tie."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n_rows)
    return pd.DataFrame(
        {
            "user_id": np.sort(rng.integers(1, n_users + 1, n_rows)),
            "item_id": np.arange(1, n_rows + 1),
            "label": label,
            "score": np.round(signal * label + rng.normal(size=n_rows), decimals),
        }
    )


def spaces(n=60, d=8, seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))


# ------------------------------------------------------------------------------------- ranking


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_auc_is_that_of_sklearn(decimals):
    frame = predictions(decimals=decimals)
    assert metrics.auc(frame["label"], frame["score"]) == pytest.approx(
        roc_auc_score(frame["label"], frame["score"]), abs=1e-12
    )


def test_auc_of_known_orders():
    assert metrics.auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1
    assert metrics.auc([1, 1, 0, 0], [1, 2, 3, 4]) == 0
    assert metrics.auc([0, 1, 0, 1], [7, 7, 7, 7]) == 0.5
    assert metrics.auc([0, 1], [-np.inf, np.inf]) == 1


def test_user_auc_is_that_of_a_loop_over_users():
    frame = pd.concat([predictions(), pd.DataFrame({"user_id": [99, 99], "label": 1, "score": [0.1, 0.2]})])
    by_hand = {
        user: roc_auc_score(rows["label"], rows["score"])
        for user, rows in frame.groupby("user_id")
        if rows["label"].nunique() == 2
    }
    frame = frame.sample(frac=1, random_state=0)  # the order of rows must not matter
    table = metrics.user_auc(frame["user_id"], frame["label"], frame["score"])
    pd.testing.assert_series_equal(
        table["auc"], pd.Series(by_hand, name="auc"), check_names=False, check_index_type=False
    )
    assert 99 not in table.index
    assert metrics.uauc(frame["user_id"], frame["label"], frame["score"]) == pytest.approx(
        np.mean(list(by_hand.values()))
    )
    assert metrics.scorable_users(frame["user_id"], frame["label"]).tolist() == sorted(by_hand)
    assert table["rows"].sum() == len(frame) - 2
    assert table["positives"].sum() == frame["label"].sum() - 2


def test_uauc_ignores_what_is_constant_within_a_user():
    frame = predictions()
    shifted = frame["score"] + 100.0 * frame["user_id"]
    columns = frame["user_id"], frame["label"]
    assert metrics.uauc(*columns, shifted) == pytest.approx(metrics.uauc(*columns, frame["score"]))
    assert metrics.auc(frame["label"], shifted) < metrics.auc(frame["label"], frame["score"]) - 0.1


@pytest.mark.parametrize(
    ("labels", "scores", "says"),
    [
        ([1, 1], [0.1, 0.2], "both classes, got 2 positive and 0 negative"),
        ([0, 1], [0.1, np.nan], "1 of 2 scores are NaN, first in row 1"),
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1"),
        ([0, 1], [0.1], r"shape \(2,\), scores have shape \(1,\)"),
        ([], [], "both classes"),
    ],
)
def test_auc_refuses(labels, scores, says):
    with pytest.raises(ValueError, match=says):
        metrics.auc(labels, scores)


def test_uauc_refuses():
    with pytest.raises(ValueError, match="at least one user"):
        metrics.uauc([1, 2], [0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="user_ids have shape"):
        metrics.uauc([1], [0, 1], [0.1, 0.2])


def test_gap_closed():
    assert metrics.gap_closed(0.7, oracle=0.9) == pytest.approx(0.5)
    assert metrics.gap_closed(0.4, oracle=0.9) < 0
    with pytest.raises(ValueError, match="above the floor"):
        metrics.gap_closed(0.7, oracle=0.5)


# ------------------------------------------------------------------------------------- within users


def by_user(frame: pd.DataFrame, measure) -> pd.Series:
    """A scikit-learn metric for every user with both classes."""
    both = frame.groupby("user_id")["label"].transform("nunique") == 2
    return pd.Series({user: measure(rows["label"], rows["score"]) for user, rows in frame[both].groupby("user_id")})


@pytest.mark.parametrize("decimals", [0, 1, 8])
@pytest.mark.parametrize(
    ("table", "mean", "name", "measure"),
    [
        (metrics.user_ndcg, metrics.ndcg, "ndcg", lambda y, s: ndcg_score([y], [s])),
        (metrics.user_map, metrics.mean_average_precision, "map", average_precision_score),
    ],
)
def test_user_metrics_are_those_of_sklearn(decimals, table, mean, name, measure):
    one_class = pd.DataFrame({"user_id": [99, 99], "label": 1, "score": [0.1, 0.2]})
    frame = pd.concat([predictions(n_rows=150, decimals=decimals), one_class]).sample(frac=1, random_state=0)
    expected, columns = by_user(frame, measure), (frame["user_id"], frame["label"], frame["score"])
    got = table(*columns)
    assert got.index.tolist() == expected.index.tolist() == metrics.scorable_users(*columns[:2]).tolist()
    np.testing.assert_allclose(got[name], expected, atol=1e-12)
    assert mean(*columns) == pytest.approx(expected.mean())
    rows = frame[frame["user_id"].isin(expected.index)]
    assert got["rows"].tolist() == rows.groupby("user_id").size().tolist()
    assert got["positives"].tolist() == rows.groupby("user_id")["label"].sum().tolist()


def test_user_metrics_by_hand():
    users, labels, scores = [1, 1, 1, 1], [0, 1, 0, 1], [4.0, 3.0, 2.0, 1.0]  # likes at ranks 2 and 4
    assert metrics.mean_average_precision(users, labels, scores) == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert metrics.ndcg(users, labels, scores) == pytest.approx(
        (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    )


@pytest.mark.parametrize("mean", [metrics.ndcg, metrics.mean_average_precision])
def test_user_metrics_refuse(mean):
    with pytest.raises(ValueError, match="at least one user"):
        mean([1, 2], [0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="user_ids have shape"):
        mean([1], [0, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="NaN"):
        mean([1, 1], [0, 1], [0.1, np.nan])


def test_full_ranking_by_hand():
    """Row 0: likes at ranks 2 and 6 (item 0 is padding, item 3 no candidate); 1: nothing found; 2: nothing to find."""
    scores = np.array(
        [
            [99, 7, 6, np.nan, 5, 4, 3, 2],
            [99, 7, 6, 5, 4, 3, 2, -np.inf],
            [99, 7, 6, 5, 4, 3, 2, -np.inf],
        ]
    )
    got = metrics.full_ranking(scores, [{2, 3, 7}, {6}, {0, 7}], ks=(1, 2, 5, 6))
    assert got.index.tolist() == [0, 1]
    assert got.columns.tolist() == ["hr@1", "hr@2", "hr@5", "hr@6", "ndcg@1", "ndcg@2", "ndcg@5", "ndcg@6"]
    assert got.loc[0, ["hr@1", "hr@2", "hr@5", "hr@6"]].tolist() == [0, 1, 1, 1]
    second, sixth, ideal = 1 / np.log2(3), 1 / np.log2(7), 1 + 1 / np.log2(3)
    assert got.loc[0, ["ndcg@1", "ndcg@2", "ndcg@5", "ndcg@6"]].tolist() == pytest.approx(
        [0, second / ideal, second / ideal, (second + sixth) / ideal]
    )
    assert got.loc[1].tolist() == pytest.approx([0, 0, 0, 1, 0, 0, 0, sixth])


def test_full_ranking_is_that_of_sklearn_without_ties():
    rng = np.random.default_rng(0)
    scores, relevant = rng.normal(size=(30, 51)), rng.random((30, 51)) < 0.1
    relevant[:, 0], relevant[:, 1] = False, True
    before = scores.copy()
    got = metrics.full_ranking(scores, relevant)
    for k in (5, 10):
        one_by_one = [ndcg_score([r], [s], k=k) for r, s in zip(relevant[:, 1:], scores[:, 1:], strict=True)]
        np.testing.assert_allclose(got[f"ndcg@{k}"], one_by_one, atol=1e-12)
        best = np.argsort(-scores[:, 1:], axis=1)[:, :k] + 1
        assert got[f"hr@{k}"].tolist() == np.take_along_axis(relevant, best, axis=1).any(axis=1).tolist()
    as_sets = [set(np.flatnonzero(row)) for row in relevant]
    pd.testing.assert_frame_equal(metrics.full_ranking(scores, as_sets), got)
    assert np.array_equal(scores, before)  # the caller's array is left alone


def test_full_ranking_counts_ties_against_the_model(monkeypatch):
    assert metrics.full_ranking(np.ones((2, 30)), [{1}, {2, 3}]).to_numpy().sum() == 0
    assert metrics.full_ranking(np.ones((1, 30)), [{1}], ks=(28, 29))["hr@29"].tolist() == [1]
    rng = np.random.default_rng(1)
    scores, relevant = rng.integers(0, 9, size=(20, 30)), rng.random((20, 30)) < 0.2
    whole = metrics.full_ranking(scores, relevant)
    monkeypatch.setattr("sellarec_lab.metrics.per_user._CELLS", 70)
    pd.testing.assert_frame_equal(metrics.full_ranking(scores, relevant), whole)


def test_full_ranking_without_anything_to_find_is_empty():
    got = metrics.full_ranking(np.ones((2, 3)), [set(), set()])
    assert got.empty and got.columns.tolist() == ["hr@5", "hr@10", "ndcg@5", "ndcg@10"]


@pytest.mark.parametrize(
    ("scores", "relevant", "ks", "says"),
    [
        (np.ones(3), [{1}], (5,), r"shape \(3,\), expected \[n_users"),
        (np.ones((2, 3)), [{1}], (5,), r"relevant has 1 rows, scores have shape \(2, 3\)"),
        (np.ones((1, 3)), [{3}], (5,), "reach from 3 to 3"),
        (np.ones((1, 3)), np.ones((1, 2), dtype=bool), (5,), r"relevant has shape \(1, 2\)"),
        (np.ones((1, 3)), [{1}], (0,), r"ks are \(0,\)"),
    ],
)
def test_full_ranking_refuses(scores, relevant, ks, says):
    with pytest.raises(ValueError, match=says):
        metrics.full_ranking(scores, relevant, ks)


# --------------------------------------------------------------------------------- calibration


def test_calibration_of_known_probabilities():
    labels = np.array([1, 0, 0, 0] * 25)
    assert metrics.expected_calibration_error(labels, np.full(100, 0.25)) == pytest.approx(0)
    assert metrics.expected_calibration_error(labels, np.full(100, 0.75)) == pytest.approx(0.5)
    assert metrics.expected_calibration_error([0, 1], [0.0, 1.0]) == 0
    assert metrics.log_loss([0, 1], [0.5, 0.5]) == pytest.approx(np.log(2))
    assert metrics.log_loss([1, 1], [0.5, 0.25]) == pytest.approx(1.5 * np.log(2))


@pytest.mark.parametrize("measure", [metrics.log_loss, metrics.expected_calibration_error])
def test_calibration_refuses_logits(measure):
    with pytest.raises(ValueError, match="are no probabilities, first in row 1"):
        measure([0, 1], [0.5, 3.2])


@pytest.mark.parametrize(("unit", "shift"), [(1.0, 0.0), (1e-5, 300.0), (1e4, -2e5)])
def test_calibration_finds_the_line_that_made_the_labels(unit, shift):
    rng = np.random.default_rng(0)
    log_odds = rng.normal(0.5, 1.5, 40_000)
    labels = (rng.random(40_000) < 1 / (1 + np.exp(-log_odds))).astype(int)
    found = metrics.calibrate(labels, unit * log_odds + shift)
    assert found.slope * unit == pytest.approx(1, abs=0.05)
    assert found.slope * shift + found.intercept == pytest.approx(0, abs=0.05)
    made = metrics.probabilities(unit * log_odds + shift, found)
    assert made.mean() == pytest.approx(labels.mean(), abs=1e-4)  # a fitted logit keeps the mean
    assert metrics.expected_calibration_error(labels, made) < 0.01


def test_calibration_of_scores_that_say_nothing_or_all():
    assert metrics.probabilities([3.0], metrics.calibrate([0, 1, 1, 1], [3.0] * 4)) == pytest.approx(0.75, abs=1e-4)
    few = metrics.calibrate([0, 1] * 50, [0.0] * 98 + [0.0, 1.0])  # interquartile range 0
    assert np.isfinite(few).all() and few.slope > 0
    apart = metrics.calibrate([0, 0, 1, 1], [1.0, 2.0, 3.0, 4.0])
    assert np.isfinite(apart).all() and apart.slope > 5


def test_calibration_refuses_what_it_cannot_fit():
    with pytest.raises(ValueError, match="both classes, got 2 positive of 2"):
        metrics.calibrate([1, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="1 of 2 scores are infinite"):
        metrics.calibrate([0, 1], [0.1, np.inf])


# --------------------------------------------------------------------------------- uncertainty


@pytest.mark.parametrize("metric", ["auc", "uauc", "ndcg", "map"])
def test_interval_is_that_of_brute_force_resampling(metric):
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


def test_interval_does_not_depend_on_how_draws_are_chunked(monkeypatch):
    frame = predictions()
    whole = metrics.interval(frame, samples=50)
    monkeypatch.setattr("sellarec_lab.metrics.uncertainty._CELLS", 7 * len(frame))
    monkeypatch.setattr("sellarec_lab.metrics.uncertainty._KEPT", {})
    assert metrics.interval(frame, samples=50) == whole


def test_interval_holds_its_value_and_narrows_with_users():
    few, many = (metrics.interval(predictions(20 * n, n), samples=200) for n in (20, 200))
    for got in (few, many):
        assert got.low < got.value < got.high
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_interval_refuses():
    frame = predictions()
    with pytest.raises(ValueError, match=r"'recall', expected one of \['auc', 'uauc', 'ndcg', 'map'\]"):
        metrics.interval(frame, "recall")
    with pytest.raises(ValueError, match=r"lacks \['score'\]"):
        metrics.interval(frame.drop(columns="score"))
    with pytest.raises(ValueError, match="at least one user"):
        metrics.interval(frame.assign(user_id=np.arange(len(frame))), "uauc")


@pytest.mark.parametrize("metric", ["auc", "uauc", "ndcg", "map"])
def test_paired_tells_better_from_same(metric):
    weak, strong = predictions(signal=0.5), predictions(signal=2.0)
    better = metrics.paired(strong, weak.sample(frac=1, random_state=0), metric, samples=200)
    assert 0 < better.low < better.difference < better.high
    assert better.p_value < 0.02
    assert better.users == 25
    worse = metrics.paired(weak, strong, metric, samples=200)
    assert worse.difference == pytest.approx(-better.difference)
    assert (worse.low, worse.high) == pytest.approx((-better.high, -better.low))
    assert metrics.paired(weak, weak, metric, samples=50)[:4] == (0, 0, 0, 1)


def test_paired_uauc_p_value_is_the_paired_t_test():
    a, b = predictions(signal=1.0), predictions(signal=0.8).assign(score=predictions(seed=5)["score"])
    per_user = [metrics.user_auc(f["user_id"], f["label"], f["score"])["auc"] for f in (a, b)]
    got = metrics.paired(a, b, "uauc", samples=50)
    assert got.p_value == pytest.approx(stats.ttest_rel(*per_user).pvalue)
    assert got.difference == pytest.approx((per_user[0] - per_user[1]).mean())


@pytest.mark.parametrize(("metric", "table"), [("ndcg", metrics.user_ndcg), ("map", metrics.user_map)])
def test_paired_per_user_metrics_rest_on_the_t_test(metric, table):
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


def test_paired_refuses_other_rows():
    frame = predictions()
    with pytest.raises(ValueError, match="400 rows and 399 rows"):
        metrics.paired(frame, frame.iloc[1:])
    with pytest.raises(ValueError, match="same rows; first mismatch"):
        metrics.paired(frame, frame.assign(label=1 - frame["label"]))
    with pytest.raises(ValueError, match=r"lacks \['item_id'\]"):
        metrics.paired(frame, frame.drop(columns="item_id"))


# ----------------------------------------------------------------------------------- alignment


def test_alignment_of_a_space_with_itself():
    a, _ = spaces()
    assert metrics.matched_cosine(a, 3 * a) == pytest.approx(1)
    assert metrics.matched_cosine(a, -a) == pytest.approx(-1)
    assert metrics.retrieval_at(a, a, k=1) == 1
    assert metrics.neighbour_overlap(a, a, k=5) == 1


def test_cka_of_a_rotated_scaled_shifted_space_is_one():
    a, b = spaces()
    rotation, _ = np.linalg.qr(b[:8])
    assert metrics.linear_cka(a, 5 * a @ rotation + 2) == pytest.approx(1)
    assert metrics.linear_cka(a, b) < 0.5
    assert metrics.neighbour_overlap(a, a @ rotation, k=5) == 1


def test_shuffled_is_the_control():
    a, _ = spaces(n=300)
    control = metrics.shuffled(a, seed=1)
    assert np.array_equal(np.sort(control, axis=0), np.sort(a, axis=0))
    assert np.array_equal(control, metrics.shuffled(a, seed=1))
    assert abs(metrics.matched_cosine(a, control)) < 0.1
    assert metrics.retrieval_at(a, control, k=3) < 0.05
    assert metrics.neighbour_overlap(a, control, k=10) == pytest.approx(10 / 299, abs=0.03)


def test_collapsed_space_retrieves_nothing():
    a, _ = spaces()
    assert metrics.retrieval_at(a, np.ones_like(a), k=10) == 0


def test_spaces_of_different_width_where_that_makes_sense():
    a, b = spaces()
    assert 0 <= metrics.linear_cka(a, b[:, :3]) <= 1
    assert 0 <= metrics.neighbour_overlap(a, b[:, :3], k=5) <= 1


@pytest.mark.parametrize("measure", [metrics.matched_cosine, metrics.retrieval_at])
def test_width_mismatch_names_both_shapes(measure):
    a, b = spaces()
    with pytest.raises(ValueError, match=r"\(60, 8\), b has shape \(60, 3\)"):
        measure(a, b[:, :3])


@pytest.mark.parametrize(
    "measure",
    [metrics.matched_cosine, metrics.retrieval_at, metrics.linear_cka, metrics.neighbour_overlap],
)
def test_alignment_refuses(measure):
    a, b = spaces()
    with pytest.raises(ValueError, match=r"\(60, 8\), b has shape \(59, 8\)"):
        measure(a, b[1:])
    with pytest.raises(ValueError, match="NaN"):
        measure(a, np.where(b > 2, np.nan, b))
    with pytest.raises(ValueError, match=r"row 0 is all zero|not defined"):
        measure(a, 0 * b)


def test_neighbour_overlap_refuses_k():
    with pytest.raises(ValueError, match="k is 60, expected 1 to 59"):
        metrics.neighbour_overlap(*spaces(), k=60)
