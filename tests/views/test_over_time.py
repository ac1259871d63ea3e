"""The walk of alignment: every moment is drawn where it stood."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import views
from sellarec_lab.alignment import Snapshots
from sellarec_lab.views import attributes, maps
from sellarec_lab.views.walk import told_words


def snapshots(toy, moments: int = 3, width: int = 6) -> Snapshots:
    """Items walk from anywhere to their semantics; the first item is cold."""
    draw = torch.Generator().manual_seed(0)
    n, u = toy.n_items, toy.n_users
    semantics = torch.randn(n, width, generator=draw)
    start = torch.randn(n, width, generator=draw)
    share = torch.linspace(0, 1, moments)[:, None, None]
    moved = semantics.expand(moments, n, width) + 0.01 * share
    warm = torch.ones(n, dtype=torch.bool)
    warm[0] = False
    return Snapshots(
        torch.arange(moments) * 10, torch.arange(1, u + 1), torch.arange(1, n + 1), torch.ones(u, dtype=torch.bool),
        warm, torch.randn(moments, u, width, generator=draw), start * (1 - share) + moved * share, moved.clone(),
    )  # fmt: skip


WORDS = np.random.default_rng(3).normal(size=(20, 6))
VOCABULARY = [f" word{i}" for i in range(20)]


def draw(toy, made: Snapshots, **changes):
    return views.alignment_over_time(made, toy, WORDS, VOCABULARY, **({"method": "pca", "cache": None} | changes))


def test_scores_of_every_moment_leave_cold_items_out(toy):
    made = snapshots(toy)
    table = views.scores_over_time(made)
    assert table.index.unique("step").tolist() == [0, 10, 20]
    for s, step in enumerate((0, 10, 20)):
        alone = views.alignment_scores(made.items[s, 1:].numpy(), made.semantics[s, 1:].numpy())
        pd.testing.assert_frame_equal(table.loc[step], alone)
    matched = table["value"].xs("matched cosine", level="score").tolist()
    assert matched[0] < matched[1] < matched[2] == pytest.approx(1)
    with pytest.raises(ValueError, match="11 of 16 items are warm"):
        views.scores_over_time(made._replace(warm_items=torch.arange(16) < 11))


def test_the_ground_stands_still_and_tokens_walk_on_it(toy):
    made = snapshots(toy)
    figure = draw(toy, made)
    unit = lambda points: points / np.linalg.norm(points, axis=-1, keepdims=True)  # noqa: E731
    ground = unit(np.concatenate([WORDS, made.semantics[0].double().numpy()]))
    walked = unit(made.items.double().numpy().reshape(-1, 6))
    expected = maps.pca(ground, walked).xy
    n = toy.n_items
    np.testing.assert_allclose(figure.data[0].x, expected[:20, 0], atol=1e-4)
    np.testing.assert_allclose(figure.data[2].y, expected[20 : 20 + n, 1], atol=1e-4)
    items = expected[20 + n :].reshape(3, n, 2)
    moments = figure.layout.sliders[0].steps
    assert [m.label for m in moments] == ["before", "10", "20, kept"]
    for s, moment in enumerate(moments):
        moved, traces = moment.args
        assert list(traces)[:4] == [1, 3, 4, 5] and figure.data[traces[4]].xaxis == "x2"  # words, semantics stand still
        np.testing.assert_allclose(np.c_[moved["x"][1], moved["y"][1]], items[s], atol=1e-4)
        assert moved["x"][4] == [s, s]  # the line in the panel of numbers
        json.dumps(moved)
    np.testing.assert_allclose(figure.data[3].x, items[-1, :, 0], atol=1e-4)  # without a click: what was kept
    assert list(figure.data[3].hovertext) == moments[-1].args[0]["hovertext"][1]
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert left < expected[:, 0].min() and expected[:, 0].max() < right  # all moments fit
    assert bottom < expected[:, 1].min() and expected[:, 1].max() < top
    assert figure.layout.sliders[0].active == 2 and not figure.frames  # frames would play by themselves


def test_lines_lead_to_partners(toy):
    made = snapshots(toy)
    drawn = views.walk_map(made, toy, WORDS, VOCABULARY, method="pca", cache=None)
    figure = views.draw_walk(drawn, made, toy)
    own, random = figure.data[4], figure.data[5]
    assert own.visible is True and random.visible == "legendonly" and figure.data[1].visible == "legendonly"
    said = drawn.semantics.xy[0]
    for line, partners in ((own, np.arange(16)), (random, drawn.partners)):
        assert list(line.x[0::3]) == drawn.items.xy[-1, :, 0].tolist()
        assert list(line.x[1::3]) == said[partners, 0].tolist() and set(line.x[2::3]) == {None}
    assert not (drawn.partners == np.arange(16)).all()


def test_words_that_items_tell_are_drawn_and_written_out(toy):
    genre = toy.items["genres"].iloc[0]
    crowd = [f"word{i}" for i in range(400)] + [genre]
    words = np.random.default_rng(0).normal(size=(401, 6))
    drawn = views.walk_map(snapshots(toy), toy, words, crowd, method="pca", cache=None)
    assert len(drawn.names) == 300 and genre in drawn.names
    written = [drawn.names[i] for i in drawn.shown]
    assert genre in written and len(written) < 60
    titles = {word for title in toy.titles[1:] for word in title.split()}
    assert not titles & told_words(toy)


def test_how_far_a_picture_can_be_believed():
    kinds, noise = np.repeat(["a", "b"], 30), np.random.default_rng(0).normal(0, 0.01, (60, 2))
    full = np.where((kinds == "a")[:, None], [1.0, 0.0], [0.0, 1.0]) + noise
    mixed = np.c_[np.arange(60) % 30, np.zeros(60)]  # an "a" and a "b" at every place
    table = views.neighbourhoods({"islands": (full, full), "mixed": (full, mixed)}, kinds)
    assert table["full space"].tolist() == [1, 1] and table.loc["islands", "picture"] == 1
    assert table.loc["mixed", "picture"] == pytest.approx(0.45, abs=0.1)  # of 10 around, 5 or 4 of the own kind
    assert table["chance"].tolist() == pytest.approx([29 / 59] * 2)
    assert views.neighbourhoods({"islands": (full, full)}, [""] * 60).empty


def test_the_numbers_stand_beside_the_map(toy):
    made = snapshots(toy)
    figure, table = draw(toy, made), views.scores_over_time(made)
    for name in table.index.unique("score"):
        lines = [t for t in figure.data if t.name == name]
        for line, column in zip(lines, ("value", "shuffled control"), strict=True):
            assert line.xaxis == "x2"
            assert list(line.x) == [0, 1, 2] and list(line.customdata) == ["before", "10", "20, kept"]
            assert list(line.y) == table.xs(name, level="score")[column].tolist()


def test_hover_tells_title_and_nearest_words_of_that_moment(toy):
    made = snapshots(toy)
    figure = draw(toy, made)
    for s in (0, 2):
        near = views.nearest_words(made.items[s, 4:5].numpy(), WORDS, VOCABULARY, k=3)["word"].str.strip()
        text = figure.layout.sliders[0].steps[s].args[0]["hovertext"][1][4]
        assert text.startswith(f"<b>{toy.titles[5]}</b><br>{toy.items.loc[5, 'genres']}, ")
        assert text.endswith("near: " + ", ".join(near))
    assert f"{(toy.train['item_id'] == 5).sum()} train rows" in figure.data[3].hovertext[4]
    assert figure.data[0].hovertext[3] == "word3"
    assert figure.data[1].hovertext[2].startswith("<b>user 3</b>")


def test_colours_can_be_switched_without_a_kernel(toy):
    made = snapshots(toy)
    figure = draw(toy, made)
    buttons = {b.label: b.args for b in figure.layout.updatemenus[0].buttons}
    assert list(buttons) == ["colour: kind", "colour: genre", "colour: popularity", "colour: warm or cold"]
    assert all(b.method == "restyle" for b in figure.layout.updatemenus[0].buttons)
    for change, traces in buttons.values():
        assert len(change["marker.color"]) == len(change["visible"]) == len(traces)
        json.dumps(change)  # lists and plain numbers: what a saved page can hold
    change, traces = buttons["colour: genre"]
    entries = [figure.data[i].name for i, on in zip(traces, change["visible"]) if on is True and i > 3]
    assert {"crime", "comedy"} <= set(entries)
    key = {figure.data[i].name: figure.data[i].marker.color for i in traces}
    for kind in (2, 3):  # semantics and items; words and users have no genre
        assert change["marker.color"][kind] == [key[g] for g in toy.items["genres"]]
    assert isinstance(change["marker.color"][0], str) and isinstance(change["marker.color"][1], str)


def test_popularity_is_coloured_by_thirds():
    shades = attributes._thirds(np.array([0, 1, 2, 3, 40, 50, 600]))
    assert [shades.index(c) for c in shades] == [0, 1, 1, 3, 3, 5, 5]
    assert set(attributes._thirds(np.zeros(3))) == {shades[0]}


def test_cold_items_have_the_cold_colour(toy):
    cold = dataclasses.replace(toy, train=toy.train[toy.train["item_id"] != 7])
    figure = draw(cold, snapshots(toy))
    change, _ = figure.layout.updatemenus[0].buttons[3].args
    colours = change["marker.color"][3]
    assert colours[6] not in colours[:6] + colours[7:] and len(set(colours)) == 2
    assert "cold: not in train" in figure.data[3].hovertext[6]


def test_large_catalogues_are_drawn_in_part(toy):
    figure = draw(toy, snapshots(toy), most=4)
    assert [len(t.x) for t in figure.data[:4]] == [20, 4, 4, 4]
    assert toy.titles[5] in figure.data[3].hovertext[1]
    without = dataclasses.replace(toy, items=toy.items.drop(columns="genres"))
    assert "genre" not in str(draw(without, snapshots(toy), most=4).layout.updatemenus)


def test_the_walk_refuses_what_does_not_fit(toy):
    made = snapshots(toy)
    with pytest.raises(ValueError, match=r"'items' has shape \(16, 6\), 'words' has shape \(20, 5\)"):
        views.alignment_over_time(made, toy, WORDS[:, :5], VOCABULARY, method="pca", cache=None)
    with pytest.raises(ValueError, match=r"vocabulary has shape \(3,\), words have shape \(20, 6\)"):
        views.alignment_over_time(made, toy, WORDS, VOCABULARY[:3], method="pca", cache=None)


def test_the_walk_keeps_its_coordinates(toy, tmp_path, monkeypatch):
    class Stand:
        def __init__(self, **settings):
            pass

        def fit_transform(self, points):
            return points[:, :2]

        transform = fit_transform

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Stand))
    first = draw(toy, snapshots(toy), method="umap", cache=tmp_path)
    monkeypatch.setattr(maps, "umap_map", lambda *_: pytest.fail("computed again"))
    assert draw(toy, snapshots(toy), method="umap", cache=tmp_path).to_json() == first.to_json()
    assert "UMAP 1" in first.layout.xaxis.title.text
