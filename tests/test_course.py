"""The course: marked exercises, notebooks without answers, slides, quizzes, and links that lead somewhere.

That the answers pass is tried where `make test` runs the notebooks: in the form that `course.tested` gives them.
"""

import ast
import json
import re
from pathlib import Path

import course
import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PAGES, SESSIONS = course.pages(), course.sessions()
BOOKS = {page.stem: nbformat.read(page, as_version=4) for page in PAGES}
TERMS = re.findall(r'<a id="([^"]+)"></a>', (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"))
every_notebook = pytest.mark.parametrize("name", BOOKS)
every_session = pytest.mark.parametrize("page", SESSIONS, ids=lambda page: page.parent.name)


def text_of(book: nbformat.NotebookNode) -> str:
    return "\n".join(cell.source for cell in book.cells)


def answers(book: nbformat.NotebookNode) -> list[str]:
    """Lines of the answers that stand nowhere else in the notebook."""
    elsewhere = course._ANSWER.sub("", text_of(book))
    lines = [line.strip() for one in course.exercises(book) for line in one.code.splitlines()]
    return [line for line in lines if len(line) > 5 and line not in elsewhere]


def exercise() -> nbformat.NotebookNode:
    folded = "<details><summary>Answer</summary>\n\n```python\nyours = 2\n```\n\nTwice one.\n</details>\n\n## Then"
    asked = "### Exercise 1 · write it · ●●○ · 5 minutes · twice"
    md, code = nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell
    return nbformat.v4.new_notebook(
        cells=[md(asked), code("one = 1"), code("yours = ...  # a number\ncheck(yours, 2)"), md(folded)]
    )


@every_notebook
def test_every_notebook_has_marked_exercises(name):
    found = course.exercises(BOOKS[name], name)
    assert len(found) >= 2 and [one.number for one in found] == list(range(1, len(found) + 1))
    assert all(2 <= one.minutes <= 15 for one in found)


def test_every_kind_of_exercise_occurs():
    kinds = [one.kind for book in BOOKS.values() for one in course.exercises(book)]
    assert all(kinds.count(kind) >= 2 for kind in course.KINDS)
    titles = {one.title for book in BOOKS.values() for one in course.exercises(book) if one.kind == "write it"}
    assert {"InfoNCE", "the projector", "the splice", "a LoRA layer", "the trie"} <= titles


@every_notebook
def test_students_see_no_answer(name):
    book = course.student(BOOKS[name], name)
    shown = json.dumps([cell.source for cell in book.cells], ensure_ascii=False) + text_of(book)
    assert answers(BOOKS[name]) and not [line for line in answers(BOOKS[name]) if line in shown]
    assert "<details" not in shown and not any(cell.get("outputs") for cell in book.cells)
    stubs = [cell for cell in book.cells if cell.cell_type == "code" and course.open_lines(cell.source)]
    assert len(stubs) == len(course.exercises(BOOKS[name]))


@every_notebook
def test_solutions_leave_nothing_open(name):
    book = course.solution(BOOKS[name], name)
    assert not any(cell.cell_type == "code" and course.open_lines(cell.source) for cell in book.cells)
    assert all(one.code in text_of(book) for one in course.exercises(BOOKS[name])) and "<details" not in text_of(book)


def test_a_stub_is_solved_in_place():
    *_, solved, said = course.solution(exercise()).cells
    assert solved.source == "yours = 2\ncheck(yours, 2)" and said.source == "Twice one.\n\n## Then"
    stub = "def f(x): ...  # a number\n\n\nyours = f(3)"
    assert course.solved(stub, "def f(x):\n    return 2 * x") == "def f(x):\n    return 2 * x\n\n\nyours = f(3)"
    assert [cell.source for cell in course.student(exercise()).cells[2:]] == [exercise().cells[2].source, "## Then"]


def test_what_the_tests_run_holds_an_exercise_open_and_solved():
    sources = [cell.source for cell in course.tested(exercise()).cells if cell.cell_type == "code"]
    assert sources[1].startswith("yours = ...") and "'not attempted yet'" in sources[2]
    assert sources[3].startswith("yours = 2") and "'passed'" in sources[4] and len(sources) == 5
    assert "artifacts/course/tested" in re.search(r"^test:.*\n(?:\t.*\n)+", (ROOT / "Makefile").read_text(), re.M)[0]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ((0, "### Exercise 1: twice"), "without its marks; expected '### Exercise 1 · KIND"),
        ((0, "### Exercise 1 · guess · ●●○ · 5 minutes · twice"), "KIND one of predict, write it"),
        ((2, "yours = 3"), "exercise 1: no cell holds ..."),
        ((3, "## Then"), "exercise 1: no folded answer"),
        ((3, "<details><summary>Answer</summary>\n\n2\n</details>"), "exercise 1: the answer holds no python"),
    ],
)
def test_a_faulty_exercise_is_named(changed, says):
    book, (place, source) = exercise(), changed
    book.cells[place].source = source
    with pytest.raises(ValueError, match="notebook") as error:
        course.student(book)
    assert says in str(error.value)


