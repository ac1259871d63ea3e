"""Pages and files: well formed whatever a text holds, and opened again as they were."""

import dataclasses
import json
from html.parser import HTMLParser

import pytest

from sellarec_lab import prompts, workbench
from sellarec_lab.views.prompt import boxes


def test_the_page_holds_the_prompt_token_by_token_and_nothing_that_runs(bench):
    bench.retitle("<script>alert('x')</script> & {title}")
    page = bench.to_html()
    assert "<script" not in page and "http" not in page and "&lt;script&gt;" in page.replace("</span>", "")
    for name in ("sella", "text"):
        hints = [bench.lookup.about.get(item, "") for item in bench.answers.items(name, bench.case)]
        assert boxes(bench.explanations[name], ids=False, hints=hints) in page and any(hints)
    assert "no vector belongs to it" in page and prompts.KINDS["user"].colour in page
    assert bench.snapshot()._repr_html_() == page


class Tags(HTMLParser):
    """Open tags, innermost last; fails at one that is closed in the wrong order."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        self.open += [tag] if tag not in ("br", "meta", "col") else []

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
    assert again.explanations["sella"].score == pytest.approx(bench.explanations["sella"].score, abs=1e-6)
    assert not list(tmp_path.rglob("*.part"))


def test_exports_go_to_the_artifacts_and_never_over_each_other(model, toy, toy_cfg, tmp_path, monkeypatch):
    bench = workbench.open({"sella": model}, toy, toy_cfg)
    assert bench.folder == tmp_path / "artifacts" / toy_cfg.name / "cases"
    stem, written = f"case_user-{bench.lookup.name(bench.case.user_id)}_item-{bench.case.item_id}", []
    for _ in range(2):
        for name in ("html", "json"):
            bench.controls[name].click()
            written.append(bench.controls["status"].value)
        bench.switch_off("user")
    files = [f"{stem}.html", f"{stem}.json", f"{stem}_2.html", f"{stem}_2.json"]
    assert sorted(path.name for path in bench.folder.iterdir()) == sorted(files)
    assert all(name in said for name, said in zip(files, written))
    off = [json.loads((bench.folder / name).read_text(encoding="utf-8"))["case"]["off"] for name in files[1::2]]
    assert off == [[], ["user"]]
    first = bench.export(tmp_path / "mine.json")
    assert bench.export(tmp_path / "mine.json").name == "mine_2.json" and first.name == "mine.json"
    monkeypatch.chdir(tmp_path)
    assert workbench.open({"sella": model}, toy).folder == tmp_path / "artifacts" / "cases"


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
