"""Views: what is drawn is what was given; bad shapes are loud; html is escaped; maps are cached."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from sellarec_lab import data as rooms
from sellarec_lab import prompts, views
from sellarec_lab.sella import AnswerToken, Explanation, LeftOut
from sellarec_lab.training import History
from sellarec_lab.views import maps, style
from sellarec_lab.views import prompt as picture

# ------------------------------------------------------------------------------------- fixtures


def history(metrics: bool = True) -> History:
    records = [{"step": s, "epoch": 0, "loss": 1 / s, "learning_rate": 0.1, "seconds": 1.0} for s in range(1, 7)]
    if not metrics:
        return History(records)
    for step, auc in ((2, 0.6), (4, 0.7), (6, 0.65)):
        records[step - 1] |= {"auc": auc, "uauc": auc - 0.05}
    return History(records, best=0.7, best_step=4)


def world():
    """Three users, two films, one day apart; the last film and the last user are cold."""
    rows = pd.DataFrame(
        {
            "user_id": [1, 1, 2, 2, 3, 3],
            "item_id": [1, 2, 1, 2, 2, 3],
            "label": [1, 0, 1, 1, 0, 1],
            "timestamp": [0, 86_400, 172_800, 259_200, 345_600, 432_000],
            "split": ["train"] * 4 + ["valid", "test"],
        }
    )
    items = pd.DataFrame({"item_id": [1, 2, 3], "title": ["A", "B", "C"]})
    return rooms.from_frames(rows, items, name="mini", split="split")


def results() -> pd.DataFrame:
    values = {"text": 0.6, "oracle": 0.9, "sella": 0.8}
    rows = [
        {"model": m, "split": "test", "metric": "auc", "value": v, "low": v - 0.02, "high": v + 0.03}
        for m, v in values.items()
    ]
    return pd.DataFrame([*rows, rows[0] | {"metric": "uauc", "value": 0.55}, rows[0] | {"split": "valid"}])


def scored(n: int = 200, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.random(n)
    frame = pd.DataFrame({"label": (rng.random(n) < truth).astype(int), "score": np.log(truth / (1 - truth))})
    return frame, truth


def explanation(title: str = "Night", **changes) -> Explanation:
    """What `Recommender.explain` returns, by hand: the view needs no model."""
    slots = ("user", "item")
    prompt = prompts.build(prompts.TEMPLATES["tiny"], ["", title], user_id=3, item_id=1, history=(), slots=slots)
    made = {
        "prompt": prompt,
        "tokens": ["Taste", ":", "<User_ID>", "\n", title, "<Item_ID>", "?"],
        "roles": ["frame", "frame", "user", "frame", "title", "item", "frame"],
        "ids": [40, 41, 0, 42, 43, 0, 44],
        "score": 1.5,
        "without": {"user": 1.0, "item": 2.25},
        "without_titles": [],
        "answers": (AnswerToken(" Yes", 7, 2.0, 0.5), AnswerToken(" No", 8, 0.5, 0.1116)),
    }
    return Explanation(**(made | changes))


def named(figure: go.Figure, name: str):
    found = [trace for trace in figure.data if trace.name == name]
    assert found, [trace.name for trace in figure.data]
    return found[0]


def cloud(n: int, d: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


# ------------------------------------------------------------------------------------- training


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


# ------------------------------------------------------------------------------------- maps


def test_pca_of_points_on_a_line():
    steps = np.array([-3.0, -1.0, 0.0, 4.0])
    direction = np.array([2.0, 1.0, 2.0]) / 3
    made = maps.pca(5 + steps[:, None] * direction)
    np.testing.assert_allclose(np.abs(made.xy[:, 0]), np.abs(steps), atol=1e-12)
    np.testing.assert_allclose(made.xy[:, 1], 0, atol=1e-12)
    assert made.variance == pytest.approx((1, 0))


def test_pca_of_one_row_or_one_column_has_two_coordinates():
    assert maps.pca(np.ones((1, 5))).xy.tolist() == [[0, 0]]
    np.testing.assert_allclose(np.abs(maps.pca(np.array([[1.0], [3.0]])).xy), [[1, 0], [1, 0]], atol=1e-12)


def test_map_draws_the_groups_at_known_places():
    """Directions on an arc around the x-axis: PCA's axes are sine and centred cosine, whatever the lengths."""
    angle = np.linspace(-0.5, 0.5, 5)
    arc = np.c_[np.cos(angle), np.sin(angle)] * np.arange(1, 6)[:, None]
    figure = views.alignment_map({"words": arc[:2], "item": arc[2:]}, {"item": ["a", "<b>", "c"]}, "pca", cache=None)
    x = np.concatenate([named(figure, n).x for n in ("words", "item")])
    y = np.concatenate([named(figure, n).y for n in ("words", "item")])
    np.testing.assert_allclose(x * np.sign(x[-1]), np.sin(angle), atol=1e-12)
    np.testing.assert_allclose(np.abs(y), np.abs(np.cos(angle) - np.cos(angle).mean()), atol=1e-12)
    assert list(named(figure, "item").text) == ["a", "&lt;b&gt;", "c"]
    assert named(figure, "item").marker.color == views.SLOT_COLOURS["item"]


