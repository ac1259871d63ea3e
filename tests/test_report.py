import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import ipywidgets
import nbformat
import pandas as pd
import plotly.graph_objects as go
import pytest
import slides
from bs4 import BeautifulSoup
from nbclient.exceptions import CellExecutionError

from sellarec_lab import compare, config, report
from sellarec_lab.report import cells, front, jobs, notebooks, pages
from sellarec_lab.report.prose import Prose, formula
from sellarec_lab.report.site import Site

_WIDGET = "application/vnd.jupyter.widget-view+json"
BOOKS = report.numbered()


def book(*sources: str) -> nbformat.NotebookNode:
    made = [nbformat.v4.new_code_cell(source) for source in sources]
    made[0].metadata["tags"] = ["parameters"]
    return nbformat.v4.new_notebook(cells=made, metadata={"kernelspec": {"name": "python3", "display_name": "x"}})


def test_a_notebook_runs_with_another_preset_and_cuts_no_table(tmp_path):
    long = "import pandas as pd\npd.DataFrame({'words': ['w' * 70]})"
    nbformat.write(book('PRESET = "tiny"', "print(PRESET)", long), tmp_path / "00.ipynb")
    done = report.execute(tmp_path / "00.ipynb", "fast", tmp_path / "out" / "00.ipynb")
    assert done.cells[1].outputs[0].text == "fast\n"
    assert "w" * 70 in done.cells[2].outputs[0].data["text/html"]
    assert (tmp_path / "out" / "00.ipynb").is_file()


def test_a_notebook_is_told_the_seeds_where_it_asks_for_them(tmp_path):
    nbformat.write(book('PRESET = "tiny"\nSEEDS = 1  # how many', "print(PRESET, SEEDS)"), tmp_path / "00.ipynb")
    done = report.execute(tmp_path / "00.ipynb", "fast", tmp_path / "copy.ipynb", seeds=3)
    assert done.cells[1].outputs[0].text == "fast 3\n"


def test_a_failing_notebook_raises_and_leaves_its_copy(tmp_path):
    nbformat.write(book('PRESET = "tiny"', "1 / 0"), tmp_path / "00.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        report.execute(tmp_path / "00.ipynb", "fast", tmp_path / "copy.ipynb")
    assert "ZeroDivisionError" in (tmp_path / "copy.ipynb").read_text()


def test_two_at_a_time_and_one_that_fails_stops_no_other(tmp_path):
    nbformat.write(book('PRESET = "tiny"', "print(PRESET)"), tmp_path / "00.ipynb")
    nbformat.write(book('PRESET = "tiny"', "1 / 0"), tmp_path / "01.ipynb")
    with pytest.raises(RuntimeError, match=r"01\.ipynb: ZeroDivisionError: division by zero"):
        list(notebooks.execute_all(sorted(tmp_path.glob("*.ipynb")), "fast", tmp_path / "out", 2))
    assert "fast\n" in (tmp_path / "out" / "00.ipynb").read_text().replace("\\n", "\n")
    assert (tmp_path / "out" / "01.ipynb").is_file()


# ------------------------------------------------------------------------------------------------ cells


def test_outputs_keep_their_static_form():
    figure = go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))
    outputs = [
        nbformat.v4.new_output("display_data", data={cells.PLOTLY: figure.to_plotly_json()}),
        nbformat.v4.new_output("display_data", data={_WIDGET: {"model_id": "x"}, "text/html": "<p>static form</p>"}),
        nbformat.v4.new_output("display_data", data={_WIDGET: {"model_id": "y"}, "text/plain": "Dropdown()"}),
        nbformat.v4.new_output("stream", name="stdout", text="<b>not html</b>"),
        nbformat.v4.new_output("stream", name="stderr", text="a progress bar"),
    ]
    html = "".join(map(cells.output, outputs))
    assert html.count("Plotly.newPlot(") == 1 and "src=" not in html
    assert "&lt;b&gt;not html" in html and "a progress bar" not in html
    assert "<p>static form</p>" in html and "Dropdown()" not in html


