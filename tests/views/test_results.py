"""Forests, gaps and costs: every row is drawn, and what is left out is said."""

import numpy as np
import pandas as pd
import pytest
from samples import costs_table, named, paired_table, results

from sellarec_lab import views


def test_forest_is_ordered_and_shows_the_oracle():
    figure = views.results_forest(results())
    points = named(figure, "auc")
    assert list(points.y) == ["text", "sella", "oracle"]
    assert list(points.x) == [0.6, 0.8, 0.9]
    assert list(points.marker.symbol) == ["circle", "circle", "diamond"]
    assert list(named(figure, "interval of sella").x) == pytest.approx([0.78, 0.83])
    assert list(named(views.results_forest(results(), "uauc"), "uauc").x) == [0.55]


def test_gap_closed_is_a_share_of_the_oracles():
    bars = views.gap_closed(results()).data[0]
    assert list(bars.y) == ["text", "sella"]
    assert list(bars.x) == pytest.approx([0.25, 0.75])
    assert list(bars.error_x.array) == pytest.approx([0.03 / 0.4] * 2)


def test_results_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match=r"lacks the columns \['low'\]"):
        views.results_forest(results().drop(columns="low"))
    with pytest.raises(ValueError, match="no 'ndcg' on 'test'; they hold auc on test"):
        views.results_forest(results(), "ndcg")
    with pytest.raises(ValueError, match=r"more than one row .* \['text'\]"):
        views.results_forest(pd.concat([results(), results().head(1)]))
    with pytest.raises(ValueError, match="no model 'oracle'"):
        views.gap_closed(results().query("model != 'oracle'"))


def test_failed_models_are_left_out_and_counted():
    table = results()
    table.loc[(table["model"] == "text") & (table["metric"] == "auc"), ["value", "low", "high"]] = np.nan
    figure = views.results_forest(table)
    assert list(named(figure, "auc").y) == ["sella", "oracle"]
    assert "1 failed and left out" in figure.layout.title.text
    assert "failed" not in views.results_forest(results()).layout.title.text
    assert list(views.gap_closed(table).data[0].y) == ["sella"]
    with pytest.raises(ValueError, match="no model has a value of 'auc' on 'valid': all 1 failed"):
        views.results_forest(table, split="valid")


def test_values_without_interval_and_metrics_where_less_is_better():
    table = results().assign(metric="log_loss", low=np.nan, high=np.nan).query("split == 'test'").head(3)
    figure = views.results_forest(table, "log_loss")
    assert list(named(figure, "log_loss").y) == ["oracle", "sella", "text"]  # from below
    assert list(named(figure, "interval of sella").x) == [0.8, 0.8]


def test_every_name_of_many_models_is_shown():
    many = pd.DataFrame({"model": [f"model {i}" for i in range(35)], "split": "test", "metric": "auc"})
    figure = views.results_forest(many.assign(value=0.6, low=0.5, high=0.7))
    assert (figure.layout.yaxis.tickmode, figure.layout.yaxis.dtick) == ("linear", 1)
    assert 20 * 35 < figure.layout.height < 1200
    assert list(figure.layout.yaxis.range) == [-0.7, 34.7]


def test_paired_forest_fills_what_is_shown():
    figure = views.paired_forest(paired_table(), against="sella")
    points = named(figure, "difference in auc")
    assert list(points.y) == ["mf", "text"] and list(points.x) == [-0.01, 0.05]
    assert list(points.marker.color) == ["white", "#0072B2"]
    assert list(points.error_x.array) == pytest.approx([0.02, 0.03])
    assert list(points.error_x.arrayminus) == pytest.approx([0.02, 0.03])
    assert figure.layout.shapes[0].x0 == 0
    assert "sella minus the model" in figure.layout.xaxis.title.text
    assert "1 failed" in figure.layout.title.text
    with pytest.raises(ValueError, match=r"tests lacks the columns \['p_holm'\]"):
        views.paired_forest(paired_table().drop(columns="p_holm"))
    with pytest.raises(ValueError, match="tests hold no 'uauc' on 'test'"):
        views.paired_forest(paired_table(), "uauc")


def test_cost_against_quality_draws_means_over_seeds():
    figure = views.cost_against_quality(costs_table(), results().assign(seconds=7.0, seeds=3))  # as in results.csv
    points = named(figure, "auc")
    assert list(points.x) == [20, 100] and list(points.y) == [0.6, 0.8]
    assert points.customdata.tolist() == [["text", "2.00 GB at most"], ["sella", "memory not measured"]]
    assert list(points.text) == ["20.0 s", "1.7 min"]
    assert list(points.error_y.array) == pytest.approx([0.03, 0.03])
    assert list(points.error_y.arrayminus) == pytest.approx([0.02, 0.02])
    assert figure.layout.xaxis.type == "log" and figure.layout.shapes[0].y0 == 0.9
    names = {a.text: a for a in figure.layout.annotations}
    assert names["sella"].x == pytest.approx(2) and names["sella"].y == 0.8  # annotations want the logarithm
    assert "oracle 0.900" in names


def test_cost_against_quality_says_what_it_leaves_out():
    figure = views.cost_against_quality(costs_table().query("model != 'sella'"), results())
    assert "1 without a known cost" in figure.layout.title.text
    with pytest.raises(ValueError, match=r"share no model .*\['text', 'sella'\]"):
        views.cost_against_quality(costs_table().assign(seconds=0.0), results())
    with pytest.raises(ValueError, match=r"costs lacks the columns \['peak_gb'\]"):
        views.cost_against_quality(costs_table()[["model", "seconds"]], results())


def test_names_of_near_points_stand_apart():
    near = pd.DataFrame({"model": [f"model {i}" for i in range(5)], "split": "test", "metric": "auc"})
    near = near.assign(value=0.6 + 0.001 * np.arange(5), low=0.5, high=0.7)
    money = near[["model"]].assign(seconds=60.0, peak_gb=1.0)
    names = views.cost_against_quality(money, near).layout.annotations
    places = {(a.ax > 0, a.ay) for a in names}
    assert len(places) == 5
    far = near.assign(value=np.linspace(0.5, 0.7, 5))
    assert {a.ay for a in views.cost_against_quality(money, far).layout.annotations} == {0}
