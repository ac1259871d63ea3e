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
    new = next(i for i in range(1, 17) if i not in (*bench.rolls["history"], bench.case.item_id))
    c["add"].value = toy.titles[new]
    assert bench.case.history[-1] == new and c["add"].value == ""
    assert c["strip"].value + c["panel"].value == bench.to_html()


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
    assert bench.shown == ("sella",) and "TALLRec" not in c["strip"].value
    c["right"].value = "text"
    assert bench.shown == ("sella", "text") and "TALLRec" in c["strip"].value
    assert "struck out" not in c["panel"].value
    c["rank"].click()
    assert c["panel"].value.count("rated ones struck out") == 2 and "<s>" in c["panel"].value


def test_what_fails_in_a_callback_is_shown_and_the_last_good_case_stays(bench):
    c, first = bench.controls, bench.case
    for control, wrong, said in (
        ("template", "Offer: {titel}", "unknown field {titel}"), ("owner", "nobody", "no user has the id"),
        ("search", "worst", "predictions="), ("add", bench.lookup.titles[first.item_id], "is the target"),
    ):  # fmt: skip
        c[control].value = wrong
        beside = c[f"{control}_says"].value
        assert "ValueError" in beside and said in beside and "border:2px solid" in beside and c["error"].value == ""
        assert bench.case == first and isinstance(bench.error, ValueError) and c[control].value == wrong
    c["undo"].click()
    assert "nothing to undo" in c["error"].value
    bench.drop(first.history[0])
    assert c["error"].value == "" and bench.error is None


def test_a_refused_text_stays_with_its_error_until_it_is_corrected(bench):
    c, own = bench.controls, workbench.template_text(prompts.TEMPLATES["tiny"].pieces)
    c["template"].value = "Offer: {titel}"
    bench.drop(bench.case.history[0])
    assert c["template"].value == "Offer: {titel}" and "{titel}" in c["template_says"].value  # not lost by other edits
    c["template"].value = "Offer: {title}"
    assert bench.case.template == ("Offer: {title}",) and c["template_says"].value == ""
    c["template"].value = "no title"
    bench.undo()
    assert c["template"].value == own and c["template_says"].value == ""  # what the box stands for is another
    c["template"].value = "no title"
    c["reset"].click()
    assert c["template"].value == own and c["template_says"].value == ""
    c["template"].value = "Offer: {title}"
    c["template"].value = ""
    assert bench.case.template is None and c["template"].value == own


# ------------------------------------------------------------------------------------- steps and models


def test_steps_have_names_and_lead_back_and_on_again(bench):
    c, first = bench.controls, bench.case
    bench.switch_off("user")
    bench.retitle("Never Made")
    edited = bench.case
    assert [label for label, _ in c["steps"].options] == [
        "1 · as it is", "2 · switched off: <User_ID>", "3 · retitled: Never Made"
    ]  # fmt: skip
    c["undo"].click()
    c["undo"].click()
    assert bench.case == first and bench.step == "undone: switched off: <User_ID>"
    c["redo"].click()
    assert bench.case == first.switched("user", False) and c["steps"].value == 1
    c["steps"].value = 2
    assert bench.case == edited and "back at: retitled" in c["strip"].value
    c["redo"].click()
    assert "nothing to redo" in c["error"].value and bench.case == edited
    bench.undo()
    bench.switch_off("warm")
    with pytest.raises(ValueError, match="nothing to redo"):
        bench.redo()  # a new step forgets those that lay ahead
    assert len(bench.trail.steps) == 3
    with pytest.raises(ValueError, match="nothing to redo"):
        bench.go_to(3)
    with pytest.raises(ValueError, match="nothing to undo"):
        bench.go_to(-1)


def test_changes_are_told_against_the_case_before_and_a_pinned_one(bench):
    c, scores = bench.controls, [bench.explanations["sella"].score]
    c["pin"].click()
    assert c["pin"].description == "Unpin" and c["steps"].options[0][0] == "1 · as it is (pinned)"
    for kind in ("user", "warm"):
        bench.switch_off(kind)
        scores.append(bench.explanations["sella"].score)
    for other, name in ((scores[0], "“as it is” (pinned)"), (scores[1], "the case before")):
        assert f"{scores[2] - other:+.3f} against {name}" in c["strip"].value
    pinned = bench.answers.explained("sella", bench.pinned.case).probability
    assert f"before: {pinned:.3f}" in c["strip"].value  # the hollow mark
    c["pin"].click()
    assert bench.pinned == bench.trail.here and "against the case before" in c["strip"].value
    c["pin"].click()
    assert bench.pinned is None and "(pinned)" not in c["strip"].value


def test_models_change_places(bench):
    c, case = bench.controls, bench.case
    c["swap"].click()
    assert bench.shown == ("text", "sella") and c["left"].value == "text" and bench.case == case
    assert c["strip"].value.index("<b>text</b>") < c["strip"].value.index("<b>sella</b>")
    c["left"].value = "sella"  # stands on the other side
    assert bench.shown == ("sella", "text") and c["right"].value == "text"
    bench.choose("sella")
    c["swap"].click()
    assert "nothing to swap" in c["error"].value


# ------------------------------------------------------------------------------------- titles


def test_a_title_that_nearly_exists_is_asked_about(bench):
    c = bench.controls
    c["target"].value = "Flim number 3"
    assert bench.case.title == "Flim number 3" and "no film is called “Flim number 3”: did you mean" in c["panel"].value
    offered = [b for b in c["target_meant"].children[1:] if b.layout.display is None]
    assert offered[0].description == "Film number 3"
    offered[0].click()
    assert bench.case.item_id == bench.lookup.item("Film number 3") and bench.case.title is None
    assert all(b.layout.display == "none" for b in c["target_meant"].children)
    c["target"].value = "Quite another thing"
    assert all(b.layout.display == "none" for b in c["target_meant"].children)
    with pytest.raises(ValueError, match="no title holds 'Flim number 3'; did you mean “Film number 3”"):
        bench.target("Flim number 3")