def test_widgets_stand_in_the_page_as_they_were_left():
    chosen = ipywidgets.Dropdown(options=[("Sense <1>", 1), ("Emma", 2)], value=1, description="book")
    parts = [chosen, ipywidgets.HTML("<b>seen</b>"), ipywidgets.HBox([ipywidgets.FloatProgress()])]
    state = {w.model_id: {"model_name": w.get_state()["_model_name"], "state": w.get_state()} for w in parts}
    made = nbformat.v4.new_notebook()
    assert cells.widgets_of(made) == {}
    made.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": state}}
    made.cells = [nbformat.v4.new_code_cell("show()")]
    views = ({_WIDGET: {"model_id": w.model_id}, "text/plain": "Widget()"} for w in parts)
    made.cells[0].outputs = [nbformat.v4.new_output("display_data", data=view) for view in views]
    html = cells.cell(made.cells[0], Prose(str), widgets=cells.widgets_of(made))
    assert "<p>book: <b>Sense &lt;1&gt;</b></p>" in html and "<div class='scroll'><b>seen</b></div>" in html
    assert "Widget()" not in html and "Progress" not in html
    assert "seen" not in cells.cell(made.cells[0], Prose(str))


def test_counts_are_whole_numbers_and_nothing_is_shown_as_such():
    frame = pd.DataFrame({"items": [400.0, float("nan")], "share": [0.5, 0.25]})
    shown = BeautifulSoup(cells.tidied(frame.to_html()), "html.parser")
    assert [cell.get_text() for cell in shown.find_all("td")] == ["400", "0.50", "", "0.25"]


CLAIMS = """
x = 1
assert x == 1 and x < 3
assert x  # it is there
# two lines
# of words
assert x > 0
if cfg.name == "tiny":
    assert x < 2
if PRESET != "fast":
    assert x < 3
if x:
    assert x < 4
"""


def test_claims_have_their_sentence_and_a_tick_where_they_ran():
    assert [claim[:2] for claim in cells.claims(CLAIMS)] == [
        ("<code>x == 1</code>", ""), ("<code>x &lt; 3</code>", ""), ("it is there", ""), ("two lines of words", ""),
        ("<code>x &lt; 2</code>", "on tiny"), ("<code>x &lt; 3</code>", "not on fast"),
        ("<code>x &lt; 4</code>", "if x"),
    ]  # fmt: skip
    cell = nbformat.v4.new_code_cell(CLAIMS, execution_count=1)
    assert cells.claimed(cell).count("✓") == 7
    cell.execution_count = None
    assert "✓" not in cells.claimed(cell)
    cell.execution_count, cell.outputs = 1, [nbformat.v4.new_output("error", ename="AssertionError")]
    assert "✓" not in cells.claimed(cell)


@pytest.mark.parametrize(
    ("preset", "skipped"),
    [("", []), ("tiny", []), ("fast", ["on tiny", "not on fast"]), ("smollm2", ["on tiny"]), ("mine", [])],
)
def test_what_another_preset_is_asked_has_no_tick_and_does_not_count(tmp_path, preset, skipped):
    assert [claim.where for claim in cells.claims(CLAIMS, preset) if not claim.asked] == skipped
    told = nbformat.v4.new_code_cell(f'PRESET = "{preset}"', metadata={"tags": ["parameters"]}, execution_count=1)
    asserts = nbformat.v4.new_code_cell(CLAIMS, execution_count=2)
    head = nbformat.v4.new_markdown_cell(f"# A page\n\n## {cells.CLAIMED}")
    book = nbformat.v4.new_notebook(cells=[told, head, asserts])
    assert cells.preset_of(book) == preset
    made = pages.write(tmp_path, {tmp_path / "a.ipynb": book}, tmp_path)[0]
    assert made.held == made.claims == 7 - len(skipped) == made.body.count("✓")
    asserts.execution_count = None
    made = pages.write(tmp_path, {tmp_path / "a.ipynb": book}, tmp_path)[0]
    assert (made.held, made.claims) == (0, 7 - len(skipped))


def test_a_condition_may_ask_for_the_data_of_a_preset():
    source = "if cfg.dataset == 'ml-1m':\n    assert x"
    assert [cells.claims(source, preset)[0].asked for preset in ("smollm2", "ml-1m-cpu", "tiny")] == [True, True, False]


