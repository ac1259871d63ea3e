"""Workbench: a case gives the prompt that is scored; edits change what they say; nothing that fails is silent."""

import dataclasses
import json
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from sellarec_lab import config, llm, prompts, sella, workbench
from sellarec_lab.alignment import Head
from sellarec_lab.collab import Vectors
from sellarec_lab.projector import HybridProjector, SoftPrompt
from sellarec_lab.prompts import Slot
from sellarec_lab.views.prompt import boxes
from sellarec_lab.workbench import Case, desk
from sellarec_lab.workbench.case import check_template, from_json

# ------------------------------------------------------------------------------------- fixtures


def recommender(lm, toy, name: str, **recipe) -> sella.Recommender:
    """An untrained recommender of a recipe: its scores mean nothing, but they depend on every part of the prompt."""
    torch.manual_seed(1)
    chosen = dataclasses.replace(sella.recipe(name), **recipe)
    vectors = Vectors(torch.randn(toy.n_users + 1, 4), torch.randn(toy.n_items + 1, 4))
    projector = None
    if "prompt" in chosen.slots:
        projector = SoftPrompt(lm.word_embeddings, prompts.PROMPT_TOKENS)
    elif chosen.slots:
        semantics = torch.randn(toy.n_items + 1, lm.width)
        semantics[0] = 0  # padding means nothing
        projector = HybridProjector(vectors, semantics, Head(4, 8, lm.width), "taste" in chosen.slots)
    codes = None
    if chosen.codes:
        codes = sella.Codes([f"u{i}" for i in range(toy.n_users + 1)], [f"c{i}" for i in range(toy.n_items + 1)])
    memory = sella.Memory.of(toy, codes)
    settings = config.PromptConfig(history=4)
    return sella.Recommender(lm, config.BackboneConfig(), settings, chosen, memory, projector)


@pytest.fixture(scope="module")
def shared_lm(lm_folder):
    return llm.load(config.BackboneConfig(name=str(lm_folder), quantisation="none"))


@pytest.fixture(scope="module")
def model(shared_lm, toy):
    return recommender(shared_lm, toy, "sella")


@pytest.fixture(scope="module")
def text(shared_lm, toy):
    return recommender(shared_lm, toy, "tallrec")


@pytest.fixture
def bench(model, text, toy):
    return workbench.open({"sella": model, "text": text}, toy)


@pytest.fixture
def case(model):
    return Case.of(model, 3, 5)


def kinds(prompt) -> list[str]:
    return [slot.kind for slot in prompt.slots]


# ---------------------------------------------------------------------------------------- the case


@pytest.mark.parametrize("name", ["sella", "tallrec", "soft-prompt", "binllm", "sella-taste", "collm"])
def test_an_untouched_case_is_the_models_own_prompt(shared_lm, toy, name):
    model = recommender(shared_lm, toy, name)
    for user, item in ((3, 5), (24, 16), (1, 1)):
        assert Case.of(model, user, item).prompt(model) == model.prompt(user, item)
        assert Case.of(model, user, item, [2, 5, 7]).prompt(model) == model.prompt(user, item, [2, 5, 7])


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
    assert prompt.text == without.text.replace(model.memory.titles[5], title)
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


def test_codes_follow_the_owner_and_a_free_title_has_none(shared_lm, toy):
    model = recommender(shared_lm, toy, "binllm")
    case = Case.of(model, 3, 5)
    assert "u8" in case.owned(8).prompt(model).text and "c5" in case.prompt(model).text
    assert "c5" not in case.retitled("Never Made").prompt(model).text


def test_a_template_is_edited_line_by_line(model, text, case):
    own = prompts.TEMPLATES["tiny"].pieces
    assert workbench.template_pieces(workbench.template_text(own)) == own
    paper = prompts.TEMPLATES["paper"].pieces
    assert workbench.template_pieces(workbench.template_text(paper)) == paper
    edited = case.rephrased(workbench.template_pieces("For{user}: \n{history}. \nSee {title}?"))
    assert edited.prompt(text).text.endswith(f". See {model.memory.titles[5]}?")
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
        assert from_json(json.loads(json.dumps(some.to_json()))) == some


# --------------------------------------------------------------------------------------- the answer


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
def test_an_edited_case_is_explained_as_what_it_asks(shared_lm, toy, name):
    """Free title, lent token, other words, a token off, and a history of one, whose words go with its title."""
    model = recommender(shared_lm, toy, name)
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


def test_every_position_is_shown_as_it_is_embedded(shared_lm, toy):
    model = recommender(shared_lm, toy, "soft-prompt")
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
    assert {r.item_id for r in ranked if r.seen} == set(model.memory.seen[3])


def test_the_probability_of_an_answer_is_the_sigmoid_of_its_score(model, case):
    said = case.explain(model)
    assert said.probability == pytest.approx(1 / (1 + np.exp(-said.score)))


# ---------------------------------------------------------------------------------------- the bench


def test_the_bench_opens_on_a_test_row_as_the_model_was_asked(bench, model, toy):
    row = toy.test[toy.test["user_id"] == bench.case.user_id].iloc[-1]
    assert bench.case.item_id == row["item_id"]
    assert bench.case.prompt(model) == model.prompt(int(row["user_id"]), int(row["item_id"]), list(row["history"]))
    expected = model.predict(toy.test.loc[[row.name]])["score"].iloc[0]
    assert bench.answers["sella"].score == pytest.approx(expected, abs=1e-5)
    assert set(bench.answers) == {"sella", "text"}