def test_slides_follow_the_text():
    fenced = "```python\n# no heading\n```"
    book = course.slide_book(f"# A\n\na\n\n. . .\n\nb\n\n::: notes\nsay\n:::\n\n### c\n\n{fenced}\n## d\n")
    told = [(cell.metadata.slideshow.slide_type, cell.source) for cell in book.cells]
    assert told == [
        ("slide", "# A\n\na"), ("fragment", "b"), ("notes", "say"),
        ("subslide", f"### c\n\n{fenced}"), ("slide", "## d"),
    ]  # fmt: skip


@every_session
def test_a_session_asks_shows_formulas_and_helps_the_lecturer(page):
    book = course.slide_book(page.read_text(encoding="utf-8"))
    kinds = [cell.metadata.slideshow.slide_type for cell in book.cells]
    slides = [i for i, kind in enumerate(kinds) if kind in ("slide", "subslide")]
    assert kinds.count("slide") >= 12 and len(slides) <= 20 and kinds.count("notes") >= 4 and kinds[0] == "slide"
    asks = [number for number, i in enumerate(slides) if re.search(r"Predict|\*\*Question", on_slide(book, slides, i))]
    assert max(b - a for a, b in zip([0, *asks], [*asks, len(slides)])) <= 6
    assert text_of(book).count("$$") >= 2 and text_of(book).count("$$") % 2 == 0


def on_slide(book: nbformat.NotebookNode, starts: list[int], start: int) -> str:
    end = next((i for i in starts if i > start), len(book.cells))
    return "\n".join(cell.source for cell in book.cells[start:end])


@every_session
def test_a_quiz_has_five_questions_and_its_answers_apart(page):
    quiz, notes = ((page.parent / name).read_text(encoding="utf-8") for name in ("quiz.md", "lecturer.md"))
    told = notes.partition("## Answers to quiz")[2]
    for text in (quiz, told):
        assert re.findall(r"^(\d)\. ", text, re.M) == list("12345")
    assert all(f"## {part}" in notes for part in ("Expected answers", "Misconceptions", "When a machine is slow"))
    assert not [line for line in re.findall(r"^\d\. (.*)$", told, re.M) if line in quiz]


def test_the_sessions_follow_the_notebooks():
    assert [page.parent.name for page in SESSIONS] == [f"session{n}" for n in range(1, 7)]
    syllabus = (ROOT / "docs" / "course" / "README.md").read_text(encoding="utf-8")
    linked = re.findall(r"notebooks/(\w+)\.ipynb", syllabus)
    assert linked == list(BOOKS)


def test_terms_of_the_glossary_have_one_place_each():
    assert len(TERMS) == len(set(TERMS)) > 60
    wanted = "cka holm bootstrap attention softmax temperature confidence-interval warm-cold nf4 lora rq-vae sinkhorn"
    assert {*wanted.split(), "trie", "beam", "mrr", "auc", "uauc"} <= set(TERMS)


@every_notebook
def test_notebooks_link_terms_that_the_glossary_has(name):
    linked = re.findall(r"\]\(\.\./docs/glossary\.md#([^)]*)\)", text_of(BOOKS[name]))
    assert linked and set(linked) <= set(TERMS)
    assert len(linked) == len(set(linked)), "only the first use of a term is linked"


def test_links_of_the_course_lead_somewhere():
    for page in (ROOT / "docs" / "course").rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page}: {link}"


def test_everything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(course, "pages", lambda: PAGES[1:2])
    course.main(["--into", str(tmp_path)])
    assert {file.name for file in tmp_path.iterdir()} == {"student", "solution", "slides", "docs"}
    assert "../docs/glossary.md#" in (tmp_path / "student" / PAGES[1].name).read_text(encoding="utf-8")
    assert (tmp_path / "docs" / "glossary.md").is_file()
    decks = [file.read_text(encoding="utf-8") for file in sorted((tmp_path / "slides").iterdir())]
    assert len(decks) == 6 and all("<section" in deck for deck in decks)
    for form in ("student", "solution"):
        for cell in nbformat.read(tmp_path / form / PAGES[1].name, as_version=4).cells:
            assert cell.cell_type != "code" or ast.parse(cell.source)