def test_titles_in_another_order_are_meant_too(model, toy):
    titles = ["Matrix, The (1999)", "Crime Wave", *toy.titles[3:]]
    renamed = dataclasses.replace(toy, items=toy.items.assign(title=titles))
    close = workbench.Lookup(renamed).close
    assert close("the matrix") == (1,) and close("wave crime") == (2,) and close("crime waev") == (2,)
    assert close("something else") == ()


def test_a_new_title_of_the_history_is_text_and_can_be_corrected(bench):
    c, first = bench.controls, bench.case
    item = next(i for i in range(1, 17) if i not in (*bench.rolls["history"], first.item_id))
    right = bench.lookup.titles[item]
    wrong = right.replace("Film", "Flim")
    c["add"].value = wrong.replace(" ", "  ")
    assert bench.case.history == (*first.history, wrong) and c["add"].value == ""
    assert f"new in the history, as text alone: “{wrong}”" in c["panel"].value
    gone = bench.explanations["sella"].without_titles[-1]
    assert gone.title == wrong
    assert gone.score == pytest.approx(bench.answers.explained("sella", first).score, abs=1e-5)
    assert c["history"].children[len(first.history)].description == wrong
    next(button for button in c["add_meant"].children[1:] if button.description == right).click()
    assert bench.case == first.added(item)
    bench.undo()
    c["history"].children[len(first.history)].value = False
    assert bench.case == first


def test_what_a_new_title_switches_off_is_shown_as_off(bench):
    c = bench.controls
    bench.retitle("Never Made")
    assert not c["item"].value and c["item"].disabled and c["user"].value and not c["user"].disabled
    assert c["panel"].value.count("text-decoration:line-through") == 2  # item and warm, in the legend
    bench.undo()
    assert c["item"].value and not c["item"].disabled and "line-through" not in c["panel"].value


def test_titles_change_their_order_by_buttons_and_keep_it(bench):
    c, (a, b, *rest) = bench.controls, bench.case.history
    c["order"].value = b
    c["earlier"].click()
    assert bench.case.history == (b, a, *rest) and c["order"].value == b
    c["earlier"].click()
    assert "stand earlier than the oldest title" in c["error"].value and bench.case.history == (b, a, *rest)
    c["later"].click()
    c["later"].click()
    moved = (a, rest[0], b, *rest[1:])
    assert bench.case.history == moved
    bench.drop(rest[0])
    bench.undo()
    bench.drop(b)
    bench.add(b)
    assert bench.case.history == (a, b, *rest)  # back behind the title that it followed
    with pytest.raises(ValueError, match="item 99 is not in it"):
        bench.move(99, 1)


# ------------------------------------------------------------------------------------- on demand


def test_ids_logits_and_attention_are_shown_on_demand(bench):
    c = bench.controls
    assert "<sub" not in c["panel"].value and "logit +" not in c["panel"].value and "by layer" not in c["panel"].value
    for name, said in (("ids", "<sub"), ("logits", "of the whole vocabulary"), ("attention", "first token")):
        c[name].value = True
        assert said in c["panel"].value
        c[name].value = False
        assert said not in c["panel"].value
    bench.detail("attention", "ids")
    assert c["attention"].value and c["ids"].value and not c["logits"].value
    with pytest.raises(ValueError, match="unknown detail 'mood'; known: ids, logits, attention"):
        bench.detail("mood")


def test_what_the_data_knows_of_a_title_is_told_where_one_points(bench):
    genre = "crime" if (bench.case.item_id - 1) % 2 == 0 else "comedy"
    assert bench.lookup.about[bench.case.item_id].startswith("genres ")
    page = bench.to_html()
    liked = bench.case.history[0]
    assert f"title='{bench.lookup.titles[liked]}: {bench.lookup.about[liked]}'" in page  # beside its bar
    assert f" · {bench.lookup.about[liked]}'" in page and genre in page  # on its tokens


def test_an_edit_is_done_to_fifty_others(bench, model, text):
    with pytest.raises(ValueError, match="nothing was edited"):
        bench.spread()
    bench.switch_off("user")
    done = bench.spread(users=10)
    again = bench.spread(users=10)
    assert done.table.equals(again.table) and done.told == "<User_ID> off" and done.asked == 10
    users = np.random.default_rng(0).permutation(bench.found.users)[:10]
    cases = [bench._untouched(int(user)) for user in users]
    change = [
        np.subtract(*model.score_prompts([c.switched("user", False).prompt(model), c.prompt(model)])) for c in cases
    ]
    row = done.table.loc["sella"]
    assert row["users"] == 10 and row["change"] == pytest.approx(np.mean(change), abs=1e-5)
    assert row["low"] < row["change"] < row["high"]
    assert done.table.loc["text", ["change", "low", "high", "turned"]].tolist() == [0, 0, 0, 0]
    assert "done to 10 of 10 users: &lt;User_ID&gt; off" in bench.controls["panel"].value
    bench.undo()
    assert "done to 10" not in bench.controls["panel"].value


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
    unnamed = {
        "history",
        "disliked",
        "template",
        "found",
        "busy",
        "error",
        "status",
        "strip",
        "panel",
    }  # a label above, or output
    unnamed |= {name for name in bench.controls if name.endswith(("_says", "_meant", "_above"))}
    assert all(w.description for name, w in bench.controls.items() if name not in unnamed)