@pytest.mark.parametrize("page", BOOKS, ids=lambda page: page.stem)
def test_every_notebook_says_what_it_claimed(page):
    read, prose = nbformat.read(page, as_version=4), Prose()
    body = "".join(cells.cell(part, prose) for part in read.cells)
    assert "class='claims'" in body
    assert not re.search(r"\$\$|\\\(|\$[^$\n<]+\$", BeautifulSoup(body, "html.parser").get_text().replace("$OUT", ""))


def test_formulas_become_mathml_and_code_stays_code():
    html = Prose().html("A $a_i$ and `$x$`:\n\n$$\\frac{1}{2}$$\n\n```\n$y$\n```")
    assert html.count("<math") == 2 and "<msub>" in html and 'display="block"' in html
    assert html.count("$") == 4
    with pytest.raises(ValueError, match=r"formula .*nonsense.* can't be drawn"):
        formula(r"\nonsense{x}")


def test_headings_that_say_the_same_have_anchors_of_their_own():
    prose = Prose()
    html = prose.html("## The *end*\n\n## The end\n\n## The end")
    assert [h.anchor for h in prose.headings] == ["The-end", "The-end~2", "The-end~3"]
    assert html.count('id="The-end') == 3


# ------------------------------------------------------------------------------------------------ the report


def results(seeds: int = 1, sella: float = 0.8) -> pd.DataFrame:
    values = {"oracle": 0.9, "mf": 0.7, "tallrec": 0.65, "sella": sella}
    rows = [(m, "test", "auc", v, v - 0.01, v + 0.01, seeds, 1.0) for m, v in values.items()]
    return pd.DataFrame(rows, columns=["model", "split", "metric", "value", "low", "high", "seeds", "seconds"])


def paired(mf: float = 0.1, p: float = 0.01) -> pd.DataFrame:
    rows = [("oracle", -0.1, 0.0), ("mf", mf, p), ("tallrec", 0.15, 0.2)]
    tests = pd.DataFrame(rows, columns=["model", "difference", "p_holm"])
    return tests.assign(split="test", metric="auc", low=tests["difference"] - 0.01, high=tests["difference"] + 0.01)


def test_what_is_seen_follows_from_the_tables():
    name = compare.TITLES
    best, told, left = front.seen_in(results(), paired())
    assert best == "SeLLa-Rec has an AUC of 0.800 on the test split, the highest of 3 models that learned."
    assert told == (
        f"SeLLa-Rec is shown to be above {name['mf']} and not told apart from {name['tallrec']} (p below 0.05, Holm)."
    )
    assert left == "SeLLa-Rec goes 75% of the way from chance to an oracle that knows every taste."
    best, told, _ = front.seen_in(results(sella=0.6), paired(mf=-0.1))
    assert best.endswith(f"where {name['mf']} has 0.700, the best of 3 models that learned.")
    assert told == f"SeLLa-Rec is below {name['mf']} and not told apart from {name['tallrec']} (p below 0.05, Holm)."


