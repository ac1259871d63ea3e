"""A prompt on screen: every position, every part, every text escaped; and where the model looks."""

import re

import numpy as np
import pytest

from sellarec_lab import prompts, views
from sellarec_lab.sella import AnswerToken, Attention, Explanation, LeftOut, Span
from sellarec_lab.views import prompt as picture


def explanation(title: str = "Night", **changes) -> Explanation:
    """What `Recommender.explain` returns, by hand: the view needs no model."""
    slots = ("user", "item")
    prompt = prompts.Writer(prompts.TEMPLATES["tiny"], ["", title], slots).write(3, 1, ())
    made = {
        "prompt": prompt,
        "tokens": ["Taste", ":", "<User_ID>", "\n", title, "<Item_ID>", "?"],
        "roles": ["frame", "frame", "user", "frame", "title", "item", "frame"],
        "ids": [40, 41, 0, 42, 43, 0, 44],
        "score": 1.5,
        "without": {"user": 1.0, "item": 2.25},
        "without_titles": [],
        "answers": (AnswerToken(" Yes", 7, 2.0, 0.5), AnswerToken(" No", 8, 0.5, 0.1116)),
    }
    return Explanation(**(made | changes))


BOX = "display:inline-block;margin:1px;padding:0 3px;border-radius:4px;white-space:pre-wrap;"
PLAIN = BOX + "background:#F6F6F6;border:1px solid #E2E2E2;color:#444444"
TITLE = BOX + "background:#FFF3D6;border:1px solid #D9A521;color:#222222;font-weight:bold"
SOFT = BOX + "background:{0};border:1px solid {0};color:#FFFFFF;font-weight:bold"
ID = "<sub style='color:#6E6E6E;font-size:9px;margin-left:3px'>{0}</sub>"
SNAPSHOT = (
    f"<span title='position 0: frame, id 40' style='{PLAIN}'>Taste{ID.format(40)}</span>"
    f"<span title='position 1: frame, id 41' style='{PLAIN}'>:{ID.format(41)}</span>"
    f"<span title='position 2: soft token, no word' style='{SOFT.format('#0072B2')}'>&lt;User_ID&gt;</span>"
    f"<span title='position 3: frame, id 42' style='{PLAIN}'>↵{ID.format(42)}</span><br>"
    f"<span title='position 4: title, id 43' style='{TITLE}'>Night{ID.format(43)}</span>"
    f"<span title='position 5: soft token, no word' style='{SOFT.format('#D55E00')}'>&lt;Item_ID&gt;</span>"
    f"<span title='position 6: frame, id 44' style='{PLAIN}'>?{ID.format(44)}</span>"
)


def test_prompt_tokens_as_they_were():
    page = views.prompt_tokens(explanation())._repr_html_()
    assert f">{SNAPSHOT}</div>" in page
    assert "P(Yes) = <b>0.818</b>" in page
    assert "score +1.500 = logit(Yes) − logit(No)" in page
    assert f"<span style='{PLAIN}'> Yes{ID.format(7)}</span> logit +2.000, P 0.5000 of the whole vocabulary" in page
    assert f"<span style='{PLAIN}'> No{ID.format(8)}</span> logit +0.500, P 0.1116" in page
    assert "7 tokens, 2 of them soft" in page
    assert "<sub" not in picture.boxes(explanation(), ids=False)


def test_every_soft_token_of_a_kind_is_coloured():
    roles = ["prompt", "prompt", "user", "frame", "prompt", "item", "frame"]
    page = picture.boxes(explanation(roles=roles, tokens=["<Prompt>"] * 7))
    assert page.count(SOFT.format(views.SLOT_COLOURS["prompt"])) == 3 and "5 of them soft" in page
    assert explanation(roles=roles).positions == {"prompt": (0, 1, 4), "user": (2,), "item": (5,)}
    assert explanation(roles=roles).slots == {"prompt": 0, "user": 2, "item": 5}


@pytest.mark.parametrize("title", ["<script>alert('1')</script>", "<Item_ID>", "a & b"])
def test_titles_stay_text(title):
    made = explanation(title, without_titles=[LeftOut(1, title, 1.0)])
    for view in (views.prompt_tokens(made), views.attribution(made)):
        page = str(view)
        assert "<script>" not in page and "<Item_ID>" not in page and " & b" not in page
        assert "<script>alert" not in views.to_html(view)
    drawn = picture.boxes(made)
    assert drawn.count("soft token, no word") == 2  # only positions make a soft token
    assert drawn.count(SOFT.format(views.SLOT_COLOURS["item"])) == 1


def test_every_position_needs_a_token_a_role_and_an_id():
    with pytest.raises(ValueError, match="'tokens': 7, 'roles': 7, 'ids': 1"):
        explanation(ids=[1])
    with pytest.raises(ValueError, match="position 0 has the unknown role 'mood'; known roles: frame"):
        views.prompt_tokens(explanation(roles=["mood"] * 7))


def bars(made: Explanation) -> dict[str, str]:
    """Name → worth, from the top, as `attribution` writes them."""
    cells = re.findall("<td[^>]*>([^<]*)</td>", str(views.attribution(made)))
    return dict(zip(cells[::2], cells[1::2], strict=True))


def test_attribution_is_score_minus_score_without():
    assert bars(explanation()) == {"&lt;User_ID&gt;": "+0.500", "&lt;Item_ID&gt;": "-0.750"}
    page = str(views.attribution(explanation()))
    assert "does not add up" in page and "score +1.500, P(like) = 0.818" in page
    assert "left:50.00%;width:25.00%" in page and "left:12.50%;width:37.50%" in page  # on a scale from -1 to 1
    assert re.findall(r">([-+]?[\d.]+)</div>", page) == ["-1", "-0.5", "0", "+0.5", "+1"]
    assert "nothing to take out" in str(views.attribution(explanation(without={})))


