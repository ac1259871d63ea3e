"""A case gives the prompt that is scored; edits change what they say, and nothing else."""

import dataclasses
import json

import numpy as np
import pytest

from sellarec_lab import prompts, sella, workbench
from sellarec_lab.prompts import Slot
from sellarec_lab.workbench import Case
from sellarec_lab.workbench.case import check_template, from_json


def kinds(prompt) -> list[str]:
    return [slot.kind for slot in prompt.slots]


@pytest.mark.parametrize("name", ["sella", "tallrec", "soft-prompt", "binllm", "sella-taste", "collm"])
def test_an_untouched_case_is_the_models_own_prompt(untrained, name):
    model = untrained(name)
    for user, item in ((3, 5), (24, 16), (1, 1)):
        assert Case.of(model, user, item).prompt(model) == model.prompt(user, item)
        assert Case.of(model, user, item, [2, 5, 7]).prompt(model) == model.prompt(user, item, [2, 5, 7])


def test_what_was_disliked_is_in_the_case_where_the_models_prompt_has_it(untrained, toy):
    model, text = untrained("tallrec-disliked"), untrained("tallrec")
    user, item, history = toy.valid.iloc[0][["user_id", "item_id", "history"]]
    for case, prompt in (
        (Case.of(model, user, item), model.prompt(user, item)),
        (Case.of(model, user, item, history), model.prompt(user, item, history)),
    ):
        assert case.prompt(model) == prompt and case.disliked
        assert from_json(json.loads(json.dumps(dataclasses.asdict(case)))) == case
        assert case.prompt(text) == dataclasses.replace(case, disliked=()).prompt(text)
    explained, again = case.explain(model), model.explain(user, item, list(history))
    assert explained.without_titles == again.without_titles
    assert {gone.item_id for gone in again.without_titles} == {*case.history, *case.disliked}
    with pytest.raises(ValueError, match="disliked: item 99 is not in the catalogue"):
        dataclasses.replace(case, disliked=(99,)).prompt(model)
    bench = workbench.open({"text": text, "told": model}, toy)
    bench.pick(int(user), int(item))
    assert bench.case == case


def test_a_dropped_title_leaves_the_history_and_nothing_else_changes(model, case):
    gone = case.history[1]
    edited = case.dropped(gone)
    assert edited == dataclasses.replace(case, history=(case.history[0], *case.history[2:]))
    assert edited.prompt(model) == model.prompt(3, 5, list(edited.history))
    with pytest.raises(ValueError, match="history: item 99 is not in it"):
        case.dropped(99)


def test_an_added_title_is_the_newest_and_may_exceed_the_usual_length(model, case):
    new = next(i for i in range(1, 17) if i not in (*case.history, 5))
    edited = case.added(new)
    assert edited.history == (*case.history, new) and len(edited.history) == 5
    shown = [s.item_id for s in edited.prompt(model).segments if getattr(s, "role", "") == "history"]
    assert shown == list(edited.history)
    with pytest.raises(ValueError, match="shown twice"):
        edited.added(new)
    with pytest.raises(ValueError, match="item 5 is the target"):
        case.added(5)


@pytest.mark.parametrize("title", ["Never Made", "<Item_ID> {user} {", "<script>alert(1)</script>"])
def test_a_free_title_is_text_and_takes_the_items_tokens_with_it(model, case, title):
    edited = case.retitled(title)
    prompt = edited.prompt(model)
    assert kinds(prompt) == ["user"] and prompt.item_id == 0
    assert title in prompt.text
    assert [s for s in prompt.segments if getattr(s, "role", "") == "title"] == [prompts.Text(title, "title", 0)]
    without = prompts.without_slot(prompts.without_slot(case.prompt(model), "item"), "warm")
    assert prompt.text == without.text.replace(model.profiles.titles[5], title)
    assert edited.retitled(None) == case
    assert np.isfinite(model.score_prompts([prompt])[0])


def test_another_target_keeps_the_rest_and_leaves_the_history(model, case):
    assert case.retargeted(16 if 16 not in case.history else 15).history == case.history
    moved = case.retargeted(case.history[0])
    assert moved.history == case.history[1:] and moved.item_id == case.history[0]


def test_tokens_are_switched_off_and_lent(model, case):
    assert kinds(case.switched("user", False).prompt(model)) == ["item", "warm"]
    assert case.switched("warm", False).switched("user", False).off == ("user", "warm")
    assert case.switched("user", False).switched("user", True) == case
    assert case.switched("user", False).prompt(model) == prompts.without_slot(case.prompt(model), "user")
    lent = case.owned(8).prompt(model)
    assert lent.slots == (Slot("user", 8), *case.prompt(model).slots[1:])
    assert lent.text == case.prompt(model).text and lent.user_id == 3
    assert case.owned(8).owned(3) == case == case.owned(8).owned(None)
    with pytest.raises(ValueError, match="off: unknown soft tokens"):
        case.switched("mood", False)


def test_codes_follow_the_owner_and_a_free_title_has_none(untrained):
    model = untrained("binllm")
    case = Case.of(model, 3, 5)
    assert "u8" in case.owned(8).prompt(model).text and "c5" in case.prompt(model).text
    assert "c5" not in case.retitled("Never Made").prompt(model).text


