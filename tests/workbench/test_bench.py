"""The bench and its controls: every step can be taken back, and nothing that fails is silent."""

import dataclasses

import numpy as np
import pytest

from sellarec_lab import prompts, workbench
from sellarec_lab.workbench import desk


def test_the_bench_opens_on_a_test_row_as_the_model_was_asked(bench, model, toy):
    row = toy.test[toy.test["user_id"] == bench.case.user_id].iloc[-1]
    assert bench.case.item_id == row["item_id"]
    assert bench.case.prompt(model) == model.prompt(int(row["user_id"]), int(row["item_id"]), list(row["history"]))
    expected = model.predict(toy.test.loc[[row.name]])["score"].iloc[0]
    assert bench.explanations["sella"].score == pytest.approx(expected, abs=1e-5)
    assert set(bench.explanations) == {"sella", "text"}


def test_every_edit_is_undone_exactly(bench):
    first, said = bench.case, bench.explanations["sella"].score
    bench.drop(first.history[0])
    bench.retitle("Never Made")
    bench.switch_off("user")
    bench.own(8)
    bench.rephrase("{title} for\n {user}?")
    bench.pick(5)
    bench.target("film number 3")
    for _ in range(7):
        bench.undo()
    assert bench.case == first and bench.explanations["sella"].score == said
    with pytest.raises(ValueError, match="nothing to undo"):
        bench.undo()
    bench.drop(first.history[0])
    bench.reset()
    assert bench.case == first
    bench.undo()
    assert bench.case == first.dropped(first.history[0])


def test_a_dropped_title_comes_back_to_its_place(bench):
    first = bench.case
    bench.drop(first.history[1])
    bench.add(first.history[1])
    assert bench.case == first


def test_an_unedited_history_moves_with_the_target(bench, toy):
    rated = bench.lookup.rated(bench.case.user_id)
    early = rated.iloc[6]
    bench.target(int(early["item_id"]))
    assert bench.case.history == tuple(early["history"])[-4:]
    bench.drop(bench.case.history[0])
    history = bench.case.history
    bench.target(int(rated.iloc[8]["item_id"]))
    assert bench.case.history == tuple(i for i in history if i != bench.case.item_id)