def test_one_seed_is_said_large_and_intervals_do_not_wrap():
    facts = {"preset": "tiny", "commit": "<abc>"}
    page = front.first_page(results(), paired(), facts, [])
    assert "<caption>One seed" in page and "One seed" not in front.first_page(results(3), paired(), facts, [])
    first, second = BeautifulSoup(page, "html.parser").find_all("table")[:2]
    assert first.find(string="0.7000").parent["title"] == "95 % interval 0.690 to 0.710" and "[" not in first.get_text()
    assert "0.690 to 0.710" in second.get_text()
    assert "&lt;abc&gt;" in page and page.count("Plotly.newPlot(") == 2
    assert not re.search(r">(mf|sella|tallrec|oracle)<|\"(mf|sella|tallrec|oracle)\"", page)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A report of all notebooks, as they lie in the checkout, in a folder of its own."""
    cfg = config.preset("fast", artifacts=str(tmp_path_factory.mktemp("artifacts")))
    executed = {page: nbformat.read(page, as_version=4) for page in BOOKS}
    return jobs.write(cfg, 1, results(), paired(), executed)


def test_no_link_of_the_report_is_dead(site):
    """Every link, anchor, script and picture of every page leads to a file, and to an id where it names one."""
    files = [site, *sorted((site.parent / pages.FOLDER).glob("*.html"))]
    parsed = {page: BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser") for page in files}
    ids = {page: [tag["id"] for tag in soup.find_all(id=True)] for page, soup in parsed.items()}
    assert len(files) > len(BOOKS) and all(len(found) == len(set(found)) for found in ids.values())
    followed = 0
    for page, soup in parsed.items():
        for tag in soup.find_all(["a", "link", "script", "img"]):
            parts = urlsplit(tag.get("href") or tag.get("src") or "")
            assert not parts.netloc or tag.name == "a", f"{page.name} needs the network: {tag}"
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.exists(), f"{page.name} links to {parts.path}, which is not there"
            assert not parts.fragment or unquote(parts.fragment) in ids[target], f"{page.name}: no {parts.fragment}"
            followed += 1
    assert followed > 100


def test_pages_know_their_neighbours_and_stay_small(site):
    folder = site.parent / pages.FOLDER
    second = (folder / f"{BOOKS[1].stem}.html").read_text(encoding="utf-8")
    assert f"rel='prev' href='{BOOKS[0].stem}.html'" in second and f"rel='next' href='{BOOKS[2].stem}.html'" in second
    assert (folder / "plotly.js").stat().st_size > 1_000_000
    assert max(page.stat().st_size for page in folder.glob("*.html")) < 2_000_000


def test_linked_markdown_gets_a_page_with_its_anchors(tmp_path):
    (tmp_path / "glossary.md").write_text("# Words\n\n<a id='auc'></a>**AUC**: see [more](more.md)", encoding="utf-8")
    (tmp_path / "more.md").write_text("# More", encoding="utf-8")
    source = tmp_path / "00.ipynb"
    page = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("# T\n\n[AUC](glossary.md#auc), [x](y z.csv)")]
    )
    (made,) = pages.write(tmp_path / "out", {source: page}, tmp_path)
    assert "href='glossary.html#auc'" in made.body.replace('"', "'")
    assert "href='more.html'" in (tmp_path / "out" / "report" / "glossary.html").read_text().replace('"', "'")
    assert (tmp_path / "out" / "report" / "more.html").is_file()
    assert Site(tmp_path / "out", [], tmp_path).moved("https://x.org/a.md", source) == "https://x.org/a.md"


# ------------------------------------------------------------------------------------------------ slides


def lines(*parts: tuple[str, str]) -> nbformat.NotebookNode:
    new = {"md": nbformat.v4.new_markdown_cell, "code": nbformat.v4.new_code_cell}
    return nbformat.v4.new_notebook(cells=[new[kind](source) for kind, source in parts])


def test_a_deck_is_one_offline_file_with_pages_by_rule():
    made = lines(
        ("md", "# Title"), ("code", "import setup"), ("md", "## One $x$\n\ntext\n\n### Exercise 1\n\ndo"),
        ("code", "yours = ..."), ("md", "<details>\n\nanswer\n\n</details>\n\n## Two\n\n```\n# no heading\n```"),
        ("code", "silent = 1"), ("code", "tagged = 2"), ("md", "said aside"), ("code", "print(1)"),
        ("md", "\n".join("ab" * 20)),
    )  # fmt: skip
    made.cells[6].metadata.slideshow = {"slide_type": "fragment"}
    made.cells[7].metadata.slideshow = {"slide_type": "notes"}
    made.cells[8].outputs = [nbformat.v4.new_output("stream", text="1")]
    page = slides.deck(made, "A <deck>")
    soup = BeautifulSoup(page, "html.parser")
    sheets = [sheet.get_text(" ", strip=True) for sheet in soup.find_all("section", class_="sheet")]
    assert [sheet[:8] for sheet in sheets] == ["Title", "One x te", "Exercise", "Two # no", "Two a\nb\n"]
    shown = soup.find("div", class_="slides")
    assert "setup" not in shown.get_text() and "silent" not in shown.get_text() and "yours = ..." in sheets[2]
    assert "tagged" in soup.find("div", class_="fragment").get_text() and "said aside" in soup.find("aside").get_text()
    assert "shown" not in shown.find(string="print").find_parent("div", class_="source")["class"]
    assert soup.title.string == "A <deck>" and shown.find("math") and shown.find("h3").string == "Exercise 1"
    assert not soup.find_all(["link", "img"]) and not any(tag.get("src") for tag in soup.find_all("script"))
    assert "slide_type" not in str(made.cells[0].metadata)  # the book is left as it is