def test_attribution_sorts_titles_among_soft_tokens():
    titles = [LeftOut(4, "<b>Dusk", 1.25), LeftOut(6, "Dawn", 0.5), LeftOut(5, "Noon", 3.0)]
    made = explanation(without_titles=titles)
    assert list(bars(made).items()) == [
        ("Dawn", "+1.000"), ("&lt;User_ID&gt;", "+0.500"), ("&lt;b&gt;Dusk", "+0.250"), ("&lt;Item_ID&gt;", "-0.750"),
        ("Noon", "-1.500"),
    ]  # fmt: skip
    assert "Noon: score without it +3.000" in str(views.attribution(made))
    assert [part.name for part in picture.parts(made)] == ["<User_ID>", "<Item_ID>", "<b>Dusk", "Dawn", "Noon"]


def test_a_bar_never_divides_by_nothing():
    assert bars(explanation(without={"user": 1.5})) == {"&lt;User_ID&gt;": "+0.000"}


def test_models_share_one_scale_and_its_axis():
    titles = [LeftOut(4, "Dusk", -0.5)]
    columns = [
        picture.Column("a", 1.5, picture.parts(explanation(without_titles=titles))),
        picture.Column("b", 0.5, picture.parts(explanation(without={}, without_titles=[LeftOut(4, "Dusk", 1.0)]))),
    ]
    page = picture.bars(columns, {4: "mood <grey>"})
    assert re.findall(r"width:([\d.]+)%;height:11px", page) == ["12.50", "18.75", "50.00", "12.50"]  # from -2 to 2
    assert page.count(">+2</div>") == page.count(">-2</div>") == 2 and page.count("<tr>") == 5
    assert page.count("not in this model") == 4 and "title='Dusk: mood &lt;grey&gt;'" in page
    assert views.style.FOR in page and views.style.AGAINST in page
    assert not {views.style.FOR, views.style.AGAINST} & set(views.SLOT_COLOURS.values())


def test_an_axis_ends_at_a_number_that_is_easily_read():
    ends = {0.0: 1, 0.03: 0.05, 0.2: 0.2, 0.21: 0.5, 0.7: 1, 1.0: 1, 3.0: 5, 7.0: 10, 12.0: 20}
    assert [picture._round_up(reach) for reach in ends] == pytest.approx(list(ends.values()))


def test_the_verdict_marks_the_truth_and_escapes_its_lines():
    drawn = picture.verdict(explanation(), 0.625, ["<b> & more"])
    assert "left:62.5%" in drawn and "&lt;b&gt; &amp; more" in drawn
    assert "<span" not in picture.verdict(explanation())
    assert "left:25.0%" in picture.verdict(explanation(), before=0.25) and ">0.75</div>" in drawn


# ------------------------------------------------------------------------------------- attention


def attention() -> Attention:
    weights = np.zeros((2, 2, 6), dtype=np.float32)
    weights[0, 0], weights[0, 1] = [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [0.1, 0.3, 0.1, 0.1, 0.1, 0.3]
    weights[1] = [0, 0, 0, 0, 1, 0]
    spans = [
        Span("A: ", "frame", 0, 1), Span("<b>", "history", 1, 3), Span("<User_ID>", "user", 3, 4),
        Span("Night", "title", 4, 5), Span("?", "frame", 5, 6),
    ]  # fmt: skip
    return Attention(["A", "<", "b>", "<User_ID>", "Night", "?"], weights, spans)


def test_attention_is_summed_by_segment_and_averaged_over_heads():
    figure = views.attention_by_layer(attention())
    heat = figure.data[0]
    names = ["first token", "&lt;b&gt;", "&lt;User_ID&gt;", "candidate: Night", "other words"]
    assert list(figure.layout.xaxis.ticktext) == names
    np.testing.assert_allclose(heat.z, [[0.3, 0.3, 0.1, 0.1, 0.2], [0, 0, 0, 1, 0]], atol=1e-7)
    np.testing.assert_allclose(np.sum(heat.z, axis=1), 1, atol=1e-6)
    assert list(heat.y) == ["layer 1", "layer 2"]
    assert heat.customdata[1][1] == "&lt;b&gt;, 2 tokens"
    assert "no explanation" in figure.layout.title.text


def test_attention_as_a_table_holds_the_same_and_no_script():
    page = str(views.attention_table(attention()))
    assert re.findall(r"text-align:right[^>]*>(\d+%)<", page) == "30% 0% 30% 0% 10% 0% 10% 100% 20% 0%".split()
    assert "&lt;b&gt;, layer 1: 30.0%" in page and "<b>" not in page and "<script" not in page
    deep = attention()._replace(weights=np.repeat(attention().weights, 6, axis=0))  # 12 layers
    assert "30%<" not in str(views.attention_table(deep)) and "layer 12: 100.0%" in str(views.attention_table(deep))


def test_a_title_that_spells_a_slot_has_its_own_column():
    made = attention()
    spans = [s._replace(name="<User_ID>") if s.kind == "history" else s for s in made.spans]
    heat = views.attention_by_layer(made._replace(spans=spans)).data[0]
    np.testing.assert_allclose(heat.z[0], [0.3, 0.3, 0.1, 0.1, 0.2], atol=1e-7)


def test_attention_that_does_not_fit_is_refused():
    made = attention()
    with pytest.raises(ValueError, match=r"weights have shape \(2, 2, 5\), tokens have shape \(6,\)"):
        views.attention_by_layer(made._replace(weights=made.weights[..., :5]))
    with pytest.raises(ValueError, match="covers tokens 4 to 9 of 6"):
        views.attention_by_layer(made._replace(spans=[Span("x", "title", 4, 9)]))
