"""Maps and vectors: known places, known neighbours; bad shapes are loud; coordinates are cached."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from samples import cloud, named

from sellarec_lab import views
from sellarec_lab.views import maps


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
    monkeypatch.setattr(maps, "pca", lambda points, placed: pytest.fail("computed again"))
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

        def transform(self, points):
            return points[:, 2:4]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Stand))
    placed = maps.umap_map(cloud(12), 0, cloud(3, seed=2)).xy  # not fitted, but placed on what was
    np.testing.assert_allclose(placed[12:], cloud(3, seed=2)[:, 2:4], atol=1e-6)
    asked.clear()
    groups = {"a": cloud(8), "b": cloud(4, seed=1)}
    for seed in (0, 0, 1):
        views.alignment_map(groups, seed=seed, cache=tmp_path)
    assert [s["random_state"] for s in asked] == [0, 1]  # the second call came from the cache
    assert asked[0] == dict(n_neighbors=11, min_dist=0.6, metric="cosine", random_state=0, n_jobs=1)
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


def test_nearest_items_by_hand():
    words = np.array([[1.0, 0], [0, 2.0]])
    tokens = np.array([[0, 1.0], [5.0, 5.0], [3.0, 0], [-1.0, 0]])
    table = views.nearest_items("dark", words, ["Ġdark", "Ġday"], tokens, list("abcd"), k=3)
    assert table["title"].tolist() == ["c", "b", "a"]
    assert table["rank"].tolist() == [1, 2, 3] and table["row"].tolist() == [2, 1, 0]
    assert table["cosine"].tolist() == pytest.approx([1, 0.5**0.5, 0])
    with pytest.raises(ValueError, match=r"'dawn' is no single token .* \['Ġdark', 'Ġday'\]"):
        views.nearest_items("dawn", words, ["Ġdark", "Ġday"], tokens, list("abcd"), k=1)
    with pytest.raises(ValueError, match=r"titles has shape \(2,\), tokens have shape \(4, 2\)"):
        views.nearest_items("dark", words, ["Ġdark", "Ġday"], tokens, ["a", "b"])
    with pytest.raises(ValueError, match=r"'words' has shape \(2, 2\), 'tokens' has shape \(1, 3\)"):
        views.nearest_items("dark", words, ["Ġdark", "Ġday"], [[1.0, 0, 0]], ["a"])
    with pytest.raises(ValueError, match="expected 1 to 4"):
        views.nearest_items("dark", words, ["Ġdark", "Ġday"], tokens, list("abcd"), k=5)


@pytest.mark.parametrize("k", [1, 3, 7])
def test_the_largest_come_first_and_ties_keep_their_order(k):
    cosine = np.random.default_rng(0).integers(0, 3, size=(50, 7)).astype(float)
    best = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(views.vectors._top(cosine, k), best)


def test_points_that_are_placed_move_nothing():
    points = cloud(40, 8)
    alone, both = maps.pca(points), maps.pca(points, points[[3, 17]] + 1e-6)
    np.testing.assert_allclose(both.xy[:40], alone.xy, atol=1e-6)
    np.testing.assert_allclose(both.xy[40:], alone.xy[[3, 17]], atol=1e-4)
    assert both.variance == alone.variance


def test_nearness_tells_words_from_what_is_said():
    words, said = np.eye(12)[:4], np.eye(12)[4:]
    table = views.nearness({"at words": words[:2], "at semantics": said[:2]}, words, said)
    assert table.loc["at words"].tolist()[:2] == pytest.approx([1, 0])
    assert table.loc["at semantics"].tolist()[:2] == pytest.approx([0, 1])
    assert 0 < table.loc["random directions", "nearest word"] < 1
    assert table["by chance"].tolist() == pytest.approx([4 / 12] * 3)
