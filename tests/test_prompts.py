import pytest

from sellarec_lab import prompts
from sellarec_lab.prompts import Slot, Template, Text

TITLES = ["", "Heat", "Alien", "Big <Item_ID> {user}", "Up"]
TINY = prompts.TEMPLATES["tiny"]


def test_text_is_what_the_template_says():
    prompt = prompts.build(TINY, TITLES, 7, 4, (1, 2), ("user", "item", "warm"))
    assert prompt.text == "Favourites: Heat, Alien. Taste:<User_ID>. Offer: Up<Item_ID><Warm_ID>?"
    assert prompt.slots == (Slot("user", 7), Slot("item", 4), Slot("warm", 4))


def test_pieces_without_content_vanish():
    assert prompts.build(TINY, TITLES, 7, 4, ()).text == "Offer: Up?"


def test_a_title_that_looks_like_a_slot_or_a_field_stays_text():
    prompt = prompts.build(TINY, TITLES, 7, 3, (3,), ("item",))
    assert prompt.slots == (Slot("item", 3),)
    assert Text("Big <Item_ID> {user}", "title", 3) in prompt.segments
    assert "&lt;Item_ID&gt; {user}</u>" in prompt._repr_html_()


@pytest.mark.parametrize("history, item", [((0,), 1), ((1,), 0)])
def test_the_padding_item_never_reaches_a_prompt(history, item):
    with pytest.raises(ValueError, match="item 0 has no title"):
        prompts.build(TINY, TITLES, 7, item, history)


def test_only_the_most_recent_history_is_shown():
    assert prompts.build(TINY, TITLES, 7, 4, (1, 2, 1, 2), longest=1).text == "Favourites: Alien. Offer: Up?"


def test_unknown_slots_are_refused():
    with pytest.raises(ValueError, match="known kinds: user, item, warm"):
        prompts.build(TINY, TITLES, 7, 4, (), ("genre",))


def test_without_slot_leaves_the_original_alone():
    prompt = prompts.build(TINY, TITLES, 7, 4, (1,), ("user", "item"))
    assert "<User_ID>" not in prompts.without_slot(prompt, "user").text
    assert "<User_ID>" in prompt.text


def test_answers_and_joiner_are_the_templates():
    template = Template(("{history}|", "{title}"), answers=("Good", "Bad"), joiner=" + ")
    prompt = prompts.build(template, TITLES, 1, 4, (1, 2))
    assert (prompt.text, prompt.answers) == ("Heat + Alien|Up", ("Good", "Bad"))