def test_what_fails_by_code_raises_and_changes_nothing(bench):
    first = bench.case
    for attempt in (
        lambda: bench.pick(999), lambda: bench.pick("nobody"), lambda: bench.drop(99), lambda: bench.add("film"),
        lambda: bench.rephrase("no title"), lambda: bench.own(999), lambda: bench.choose("gpt"), bench.choose,
        lambda: bench.target(99), lambda: bench.search("zzz"), lambda: bench.export("case.txt"),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            attempt()
        assert bench.case == first and bench.shown == ("sella", "text")


def test_searching(bench, model, toy):
    assert bench.search("u7").users == (bench.lookup.user("u7"),)
    assert bench.search("7").users == (7,)
    rows = bench.lookup.rows
    fans = rows[(rows["item_id"] == bench.lookup.item("Film number 3")) & (rows["label"] == 1)]["user_id"]
    assert bench.search("number 3").users == tuple(sorted(fans))
    assert bench.search("").users == tuple(sorted(toy.test["user_id"].unique()))
    with pytest.raises(ValueError, match="predictions="):
        bench.search("worst")
    worst = workbench.open(model, toy, predictions=toy.test.iloc[:0].assign(score=0.0)).lookup
    with pytest.raises(ValueError, match="nobody found"):
        worst.search("worst")
    frame = toy.train.assign(score=np.where(toy.train["user_id"] == 9, 1.0, 2.0) * toy.train["label"])
    frame.loc[frame["user_id"] == 9, "score"] *= -1
    assert workbench.open(model, toy, predictions=frame).search("worst").users[0] == 9


def test_cold_users_are_found_and_said_to_be_cold(model, text, toy):
    train = toy.train[toy.train["user_id"] != 4]
    bench = workbench.open(model, dataclasses.replace(toy, train=train))
    assert bench.search("cold").users == (4,)
    bench.pick(4)
    assert "was never trained" in bench.to_html()


def test_the_truth_is_shown_where_it_belongs_to_the_case(model, toy):
    truth = np.full((toy.n_users + 1, toy.n_items + 1), 0.625, dtype=np.float32)
    bench = workbench.open(model, dataclasses.replace(toy, truth=truth))
    assert "P(like) = 0.625" in bench.to_html()
    for edit in (lambda: bench.retitle("Never Made"), lambda: bench.own(9)):
        edit()
        assert "P(like) = 0.625" not in bench.to_html()
        bench.undo()


# ------------------------------------------------------------------------------------- the controls


def test_controls_drive_the_bench(bench, toy):
    c, first = bench.controls, bench.case
    c["history"].children[0].value = False
    assert bench.case == first.dropped(first.history[0])
    c["history"].children[0].value = True
    assert bench.case == first
    c["user"].value = False
    assert bench.case.off == ("user",)
    c["owner"].value = "u3"
    assert bench.case.owner == bench.lookup.user("u3")
    c["target"].value = "A film of my own"
    assert bench.case.title == "A film of my own"
    c["target"].value = "film number 2"
    assert bench.case.item_id == bench.lookup.item("Film number 2") and bench.case.title is None
    c["template"].value = "Offer: {title}\n{item}?"
    assert bench.case.template == ("Offer: {title}", "{item}?")
    c["reset"].click()
    assert bench.case.template is None and c["user"].value and c["owner"].value == ""
    c["undo"].click()
    assert bench.case.template == ("Offer: {title}", "{item}?")
    new = next(i for i in range(1, 17) if i not in (*bench.roll, bench.case.item_id))
    c["add"].value = toy.titles[new]
    assert bench.case.history[-1] == new and c["add"].value == ""
    assert c["panel"].value == bench.to_html()


def test_people_rows_and_models_are_chosen_by_controls(bench):
    c = bench.controls
    c["search"].value = "number 3"
    user = c["users"].options[-1][1]
    c["users"].value = user
    assert bench.case.user_id == user
    item = next(value for _, value in c["rows"].options if value not in (0, bench.case.item_id))
    c["rows"].value = item
    assert bench.case.item_id == item
    c["right"].value = desk.NOBODY
    assert bench.shown == ("sella",) and "TALLRec" not in c["panel"].value
    c["right"].value = "text"
    assert bench.shown == ("sella", "text") and "TALLRec" in c["panel"].value
    assert "struck out" not in c["panel"].value
    c["rank"].click()
    assert c["panel"].value.count("rated ones struck out") == 2 and "<s>" in c["panel"].value


def test_what_fails_in_a_callback_is_shown_and_the_last_good_case_stays(bench):
    c, first = bench.controls, bench.case
    for control, wrong, said in (
        ("template", "Offer: {titel}", "unknown field {titel}"), ("owner", "nobody", "no user has the id"),
        ("search", "worst", "predictions="), ("add", "film", "titles hold"), ("add", first.item_id, "is the target"),
    ):  # fmt: skip
        c[control].value = wrong if isinstance(wrong, str) else bench.lookup.titles[wrong]
        assert "ValueError" in c["error"].value and said in c["error"].value and "border:2px solid" in c["error"].value
        assert bench.case == first and isinstance(bench.error, ValueError)
    assert c["template"].value == workbench.template_text(prompts.TEMPLATES["tiny"].pieces) and c["owner"].value == ""
    c["undo"].click()
    assert "nothing to undo" in c["error"].value
    bench.drop(first.history[0])
    assert c["error"].value == "" and bench.error is None


def test_a_model_that_breaks_is_no_silent_failure(bench, model, monkeypatch):
    def explode(*_):
        raise FloatingPointError("a score is not finite <b>")

    first = bench.case
    monkeypatch.setattr(model, "score_prompts", explode)
    bench.controls["user"].value = False
    assert "a score is not finite &lt;b&gt;" in bench.controls["error"].value
    assert bench.case == first and bench.controls["user"].value and bench.controls["busy"].value == ""


def test_busy_is_said_while_a_slow_model_scores_and_a_known_case_is_not_asked_again(bench, model, monkeypatch):
    heard, original = [], model.score_prompts
    monkeypatch.setattr(
        model, "score_prompts", lambda many: heard.append(bench.controls["busy"].value) or original(many)
    )
    bench.switch_off("warm")
    assert len(heard) == 1 and "scoring ..." in heard[0]
    assert bench.controls["busy"].value == "" and 0 < bench.last_seconds < 3
    bench.undo()
    bench.switch_off("warm")
    assert len(heard) == 1


def test_every_control_is_named(bench):
    unnamed = {"history", "template", "found", "busy", "error", "status", "panel"}  # a label stands above, or output
    assert all(w.description for name, w in bench.controls.items() if name not in unnamed)
