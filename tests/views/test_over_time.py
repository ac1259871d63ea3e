"""The walk of alignment: every moment is drawn where it stood."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import views
from sellarec_lab.alignment import Snapshots
from sellarec_lab.views import attributes, maps, over_time


def snapshots(toy, moments: int = 3, width: int = 6, still: bool = False) -> Snapshots:
    """Items walk from anywhere to their semantics; the first item is cold."""
    draw = torch.Generator().manual_seed(0)
    n, u = toy.n_items, toy.n_users
    semantics = torch.randn(n, width, generator=draw)
    start = torch.randn(n, width, generator=draw)
    share = torch.linspace(0, 1, moments)[:, None, None]
    moved = semantics.expand(moments, n, width) + (0 if still else 0.01 * share)
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


def test_one_map_holds_all_moments(toy):
    made = snapshots(toy)
    figure = draw(toy, made)
    stacks = [WORDS, *(t.double().numpy().reshape(-1, 6) for t in (made.users, made.semantics, made.items))]
    union = np.concatenate(stacks)
    expected = maps.pca(union / np.linalg.norm(union, axis=1, keepdims=True)).xy
    n, u = toy.n_items, toy.n_users
    np.testing.assert_allclose(figure.data[0].x, expected[:20, 0], atol=1e-4)
    items = expected[20 + 3 * u + 3 * n :].reshape(3, n, 2)
    moments = figure.layout.sliders[0].steps
    assert [m.label for m in moments] == ["start", "10", "20, kept"]
    for s, moment in enumerate(moments):
        moved, traces = moment.args
        assert list(traces)[:3] == [1, 2, 3] and figure.data[traces[3]].xaxis == "x2"  # words stand still
        np.testing.assert_allclose(np.c_[moved["x"][2], moved["y"][2]], items[s], atol=1e-4)
        assert moved["x"][3] == [s * 10] * 2  # the line in the panel of numbers
        json.dumps(moved)
    np.testing.assert_allclose(figure.data[3].x, items[-1, :, 0], atol=1e-4)  # without a click: what was kept
    assert list(figure.data[3].text) == moments[-1].args[0]["text"][2]
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert left < expected[:, 0].min() and expected[:, 0].max() < right  # all moments fit, so the map stands still
    assert bottom < expected[:, 1].min() and expected[:, 1].max() < top
    assert figure.layout.sliders[0].active == 2 and not figure.frames  # frames would play by themselves


def test_the_numbers_stand_beside_the_map(toy):
    made = snapshots(toy)
    figure, table = draw(toy, made), views.scores_over_time(made)
    for name in table.index.unique("score"):
        lines = [t for t in figure.data if t.name == name]
        for line, column in zip(lines, ("value", "shuffled control"), strict=True):
            assert line.xaxis == "x2"
            assert list(line.x) == [0, 10, 20]
            assert list(line.y) == table.xs(name, level="score")[column].tolist()


def test_a_semantic_table_that_stands_still_enters_the_fit_once(toy, monkeypatch):
    asked = []
    monkeypatch.setattr(over_time, "coordinates", lambda points, *rest: asked.append(len(points)) or maps.pca(points))
    draw(toy, snapshots(toy))
    figure = draw(toy, snapshots(toy, still=True))
    assert asked == [20 + 3 * (24 + 16 + 16), 20 + 3 * (24 + 16) + 16]
    first, *_, last = (moment.args[0]["x"] for moment in figure.layout.sliders[0].steps)
    assert first[1] == last[1] and first[2] != last[2]


def test_hover_tells_title_and_nearest_words_of_that_moment(toy):
    made = snapshots(toy)
    figure = draw(toy, made)
    for s in (0, 2):
        near = views.nearest_words(made.items[s, 4:5].numpy(), WORDS, VOCABULARY, k=3)["word"].str.strip()
        text = figure.layout.sliders[0].steps[s].args[0]["text"][2][4]
        assert text.startswith(f"<b>{toy.titles[5]}</b><br>{toy.items.loc[5, 'genres']}, ")
        assert text.endswith("near: " + ", ".join(near))
    assert f"{(toy.train['item_id'] == 5).sum()} train rows" in figure.data[3].text[4]
    assert figure.data[0].text[3] == "word3"
    assert figure.data[1].text[2].startswith("<b>user 3</b>")


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
    entries = [figure.data[i].name for i, on in zip(traces, change["visible"]) if on and i > 3]
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
    cold = SimpleNamespace(items=toy.items, titles=toy.titles, train=toy.train[toy.train["item_id"] != 7])
    figure = draw(cold, snapshots(toy))
    change, _ = figure.layout.updatemenus[0].buttons[3].args
    colours = change["marker.color"][3]
    assert colours[6] not in colours[:6] + colours[7:] and len(set(colours)) == 2
    assert "cold: not in train" in figure.data[3].text[6]


def test_large_catalogues_are_drawn_in_part(toy):
    figure = draw(toy, snapshots(toy), most=4)
    assert [len(t.x) for t in figure.data[:4]] == [20, 4, 4, 4]
    assert toy.titles[5] in figure.data[3].text[1]
    assert "genre" not in str(draw(SimpleNamespace(
        items=toy.items.drop(columns="genres"), titles=toy.titles, train=toy.train
    ), snapshots(toy), most=4).layout.updatemenus)  # fmt: skip


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

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Stand))
    first = draw(toy, snapshots(toy), method="umap", cache=tmp_path)
    monkeypatch.setattr(maps, "umap_map", lambda *_: pytest.fail("computed again"))
    assert draw(toy, snapshots(toy), method="umap", cache=tmp_path).to_json() == first.to_json()
    assert "UMAP 1" in first.layout.xaxis.title.text