def test_a_template_is_edited_line_by_line(model, text, case):
    own = prompts.TEMPLATES["tiny"].pieces
    assert workbench.template_pieces(workbench.template_text(own)) == own
    paper = prompts.TEMPLATES["paper"].pieces
    assert workbench.template_pieces(workbench.template_text(paper)) == paper
    edited = case.rephrased(workbench.template_pieces("For{user}: \n{history}. \nSee {title}?"))
    assert edited.prompt(text).text.endswith(f". See {model.profiles.titles[5]}?")
    assert kinds(edited.prompt(model)) == ["user"] and not edited.prompt(text).slots


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("{history}?", "no piece holds {title}"),
        ("{title}\n{mood}", "piece 2 holds the unknown field {mood}; known: {history}"),
        ("{title} for {user}", "piece 1 holds 2 fields"),
        ("{title}\n{", "piece 2 holds a brace"),
        ("{title} }", "piece 1 holds a brace"),
        ("", "no piece holds {title}"),
    ],
)
def test_a_template_that_cannot_be_filled_is_refused(case, lines, said):
    with pytest.raises(ValueError) as error:
        case.rephrased(workbench.template_pieces(lines))
    assert said in str(error.value)
    with pytest.raises(ValueError, match="expected text"):
        check_template(("{title}", 3))


def test_ids_that_nobody_has_are_named(model, case):
    for field, value in (("user_id", 99), ("owner", 99), ("item_id", 17), ("history", (1, 18))):
        wrong = dataclasses.replace(case, **{field: value})
        with pytest.raises(ValueError, match=f"^{field}: "):
            wrong.prompt(model)
    for field, value in (("user_id", 0), ("item_id", "5"), ("history", (True,)), ("title", " "), ("owner", -1)):
        with pytest.raises(ValueError, match=f"^{field}: "):
            dataclasses.replace(case, **{field: value})


def test_a_case_survives_json(case):
    full = case.retitled("Ünmade").switched("user", False).owned(8).rephrased(["{title}", "a\nb"])
    for some in (case, full):
        assert from_json(json.loads(json.dumps(dataclasses.asdict(some)))) == some


# ------------------------------------------------------------------------------------- the answer


def test_an_answer_is_one_batch_and_agrees_with_scoring_by_hand(model, case, monkeypatch):
    calls = []
    original = sella.Recommender.score_prompts
    monkeypatch.setattr(
        sella.Recommender, "score_prompts", lambda self, many: calls.append(len(many)) or original(self, many)
    )
    said = case.explain(model)
    assert calls == [1 + 3 + len(case.history)]
    again = model.explain(3, 5, list(case.history))
    assert said.prompt == again.prompt and said.score == pytest.approx(again.score, abs=1e-5)
    assert said.without == pytest.approx(again.without, abs=1e-5)
    fewer = model.explain(3, 5, list(case.history[1:])).score
    assert said.without_titles[0].item_id == case.history[0]
    assert said.without_titles[0].score == pytest.approx(fewer, abs=1e-5)


@pytest.mark.parametrize("name", ["sella", "sella-taste", "binllm", "tallrec"])
def test_an_edited_case_is_explained_as_what_it_asks(untrained, name):
    """Free title, lent token, other words, a token off, and a history of one, whose words go with its title."""
    model = untrained(name)
    case = Case.of(model, 3, 5, [2, 7]).retitled("<Item_ID>").owned(8).switched("taste", False)
    pieces = ("For{user}: ", "{history}. ", "of{taste}; ", "{title}", "{item}?")
    for edited in (case, case.switched("taste", True).rephrased(pieces), case.rephrased(pieces).dropped(2)):
        said = edited.explain(model)
        assert said.prompt == edited.prompt(model) and "".join(said.tokens) == said.prompt.text
        assert [gone.item_id for gone in said.without_titles] == list(edited.history)
        fewer = [edited.dropped(item).prompt(model) for item in edited.history]
        by_hand = [model.score_prompts([prompt])[0] for prompt in (said.prompt, *fewer)]
        assert [said.score, *(gone.score for gone in said.without_titles)] == pytest.approx(by_hand, abs=1e-5)
        assert set(said.without) == set(said.positions) == set(kinds(said.prompt))


def test_a_template_without_history_has_no_title_to_leave_out(model, case):
    assert case.rephrased(("{user}", "{title}?")).explain(model).without_titles == []


def test_every_position_is_shown_as_it_is_embedded(untrained):
    model = untrained("soft-prompt")
    case = Case.of(model, 3, 5).retitled("<Prompt> of doom")
    said = case.explain(model)
    encoded = model.encoder.encode(case.prompt(model))
    assert said.positions == {"prompt": tuple(position for position, _ in encoded.slots)}
    assert "".join(said.tokens) == case.prompt(model).text
    assert set(said.roles) == {"prompt", "frame", "history", "title"}


def test_the_ranking_equals_scoring_one_by_one(model, case):
    ranked = workbench.ranking(model, case.switched("user", False))
    assert sorted(r.item_id for r in ranked) == list(range(1, 17))
    scores = [
        model.score_prompts([case.retargeted(r.item_id).switched("user", False).prompt(model)])[0] for r in ranked
    ]
    assert [r.score for r in ranked] == pytest.approx(scores, abs=1e-4)
    assert {r.item_id for r in ranked if r.seen} == set(model.profiles.seen[3])


def test_the_probability_of_an_answer_is_the_sigmoid_of_its_score(model, case):
    said = case.explain(model)
    assert said.probability == pytest.approx(1 / (1 + np.exp(-said.score)))
