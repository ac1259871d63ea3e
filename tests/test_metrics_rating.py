"""Metrics of labelled rows: equal to scikit-learn, right where the answer is known, loud where the input is bad."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, ndcg_score, roc_auc_score

from sellarec_lab import metrics


@pytest.mark.parametrize("decimals", [0, 1, 8])
def test_auc_is_that_of_sklearn(predictions, decimals):
    frame = predictions(decimals=decimals)
    assert metrics.auc(frame["label"], frame["score"]) == pytest.approx(
        roc_auc_score(frame["label"], frame["score"]), abs=1e-12
    )


def test_auc_of_known_orders():
    assert metrics.auc([0, 0, 1, 1], [1, 2, 3, 4]) == 1
    assert metrics.auc([1, 1, 0, 0], [1, 2, 3, 4]) == 0
    assert metrics.auc([0, 1, 0, 1], [7, 7, 7, 7]) == 0.5
    assert metrics.auc([0, 1], [-np.inf, np.inf]) == 1


def test_user_auc_is_that_of_a_loop_over_users(predictions):
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


def test_uauc_ignores_what_is_constant_within_a_user(predictions):
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
def test_user_metrics_are_those_of_sklearn(predictions, decimals, table, mean, name, measure):
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
