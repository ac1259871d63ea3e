"""Metrics: equal to scikit-learn, right where the answer is known, loud where the input is bad."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from sellarec_lab import metrics


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


# --------------------------------------------------------------------------------- uncertainty


@pytest.mark.parametrize("metric", ["auc", "uauc"])
def test_interval_is_that_of_brute_force_resampling(metric):
    frame, samples, seed = predictions(n_rows=150, n_users=12), 60, 3
    users = np.unique(frame["user_id"])
    counts = np.random.default_rng(seed).multinomial(
        len(users), np.full(len(users), 1 / len(users)), size=samples
    )
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
            values.append(metrics.uauc(rows["user_id"], rows["label"], rows["score"]))
    got = metrics.interval(frame, metric, samples=samples, seed=seed)
    assert got[1:] == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_interval_does_not_depend_on_how_draws_are_chunked(monkeypatch):
    frame = predictions()
    whole = metrics.interval(frame, samples=50)
    monkeypatch.setattr("sellarec_lab.metrics.uncertainty._CELLS", 7 * len(frame))
    assert metrics.interval(frame, samples=50) == whole


def test_interval_holds_its_value_and_narrows_with_users():
    few, many = (metrics.interval(predictions(20 * n, n), samples=200) for n in (20, 200))
    for got in (few, many):
        assert got.low < got.value < got.high
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_interval_refuses():
    frame = predictions()
    with pytest.raises(ValueError, match="expected 'auc' or 'uauc'"):
        metrics.interval(frame, "ndcg")
    with pytest.raises(ValueError, match=r"lacks \['score'\]"):
        metrics.interval(frame.drop(columns="score"))
    with pytest.raises(ValueError, match="at least one user"):
        metrics.interval(frame.assign(user_id=np.arange(len(frame))), "uauc")


@pytest.mark.parametrize("metric", ["auc", "uauc"])
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
