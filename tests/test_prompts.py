import pandas as pd
import pytest
import torch

from sellarec_lab import config, prompts
from sellarec_lab.prompts import Slot, Template, Text

TITLES = ["", "Heat", "Alien", "Big <Item_ID> {user}", "Up"]
TINY = prompts.TEMPLATES["tiny"]


def test_text_is_what_the_template_says():
    prompt = prompts.Writer(TINY, TITLES, ("user", "item", "warm")).write(7, 4, (1, 2))
    assert prompt.text == "Favourites: Heat, Alien. Taste:<User_ID>. Offer: Up<Item_ID><Warm_ID>?"
    assert prompt.slots == (Slot("user", 7), Slot("item", 4), Slot("warm", 4))


def test_pieces_without_content_vanish():
    assert prompts.Writer(TINY, TITLES).write(7, 4, ()).text == "Offer: Up?"


def test_a_title_that_looks_like_a_slot_or_a_field_stays_text():
    prompt = prompts.Writer(TINY, TITLES, ("item",)).write(7, 3, (3,))
    assert prompt.slots == (Slot("item", 3),)
    assert Text("Big <Item_ID> {user}", "title", 3) in prompt.segments
    assert "&lt;Item_ID&gt; {user}</u>" in prompt._repr_html_()


@pytest.mark.parametrize("history, item", [((0,), 1), ((1,), 0)])
def test_the_padding_item_never_reaches_a_prompt(history, item):
    with pytest.raises(ValueError, match="item 0 has no title"):
        prompts.Writer(TINY, TITLES).write(7, item, history)


def test_only_the_most_recent_history_is_shown():
    assert prompts.Writer(TINY, TITLES, longest=1).write(7, 4, (1, 2, 1, 2)).text == "Favourites: Alien. Offer: Up?"


def test_the_most_recent_dislikes_are_shown_where_asked_for():
    writer = prompts.Writer(TINY, TITLES, longest=2, disliked=1)
    prompt = writer.write(7, 4, (1,), (1, 2, 4))
    assert prompt.text == "Favourites: Heat. Dislikes: Alien. Offer: Up?"
    assert Text("Alien", "disliked", 2) in prompt.segments
    assert writer.write(7, 4, (1,), (4,)).text == "Favourites: Heat. Offer: Up?"
    assert prompts.Writer(TINY, TITLES).write(7, 4, (1,), (2,)).text == "Favourites: Heat. Offer: Up?"
    with pytest.raises(ValueError, match="item 0 has no title"):
        writer.write(7, 4, (1,), (0,))


def test_rows_that_share_a_history_share_what_was_disliked_then():
    told = {"history": [(), (1,), (1, 2)], "disliked": [(3,), (3, 4), (3, 4, 5)]}
    shared = prompts.shared_histories(pd.DataFrame({"user_id": 7, "item_id": [1, 2, 6], **told}), older=1)
    assert shared["history"].tolist() == [(), (), (1, 2)]
    assert shared["disliked"].tolist() == [(3,), (3,), (3, 4, 5)]


def test_unknown_slots_are_refused():
    with pytest.raises(ValueError, match="known kinds: user, item, warm"):
        prompts.Writer(TINY, TITLES, ("genre",)).write(7, 4, ())


def test_without_slot_leaves_the_original_alone():
    prompt = prompts.Writer(TINY, TITLES, ("user", "item")).write(7, 4, (1,))
    assert "<User_ID>" not in prompts.without_slot(prompt, "user").text
    assert "<User_ID>" in prompt.text


def test_answers_and_joiner_are_the_templates():
    template = Template(("{history}|", "{title}"), answers=("Good", "Bad"), joiner=" + ")
    prompt = prompts.Writer(template, TITLES).write(1, 4, (1, 2))
    assert (prompt.text, prompt.answers) == ("Heat + Alien|Up", ("Good", "Bad"))


def test_the_target_is_never_in_its_own_history():
    writer = prompts.Writer(TINY, TITLES, longest=2)
    assert writer.write(7, 4, (1, 2, 4)).text == "Favourites: Heat, Alien. Offer: Up?"
    frame = pd.DataFrame({"user_id": [7], "item_id": [4], "history": [(1, 4, 2, 4)]})
    assert prompts.PromptRows(writer, frame)[0] == writer.write(7, 4, (1, 2))


def test_codes_stand_where_the_tokens_would_as_words_of_their_own():
    codes = prompts.CodeWords.of(([[-1] * 8, [0, 1, 1, 0, 1, 0, 1, 1]], [[-1] * 8, *[[1] * 8] * 4]))
    prompt = prompts.Writer(TINY, TITLES, codes=codes).write(1, 4, ())
    assert prompt.text == "Taste: 0110 1011. Offer: Up 1111 1111?"
    assert prompts.Writer(TINY, TITLES, codes=codes).write(0, 4, ()).text == "Offer: Up 1111 1111?"
    bits = torch.tensor([[1, 1, 1, 1, 0]], dtype=torch.int8)
    assert prompts.CodeWords.of((bits, bits)).users == ["1111 0"]


def test_a_template_without_a_place_for_a_token_is_refused(monkeypatch):
    monkeypatch.setitem(prompts.TEMPLATES, "bare", Template(("{title}",)))
    with pytest.raises(ValueError, match="'bare' has no piece"):
        prompts.Writer.of(config.PromptConfig(template="bare"), TITLES, ("user",))
    with pytest.raises(ValueError, match=r"no piece with \{disliked\}"):
        prompts.Writer.of(config.PromptConfig(template="bare", disliked=1), TITLES)