def test_every_edit_is_undone_exactly(bench):
    first, said = bench.case, bench.answers["sella"].score
    bench.drop(first.history[0])
    bench.retitle("Never Made")
    bench.switch_off("user")
    bench.own(8)
    bench.rephrase("{title} for\n {user}?")
    bench.pick(5)
    bench.target("film number 3")
    for _ in range(7):
        bench.undo()
    assert bench.case == first and bench.answers["sella"].score == said
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
    rated = bench.people.rated(bench.case.user_id)
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
    assert bench.search("u7").users == (bench.people.user("u7"),)
    assert bench.search("7").users == (7,)
    rows = bench.people.rows
    fans = rows[(rows["item_id"] == bench.people.item("Film number 3")) & (rows["label"] == 1)]["user_id"]
    assert bench.search("number 3").users == tuple(sorted(fans))
    assert bench.search("").users == tuple(sorted(toy.test["user_id"].unique()))
    with pytest.raises(ValueError, match="predictions="):
        bench.search("worst")
    worst = workbench.open(model, toy, predictions=toy.test.iloc[:0].assign(score=0.0)).people
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
    assert bench.case.owner == bench.people.user("u3")
    c["target"].value = "A film of my own"
    assert bench.case.title == "A film of my own"
    c["target"].value = "film number 2"
    assert bench.case.item_id == bench.people.item("Film number 2") and bench.case.title is None
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
        c[control].value = wrong if isinstance(wrong, str) else bench.people.titles[wrong]
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


# ------------------------------------------------------------------------------- pages and files


def test_the_page_holds_the_prompt_token_by_token_and_nothing_that_runs(bench):
    bench.retitle("<script>alert('x')</script> & {title}")
    page = bench.to_html()
    assert "<script" not in page and "http" not in page and "&lt;script&gt;" in page.replace("</span>", "")
    assert boxes(bench.answers["sella"], ids=False) in page
    assert boxes(bench.answers["text"], ids=False) in page
    assert "no vector belongs to it" in page and prompts.COLOURS["user"] in page
    assert bench.snapshot()._repr_html_() == page


class Tags(HTMLParser):
    """Open tags, innermost last; fails at one that is closed in the wrong order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.open += [tag] if tag not in ("br", "meta") else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_whatever_a_text_holds(bench):
    bench.retitle("'\"></div><b onload='x'>")
    bench.rephrase("</pre>{title}\n{user}<div>?")
    bench.rank()
    tags = Tags()
    tags.feed(bench.to_html())
    tags.close()
    assert not tags.open and "<b onload" not in bench.to_html()


def test_widgets_come_with_a_static_form(bench):
    bundle = bench._repr_mimebundle_()
    assert bundle["text/html"] == bench.to_html()
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]


def test_a_case_is_exported_and_opened_again(bench, model, text, toy, tmp_path):
    bench.retitle("Never Made")
    bench.drop(bench.case.history[0])
    bench.choose("text", "sella")
    page = bench.export(tmp_path / "case.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and bench.to_html() in page
    record = json.loads(bench.export(tmp_path / "deep" / "case.json").read_text(encoding="utf-8"))
    assert record["models"]["sella"]["recipe"]["title"] == "SeLLa-Rec" and record["versions"]["torch"]
    again = workbench.open_case(tmp_path / "deep" / "case.json", {"sella": model, "text": text}, toy)
    assert again.case == bench.case and again.shown == ("text", "sella")
    assert again.answers["sella"].score == pytest.approx(bench.answers["sella"].score, abs=1e-6)
    assert not list(tmp_path.rglob("*.part"))


def test_export_buttons_write_here_and_say_where(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("html", "json"):
        bench.controls[name].click()
        written = tmp_path / f"case_user-{bench.people.name(bench.case.user_id)}_item-{bench.case.item_id}.{name}"
        assert written.is_file() and written.name in bench.controls["status"].value


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(colour="red"), "field colour: unknown"),
        (lambda r: r.update(format="7"), "field format"),
        (lambda r: r.pop("case"), "field case: missing"),
        (lambda r: r["case"].update(mood=1), "field case.mood: unknown"),
        (lambda r: r["case"].pop("user_id"), "field case.user_id: missing"),
        (lambda r: r["case"].update(user_id=99), "field case.user_id: user 99"),
        (lambda r: r["case"].update(item_id=99), "field case.item_id: item 99"),
        (lambda r: r["case"].update(history=[99]), "field case.history: item 99"),
        (lambda r: r["case"].update(history="12"), "field case.history: expected a list"),
        (lambda r: r["case"].update(template=["x"]), "field case.template: no piece"),
        (lambda r: r["data"].update(fingerprint="0"), "field data.fingerprint"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_field(bench, model, toy, tmp_path, change, said):
    path = bench.export(tmp_path / "case.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(ValueError) as error:
        workbench.open_case(path, model, toy)
    assert str(path) in str(error.value) and said in str(error.value)


def test_what_is_no_case_file_is_refused(model, toy, tmp_path):
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(ValueError, match=r"broken\.json: no json"):
        workbench.open_case(tmp_path / "broken.json", model, toy)
    with pytest.raises(FileNotFoundError):
        workbench.open_case(tmp_path / "absent.json", model, toy)


def test_models_must_know_the_data(model, toy):
    other = dataclasses.replace(toy, items=toy.items.assign(title="X"))
    with pytest.raises(ValueError, match="knows other titles"):
        workbench.open(model, other)
    with pytest.raises(ValueError, match="no model was given"):
        workbench.open({}, toy)
    assert tuple(workbench.open(model, toy).models) == ("sella",)
