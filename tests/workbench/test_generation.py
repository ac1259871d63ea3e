"""The bench of a model that writes: a step at a time, it shows what the model says, and nothing fails silently."""

import dataclasses

import benches
import numpy as np
import pytest

from sellarec_lab import lcrec, workbench
from sellarec_lab.config import LoopConfig


@pytest.fixture(scope="module")
def ring():
    return benches.ring()


@pytest.fixture(scope="module")
def writer(lm_folder, ring, tmp_path_factory):
    loop = LoopConfig(batch_size=32, epochs=1, evaluations=1)
    return lcrec.train(benches.next_preset(lm_folder, tmp_path_factory.mktemp("writer"), lcrec__loop=loop), ring)


@pytest.fixture
def bench(writer, ring):
    return workbench.open(writer, ring)


def test_it_opens_on_a_history_without_what_came_next(bench, ring):
    rows = ring.test[ring.test["user_id"] == bench.user_id]
    assert bench.truth == rows["item_id"].iloc[0] and bench.history == tuple(rows["history"].iloc[0])
    assert "nothing is written yet: 2 tokens to go, 8 beams" in bench.to_html()


def test_a_step_writes_one_token_and_the_end_is_the_search_of_the_model(bench, writer):
    first = bench.step()
    assert len(bench.steps) == 1 and "1 of 2 tokens" in bench.to_html() and (first["item_id"] == 0).all()
    *_, last = bench.finish()
    *_, expected = writer.beams(bench.history, 8)
    assert last.equals(expected) and bench.finished
    with pytest.raises(ValueError, match="the indices are complete"):
        bench.step()
    bench.restart()
    assert bench.steps == []


def test_the_rank_of_what_came_next_is_that_of_exhaustive_scoring(bench, writer):
    bench.finish()
    scores = writer.score_prompts([writer.prompt(bench.history)], exact=True)[0]
    rank = 1 + int((scores > scores[bench.truth]).sum())
    assert f"of all 12 items it has rank {rank}<" in bench.to_html()


def test_edits_begin_anew_and_come_back_to_their_place(bench):
    own = bench.history
    bench.finish()
    bench.drop(own[1])
    assert bench.history == (own[0], *own[2:]) and bench.steps == [] and "the history was edited" in bench.to_html()
    bench.add(own[1])
    assert bench.history == own
    bench.widen(3)
    assert len(bench.step()) <= 3
    bench.drop(own[0])
    bench.reset()
    assert bench.history == own


def test_what_fails_raises_and_changes_nothing(bench):
    before = bench.history
    for wrong, message in (
        (lambda: bench.drop(bench.truth), "is not in the history"), (lambda: bench.add(before[0]), "already"),
        (lambda: bench.widen(0), "beams: 0, expected 1 to 20"), (lambda: bench.pick(9999), "9999 has liked nothing"),
        (lambda: bench.pick("nobody"), "no user has the id"), (lambda: bench.export("page.json"), "not as .json"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            wrong()
        assert bench.history == before and bench.steps == []


def test_words_find_items_as_they_are_typed(bench, writer):
    bench.controls["wish"].value = "colour 1"
    assert bench.found_items.equals(writer.search("colour 1", k=10))
    assert "items for “colour 1”" in bench.to_html()
    bench.controls["wish"].value = ""
    assert bench.found_items.empty and "items for" not in bench.to_html()


def test_controls_do_what_methods_do_and_show_what_fails(bench):
    w = bench.controls
    w["step"].click()
    assert len(bench.steps) == 1
    w["finish"].click()
    assert bench.finished and w["step"].disabled
    w["history"].children[0].value = False
    assert bench.history == bench.roll[1:]
    w["search"].value = "nobody at all"
    assert isinstance(bench.error, ValueError) and "nobody found" in w["search_says"].value
    w["users"].value = bench.found.users[1]
    assert bench.error is None and bench.user_id == bench.found.users[1]
    w["search"].value = "nobody there either"
    bench.restart()
    assert bench.error is None and w["error"].value == ""
    assert w["search"].value == "nobody there either" and "nobody found" in w["search_says"].value


def test_what_was_not_liked_is_no_history(writer, ring):
    user = int(ring.test["user_id"].iloc[0])
    disliked = ring.train.assign(label=(ring.train["item_id"] != ring.train["item_id"].iloc[0]).astype(int))
    bench = workbench.open(writer, dataclasses.replace(ring, train=disliked))
    bench.pick(user)
    assert (
        ring.train["item_id"].iloc[0] not in bench.history
        and len(bench.history) == len(ring.test["history"].iloc[0]) - 1
    )


def test_a_page_without_script_and_another_model_is_refused(bench, writer, ring, tmp_path):
    bench.finish()
    page = bench.export(tmp_path / "page.html").read_text(encoding="utf-8")
    assert bench.to_html() in page and "<script" not in page and "<svg" in page
    assert repr(bench).startswith("Generation(user") and bench._repr_mimebundle_()["text/html"] == bench.to_html()
    with pytest.raises(ValueError, match="open it alone"):
        workbench.open({"a": writer, "b": writer}, ring)
    assert np.isfinite(bench.steps[-1]["score"]).all()


def test_what_people_wrote_is_not_saved_with_a_model(writer, tmp_path):
    told = dataclasses.replace(writer.catalogue, reviews={1: ["a private word"]})
    model = lcrec.LCRec(writer.lm, writer.backbone, told, writer.profiles, writer.settings)
    model.save_pretrained(tmp_path)
    assert "private" not in (tmp_path / "catalogue.json").read_text(encoding="utf-8")
    assert lcrec.load(tmp_path).catalogue.words == list(told.words)
