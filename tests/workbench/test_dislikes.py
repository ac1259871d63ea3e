"""A bench with a model that is told what was disliked: such titles are dropped, moved, turned, here and for others."""

import dataclasses

import pytest

from sellarec_lab import workbench
from sellarec_lab.workbench.edits import Edit


@pytest.fixture
def told(untrained, text, toy):
    """A bench beside a model that is told what was disliked; somebody who liked two films and disliked two is asked."""
    bench = workbench.open({"told": untrained("sella-disliked"), "text": text}, toy)
    user = next(u for u in bench.found.users if min(map(len, bench._untouched(int(u)).told)) > 1)
    bench.pick(int(user))
    return bench


def test_a_liked_title_is_shown_as_disliked_by_a_button_and_back(told):
    c, (liked, disliked) = told.controls, told.case.told
    c["order"].value = liked[0]
    c["turn"].click()
    assert told.case.told == (liked[1:], (*disliked, liked[0])) and "the history was edited" in c["panel"].value
    roles = {s.item_id: s.role for s in told.explanations["told"].prompt.segments if hasattr(s, "role")}
    assert roles[liked[0]] == "disliked" and roles[disliked[0]] == "disliked" and roles[liked[1]] == "history"
    assert c["order"].value == liked[0] and dict(c["order"].options)[f"✘ {told.lookup.titles[liked[0]]}"] == liked[0]
    assert told.rolls == dict(zip(("history", "disliked"), told.case.told))
    c["turn"].click()
    assert told.case.told == ((*liked[1:], liked[0]), disliked)
    told.add_title("Never Made")
    with pytest.raises(ValueError, match="disliked: 'Never Made' is no id"):
        told.turn("Never Made")


def test_disliked_titles_are_dropped_moved_and_put_back_by_boxes(told):
    c, (_, disliked) = told.controls, told.case.told
    boxes, before = c["disliked"].children, told.explanations["told"].score
    boxes[0].value = False
    assert told.case.disliked == disliked[1:] and told.explanations["told"].score != before
    assert not boxes[0].value and boxes[1].value  # it can be ticked again
    assert "the history was edited" in c["panel"].value
    boxes[0].value = True
    assert told.case.disliked == disliked and told.explanations["told"].score == before
    c["order"].value = disliked[0]
    c["later"].click()
    assert told.case.disliked[:2] == disliked[1::-1]
    with pytest.raises(ValueError, match=r"disliked: .* would be shown as liked too; drop it there, or turn it"):
        told.add(disliked[0])
    with pytest.raises(ValueError, match=r"disliked: .* is the target"):
        dataclasses.replace(told.case, item_id=disliked[0])
    told.target(disliked[0])
    assert told.case.disliked == disliked[1:2] + disliked[2:]


def test_all_dislikes_are_shown_however_many_were_added(told):
    many = tuple(item for item in range(1, 17) if item != told.case.item_id)
    told.restore(dataclasses.replace(told.case, history=(), disliked=many))
    shown = [s.item_id for s in told.explanations["told"].prompt.segments if getattr(s, "role", "") == "disliked"]
    assert shown == list(many) and len(many) > told.models["told"].prompt_config.disliked


def test_another_row_of_the_user_has_its_own_dislikes(told):
    for row in told.lookup.rated(told.case.user_id).itertuples():
        told.target(row.item_id)
        assert told.case == told.untouched


def test_dislikes_are_offered_where_a_model_is_told_of_them(told):
    c = told.controls
    hidden = [c[name].layout for name in ("disliked", "disliked_above", "turn")]
    assert all(layout.display is None for layout in hidden)
    told.choose("text")
    assert all(layout.display == "none" for layout in hidden)
    assert [entry for _, entry in c["order"].options] == list(told.case.history)


def test_a_ranking_is_of_the_dislikes_that_are_shown(told):
    told.choose("told")
    first = {place.item_id: place.score for place in told.rank()["told"]}
    told.drop(told.case.disliked[-1])
    again = {place.item_id: place.score for place in told.rank()["told"]}
    assert first != again


def test_dislikes_are_edited_for_others_by_their_place(told):
    liked, disliked = told.case.told
    told.turn(liked[-1])
    done = told.spread(users=24)
    assert done.told == "liked shown as disliked, counted from the newest: 1"
    assert done.table.loc["text", "users"] == done.table.loc["told", "users"] > 2
    edit = Edit.between(told.untouched, told.case)
    assert edit.done_to(told.untouched) == told.case
    others = (told._untouched(int(user)) for user in told.found.users)
    other = next(case for case in others if case.history[-1:] not in ((), liked[-1:]))
    assert edit.done_to(other) == other.turned(other.history[-1])
    told.reset()
    told.drop(disliked[0])
    place = len(disliked)
    dropped = Edit.between(told.untouched, told.case)
    assert dropped.told(told.lookup.titles) == f"dropped, counted from the newest disliked title: {place}"
    with pytest.raises(ValueError, match="disliked: 0 titles, and the edit is about"):
        dropped.done_to(dataclasses.replace(other, disliked=()))
    told.reset()
    told.turn(disliked[-1])
    back = Edit.between(told.untouched, told.case)
    assert back.told(told.lookup.titles) == "disliked shown as liked, counted from the newest: 1"
    assert back.done_to(told.untouched) == told.case