def test_the_cache_is_used_and_knows_its_content(tmp_path, monkeypatch):
    groups = {"a": cloud(6), "b": cloud(6, seed=1)}
    first = views.alignment_map(groups, method="pca", cache=tmp_path)
    kept = list(tmp_path.iterdir())
    assert [p.suffix for p in kept] == [".safetensors"]
    monkeypatch.setattr(maps, "pca", lambda points: pytest.fail("computed again"))
    again = views.alignment_map(groups, method="pca", cache=tmp_path)
    assert again.to_json() == first.to_json()
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        views.alignment_map({"a": groups["a"] + 1e-9, "b": groups["b"]}, method="pca", cache=tmp_path)


def test_umap_is_asked_for_repeatable_cosine(monkeypatch, tmp_path):
    """The true fit takes half a minute with its import; here a stand-in notes what it was asked."""
    asked = []

    class Stand:
        def __init__(self, **settings):
            asked.append(settings)

        def fit_transform(self, points):
            return points[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Stand))
    groups = {"a": cloud(8), "b": cloud(4, seed=1)}
    for seed in (0, 0, 1):
        views.alignment_map(groups, seed=seed, cache=tmp_path)
    assert [s["random_state"] for s in asked] == [0, 1]  # the second call came from the cache
    assert asked[0] == dict(n_neighbors=11, min_dist=0.1, metric="cosine", random_state=0, n_jobs=1)
    with pytest.raises(ValueError, match=r"at least 10 rows, got an array of shape \(4, 4\)"):
        views.alignment_map({"b": cloud(4)}, cache=None)


@pytest.mark.slow
def test_true_umap_fits_quietly(recwarn):
    made = views.coordinates(cloud(40, 8), "umap", seed=3, cache=None)
    assert made.xy.shape == (40, 2) and np.isfinite(made.xy).all()
    assert not [w for w in recwarn if "n_jobs" in str(w.message)]


def test_umap_is_not_imported_by_the_room():
    assert "umap" not in vars(maps)


def test_mixing_of_islands_and_of_one_cloud():
    rng = np.random.default_rng(0)
    east, west = ([s * 10, 0, 0] + 0.1 * rng.normal(size=(30, 3)) for s in (1, -1))
    assert views.mixing({"east": east, "west": west}).share == 0
    both = cloud(400, 3)
    mixed = views.mixing({"a": both[::2], "b": both[1::2]})
    assert mixed.expected == pytest.approx(200 / 399)
    assert mixed.share == pytest.approx(mixed.expected, abs=0.05)


def test_maps_refuse_what_does_not_fit():
    with pytest.raises(ValueError, match=r"'b' has shape \(3, 5\), 'a' has shape \(3, 4\)"):
        views.alignment_map({"a": cloud(3), "b": cloud(3, 5)}, method="pca", cache=None)
    with pytest.raises(ValueError, match=r"hover: 'a' has shape \(1,\), its vectors have shape \(3, 4\)"):
        views.alignment_map({"a": cloud(3)}, {"a": ["one"]}, method="pca", cache=None)
    with pytest.raises(ValueError, match="row 0 is all zero"):
        views.alignment_map({"a": np.zeros((3, 4))}, method="pca", cache=None)
    with pytest.raises(ValueError, match="unknown method 'tsne'"):
        views.alignment_map({"a": cloud(3)}, method="tsne", cache=None)


# ------------------------------------------------------------------------------------- vectors


def test_a_space_aligned_with_itself_against_the_control():
    table = views.alignment_scores(cloud(200, 16), cloud(200, 16))
    assert list(table.index) == [
        "matched cosine", "retrieval@1", "retrieval@10", "linear CKA", "neighbour overlap@10",
    ]  # fmt: skip
    assert table["value"].to_numpy() == pytest.approx(1)
    assert (table["shuffled control"] < 0.3).all()
    with pytest.raises(ValueError, match=r"\(20, 4\), b has shape \(20, 5\)"):
        views.alignment_scores(cloud(20, 4), cloud(20, 5))


