"""Curves, the data, scores, and how every figure looks: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest
from samples import cloud, costs_table, history, named, paired_table, results, scored, world

from sellarec_lab import views
from sellarec_lab.training import History
from sellarec_lab.views import style


def test_training_curves_show_the_records_and_mark_the_best():
    figure = views.training_curves({"tuning": history(), "pre-training": history(metrics=False)})
    loss = named(figure, "loss as logged")
    assert list(loss.x) == [1, 2, 3, 4, 5, 6]
    assert list(loss.y) == pytest.approx([1 / s for s in range(1, 7)])
    assert list(named(figure, "validation AUC").x) == [2, 4, 6]
    assert list(named(figure, "validation AUC").y) == [0.6, 0.7, 0.65]
    assert list(named(figure, "validation UAUC").y) == pytest.approx([0.55, 0.65, 0.6])
    stars = [t for t in figure.data if t.name == "best"]
    assert len(stars) == 1 and (stars[0].x[0], stars[0].y[0]) == (4, 0.7)
    assert "not validated" in [a.text for a in figure.layout.annotations]


@pytest.mark.parametrize("stages", [1, 4, 5, 9])
def test_every_stage_gets_its_panel(stages):
    figure = views.training_curves({f"stage {i}": history() for i in range(stages)})
    assert sum(t.name == "validation AUC" for t in figure.data) == stages
    assert len({t.yaxis for t in figure.data}) == 2 * stages
    assert sum(bool(t.showlegend) for t in figure.data if t.name == "validation AUC") == 1


def test_a_history_without_records_is_refused():
    with pytest.raises(ValueError, match="'tuning' holds no record"):
        views.training_curves({"tuning": History()})
    with pytest.raises(ValueError, match="empty"):
        views.training_curves({})


def test_curves_follow_a_history_that_grows():
    """From the first record on, before any validation, and with the same object as it grows."""
    history = History()
    for step in range(1, 7):
        history.records.append({"step": step, "epoch": 0, "loss": 1 / step, "learning_rate": 0.1, "seconds": 1.0})
        if step % 3 == 0:
            history.records[-1]["auc"] = 0.5 + step / 20
            history.best, history.best_step = 0.5 + step / 20, step
        figure = views.training_curves({"live": history})
        loss = next(t for t in figure.data if t.name == "loss as logged")
        assert len(loss.x) == step
        validated = [t for t in figure.data if t.name == "validation AUC"]
        assert [len(t.x) for t in validated] == ([step // 3] if step >= 3 else [])
    star = next(t for t in figure.data if t.name == "best")
    assert (star.x[0], star.y[0]) == (6, 0.8)


def test_timeline_counts_rows_and_cold_share():
    figure = views.interaction_timeline(world())
    assert list(named(figure, "train").y) == [1, 1, 1, 1, 0, 0]
    assert list(named(figure, "test").y) == [0, 0, 0, 0, 0, 1]
    assert list(named(figure, "cold share").y) == [0, 0, 0, 0, 1, 1]


def test_history_lengths_are_shares_of_rows_with_at_least_so_many():
    train = named(views.history_lengths(world()), "train")
    assert list(train.x) == [0, 1]
    assert list(train.y) == [1, 0.5]  # histories of train rows: (), (1,), (), (1,)


def test_calibration_by_hand():
    frame = pd.DataFrame({"label": [0, 1, 1, 1], "score": [-2.0, -2.0, 2.0, 2.0]})
    figure = views.calibration(frame, truth=[0.1, 0.2, 0.9, 0.8])
    observed, true = named(figure, "observed share of likes"), named(figure, "true probability")
    assert list(observed.x) == pytest.approx([1 / (1 + np.exp(2)), 1 / (1 + np.exp(-2))])
    assert list(observed.y) == [0.5, 1]
    assert list(true.y) == pytest.approx([0.15, 0.85])
    assert list(named(figure, "rows").y) == [2, 2]
    low = observed.y - observed.error_y.arrayminus
    high = observed.y + observed.error_y.array
    assert (low >= 0).all() and (high <= 1 + 1e-12).all()


def test_scores_against_the_truth_that_made_them():
    frame, truth = scored()
    figure = views.score_against_truth(frame, truth)
    rows = named(figure, "row")
    np.testing.assert_allclose(rows.x, truth)
    np.testing.assert_allclose(rows.y, truth)
    assert "rank correlation 1.000" in figure.layout.title.text
    for view in (views.calibration, views.score_against_truth):
        with pytest.raises(ValueError, match=r"truth has shape \(3,\), scores have shape \(200,\)"):
            view(frame, truth[:3])
    with pytest.raises(ValueError, match=r"scored lacks the columns \['score'\]"):
        views.calibration(frame[["label"]])
    with pytest.raises(ValueError, match="not finite"):
        views.calibration(frame.assign(score=np.nan))


def test_pages_are_offline(tmp_path):
    page = views.to_html(views.norms({"a": cloud(3)}), tmp_path / "deep" / "norms.html")
    assert (tmp_path / "deep" / "norms.html").read_text(encoding="utf-8") == page
    assert 'src="http' not in page and len(page) > 1_000_000


def test_colours_keep_their_kind_and_never_repeat():
    chosen = style.colours(["items before", "users", "zebra", "items after", "words"])
    assert (chosen["users"], chosen["items before"]) == (views.SLOT_COLOURS["user"], views.SLOT_COLOURS["item"])
    assert len(set(chosen.values())) == 5


def test_every_figure_wears_the_template():
    frame, truth = scored()
    figures = (
        views.training_curves({"a": history()}), views.norms({"a": cloud(3)}), views.history_lengths(world()),
        views.results_forest(results()), views.paired_forest(paired_table()),
        views.cost_against_quality(costs_table(), results()),
        views.calibration(frame), views.score_against_truth(frame, truth),
    )  # fmt: skip
    assert all(figure.layout.template == views.TEMPLATE for figure in figures)
