"""The map that answers: what the browser gets, and what it can ask for."""

import json

import pytest
import traitlets
from views.test_over_time import VOCABULARY, WORDS, snapshots

from sellarec_lab import views, workbench


@pytest.fixture
def drawn(toy):
    return views.walk_map(snapshots(toy), toy, WORDS, VOCABULARY, method="pca", cache=None)


def test_the_scene_is_plain_data_of_one_size(toy, drawn):
    scene = json.loads(json.dumps(views.walk_scene(drawn, snapshots(toy), toy), allow_nan=False))
    n = toy.n_items
    assert [it["title"] for it in scene["items"]] == list(toy.titles[1:]) and len(scene["partners"]) == n
    assert [len(scene[part]["xy"]) for part in ("walked", "people", "semantics", "words")] == [3, 3, 1, 1]
    assert all(len(moment) == n for part in ("walked", "semantics") for moment in scene[part]["near"])
    assert [m["name"] for m in scene["moments"]] == ["before", "10", "20, kept"]
    assert scene["cosines"][2] == ["1.00"] * n and scene["cosines"][0] != scene["cosines"][2]
    table = views.scores_over_time(snapshots(toy)).loc[10]
    assert scene["moments"][1]["scores"][0] == ["matched cosine", *(f"{v:.3f}" for v in table.iloc[0])]


def test_a_lasso_is_a_table_and_a_moment_has_bounds(toy, drawn):
    walk = workbench.Walk(drawn, snapshots(toy), toy)
    assert walk.moment == 2 and walk.table.empty
    walk.selected = [3, 5]
    assert walk.table.index.tolist() == [3, 5]
    with pytest.raises(traitlets.TraitError, match="moment is 3, expected 0 to 2"):
        walk.moment = 3


def test_the_button_opens_and_says_what_failed(toy, drawn, capsys):
    asked = []
    walk = workbench.Walk(drawn, snapshots(toy), toy, lambda item: asked.append(item) or f"opened {item}")
    walk._hear({"open": 4})
    assert asked == [4] and "opened 4" in str(walk.below.outputs) + capsys.readouterr().out
    workbench.Walk(drawn, snapshots(toy), toy)._hear({"open": 4})
    assert "open_with=" in capsys.readouterr().out


def test_without_a_kernel_a_sentence_stands_there(toy, drawn):
    bundle = workbench.Walk(drawn, snapshots(toy), toy)._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert "application/vnd.jupyter.widget-view+json" in bundle and "Run the notebook" in bundle["text/html"]