def test_nearest_words_by_hand():
    words = np.array([[1.0, 0], [0, 2.0], [3.0, 3.0], [-1, 0], [1, 0.1], [0, 0]])
    vocabulary = ["Ġdark", "funny", "mild", "loud", "x", "unused"]
    table = views.nearest_words([[5.0, 0], [0, 0.1]], words, vocabulary, k=2)
    assert table["row"].tolist() == [0, 0, 1, 1]
    assert table["rank"].tolist() == [1, 2, 1, 2]
    assert table["word"].tolist() == ["Ġdark", "mild", "funny", "mild"]
    assert table["cosine"].tolist() == pytest.approx([1, 0.5**0.5, 1, 0.5**0.5])
    assert views.nearest_words([[5.0, 0]], words, vocabulary, k=2, readable=False)["word"].tolist() == ["Ġdark", "x"]
    with pytest.raises(ValueError, match=r"vocabulary has shape \(2,\), words have shape \(6, 2\)"):
        views.nearest_words([[1.0, 0]], words, ["a", "b"])
    with pytest.raises(ValueError, match=r"'words' has shape \(6, 2\), 'vectors' has shape \(1, 3\)"):
        views.nearest_words([[1.0, 0, 0]], words, vocabulary)
    with pytest.raises(ValueError, match="expected 1 to 4"):
        views.nearest_words([[1.0, 0]], words, vocabulary, k=5)


def test_norms_are_lengths_and_widths_may_differ():
    figure = views.norms({"words": [[3.0, 4.0], [0, 1.0]], "user": [[2.0, 0, 0]]})
    assert list(named(figure, "words").y) == [5, 1]
    assert list(named(figure, "user").y) == [2]


def test_parameters_add_up():
    table = views.parameters_table({"backbone": (0, 90), "projector": (10, 10)})
    assert table.loc["all"].tolist() == [10, 100, 0.1]
    with pytest.raises(ValueError, match="5 trainable of 4"):
        views.parameters_table({"head": (5, 4)})


# ------------------------------------------------------------------------------------- data


def test_timeline_counts_rows_and_cold_share():
    figure = views.interaction_timeline(world())
    assert list(named(figure, "train").y) == [1, 1, 1, 1, 0, 0]
    assert list(named(figure, "test").y) == [0, 0, 0, 0, 0, 1]
    assert list(named(figure, "cold share").y) == [0, 0, 0, 0, 1, 1]


def test_history_lengths_are_shares_of_rows_with_at_least_so_many():
    train = named(views.history_lengths(world()), "train")
    assert list(train.x) == [0, 1]
    assert list(train.y) == [1, 0.5]  # histories of train rows: (), (1,), (), (1,)


# ------------------------------------------------------------------------------------- results


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


def paired_table() -> pd.DataFrame:
    rows = [("text", 0.05, 0.02, 0.08, 0.01), ("mf", -0.01, -0.03, 0.01, 0.4), ("broken", *[np.nan] * 4)]
    table = pd.DataFrame(rows, columns=["model", "difference", "low", "high", "p_holm"])
    return table.assign(split="test", metric="auc")


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


def costs_table() -> pd.DataFrame:
    rows = [("text", 10.0, 1.5), ("text", 30.0, 2.5), ("sella", 100.0, np.nan), ("other", 5.0, 1.0)]
    return pd.DataFrame(rows, columns=["model", "seconds", "peak_gb"])


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


# ------------------------------------------------------------------------------------- scores


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


# ------------------------------------------------------------------------------------- prompt

BOX = "display:inline-block;margin:1px;padding:0 3px;border-radius:4px;white-space:pre-wrap;"
PLAIN = BOX + "background:#F6F6F6;border:1px solid #E2E2E2;color:#444444"
TITLE = BOX + "background:#FFF3D6;border:1px solid #D9A521;color:#222222;font-weight:bold"
SOFT = BOX + "background:{0};border:1px solid {0};color:#FFFFFF;font-weight:bold"
ID = "<sub style='color:#6E6E6E;font-size:9px;margin-left:3px'>{0}</sub>"
SNAPSHOT = (
    f"<span title='position 0: frame, id 40' style='{PLAIN}'>Taste{ID.format(40)}</span>"
    f"<span title='position 1: frame, id 41' style='{PLAIN}'>:{ID.format(41)}</span>"
    f"<span title='position 2: soft token, no word' style='{SOFT.format('#0072B2')}'>&lt;User_ID&gt;</span>"
    f"<span title='position 3: frame, id 42' style='{PLAIN}'>↵{ID.format(42)}</span><br>"
    f"<span title='position 4: title, id 43' style='{TITLE}'>Night{ID.format(43)}</span>"
    f"<span title='position 5: soft token, no word' style='{SOFT.format('#D55E00')}'>&lt;Item_ID&gt;</span>"
    f"<span title='position 6: frame, id 44' style='{PLAIN}'>?{ID.format(44)}</span>"
)


