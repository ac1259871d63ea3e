"""Scores of alignment: known for equal, rotated, shuffled and collapsed spaces, loud where shapes differ."""

import numpy as np
import pytest

from sellarec_lab import metrics


def spaces(n=60, d=8, seed=0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=(n, d))


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
    "measure", [metrics.matched_cosine, metrics.retrieval_at, metrics.linear_cka, metrics.neighbour_overlap]
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