def test_prompt_tokens_as_they_were():
    page = views.prompt_tokens(explanation())._repr_html_()
    assert f">{SNAPSHOT}</div>" in page
    assert "P(Yes) = <b>0.818</b>" in page
    assert "score +1.500 = logit(Yes) − logit(No)" in page
    assert f"<span style='{PLAIN}'> Yes{ID.format(7)}</span> logit +2.000, P 0.5000 of the whole vocabulary" in page
    assert f"<span style='{PLAIN}'> No{ID.format(8)}</span> logit +0.500, P 0.1116" in page
    assert "7 tokens, 2 of them soft" in page
    assert "<sub" not in picture.boxes(explanation(), ids=False)


def test_every_soft_token_of_a_kind_is_coloured():
    roles = ["prompt", "prompt", "user", "frame", "prompt", "item", "frame"]
    page = picture.boxes(explanation(roles=roles, tokens=["<Prompt>"] * 7))
    assert page.count(SOFT.format(views.SLOT_COLOURS["prompt"])) == 3 and "5 of them soft" in page
    assert explanation(roles=roles).positions == {"prompt": (0, 1, 4), "user": (2,), "item": (5,)}
    assert explanation(roles=roles).slots == {"prompt": 0, "user": 2, "item": 5}


@pytest.mark.parametrize("title", ["<script>alert('1')</script>", "<Item_ID>", "a & b"])
def test_titles_stay_text(title):
    made = explanation(title, without_titles=[LeftOut(1, title, 1.0)])
    for view in (views.prompt_tokens(made), views.attribution(made)):
        page = str(view)
        assert "<script>" not in page and "<Item_ID>" not in page and " & b" not in page
        assert "<script>alert" not in views.to_html(view)
    drawn = picture.boxes(made)
    assert drawn.count("soft token, no word") == 2  # only positions make a soft token
    assert drawn.count(SOFT.format(views.SLOT_COLOURS["item"])) == 1


def test_every_position_needs_a_token_a_role_and_an_id():
    with pytest.raises(ValueError, match="'tokens': 7, 'roles': 7, 'ids': 1"):
        explanation(ids=[1])
    with pytest.raises(ValueError, match="position 0 has the unknown role 'mood'; known roles: frame"):
        views.prompt_tokens(explanation(roles=["mood"] * 7))


def bars(made: Explanation) -> dict[str, str]:
    """Name → worth, from the top, as `attribution` writes them."""
    cells = re.findall("<td[^>]*>([^<]*)</td>", str(views.attribution(made)))
    return dict(zip(cells[::2], cells[1::2], strict=True))


def test_attribution_is_score_minus_score_without():
    assert bars(explanation()) == {"&lt;User_ID&gt;": "+0.500", "&lt;Item_ID&gt;": "-0.750"}
    page = str(views.attribution(explanation()))
    assert "does not add up" in page and "score +1.500, P(like) = 0.818" in page
    assert "left:50.00%;width:33.33%" in page and "left:0.00%;width:50.00%" in page  # the longest bar fills its half
    assert "nothing to take out" in str(views.attribution(explanation(without={})))


def test_attribution_sorts_titles_among_soft_tokens():
    titles = [LeftOut(4, "<b>Dusk", 1.25), LeftOut(6, "Dawn", 0.5), LeftOut(4, "Noon", 3.0)]
    made = explanation(without_titles=titles)
    assert list(bars(made).items()) == [
        ("Dawn", "+1.000"), ("&lt;User_ID&gt;", "+0.500"), ("&lt;b&gt;Dusk", "+0.250"), ("&lt;Item_ID&gt;", "-0.750"),
        ("Noon", "-1.500"),
    ]  # fmt: skip
    assert "Noon: score without it +3.000" in str(views.attribution(made))
    assert [part.name for part in picture.parts(made)] == ["<User_ID>", "<Item_ID>", "<b>Dusk", "Dawn", "Noon"]


def test_a_bar_never_divides_by_nothing():
    assert bars(explanation(without={"user": 1.5})) == {"&lt;User_ID&gt;": "+0.000"}


def test_the_verdict_marks_the_truth_and_escapes_its_lines():
    drawn = picture.verdict(explanation(), 0.625, ["<b> & more"])
    assert "left:62.5%" in drawn and "&lt;b&gt; &amp; more" in drawn
    assert "<span" not in picture.verdict(explanation())


# ------------------------------------------------------------------------------------- style


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
