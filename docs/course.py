"""Build the course from one source: the notebooks, and the sessions in docs/course.

    python docs/course.py [--into artifacts/course] [--tested]

Leaves ``student/`` (answers taken out), ``solution/`` (answers filled in), ``slides/`` (offline pages), and the
glossary where the notebooks' links expect it. An exercise is written once: a heading with its marks, a code cell with a
statement left open at ``...`` that ends in a check, and below it the answer, folded. With ``--tested`` it leaves
``tested/`` alone: the notebooks with each exercise twice, open and solved. The tests run these in the place of the
stored ones, so that the answers are tried at the cost of a few cells and no model is trained a second time.
"""

from __future__ import annotations

import argparse
import ast
import copy
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
KINDS = ("predict", "write it", "find the bug", "design")
_HEADING = re.compile(rf"^#+ Exercise (\d+) · ({'|'.join(KINDS)}) · (●○○|●●○|●●●) · (\d+) minutes · (\S.*)$", re.M)
_ANSWER = re.compile(r"<details><summary>Answer</summary>\n(.*?)</details>", re.S)
_CODE = re.compile(r"```python\n(.*?)```", re.S)
_NOTHING = re.compile(r"\A\s*\Z")
_SLIDE = {"# ": "slide", "## ": "slide", "### ": "subslide"}
# few words a page, for the last row of a lecture hall; tables here hold words
_LARGE = "<style>.reveal{font-size:36px}.reveal table{font-size:.8em}.reveal td,.reveal th{text-align:left}</style>"
_FENCE = {". . .": "fragment", "::: notes": "notes", ":::": "-"}


class Exercise(NamedTuple):
    """Marks, and the places of its cells in the notebook; ``code`` is the answer."""

    number: int
    kind: str
    difficulty: int
    minutes: int
    title: str
    asked: int
    stub: int
    answer: int
    code: str


def exercises(book: NotebookNode, name: str = "notebook") -> list[Exercise]:
    """All exercises of a notebook, in their order.

    Raises:
        ValueError: a heading without its marks, or an exercise without a stub or an answer; says which.
    """
    found = []
    for place, cell in enumerate(book.cells):
        if cell.cell_type == "markdown":
            headings = list(_HEADING.finditer(cell.source))
            if len(headings) != len(re.findall(r"^#+ Exercise", cell.source, re.M)):
                form = f"'### Exercise 1 · KIND · ●●○ · 10 minutes · title', KIND one of {', '.join(KINDS)}"
                raise ValueError(f"{name}, cell {cell.id}: an exercise without its marks; expected {form}")
            found += [_exercise(book, name, place, heading) for heading in headings]
    return found


def _exercise(book: NotebookNode, name: str, asked: int, heading: re.Match) -> Exercise:
    number, kind, marks, minutes, title = heading.groups()
    where = f"{name}, exercise {number}"
    stub = _first(book, asked, lambda c: c.cell_type == "code" and open_lines(c.source), f"{where}: no cell holds ...")
    answer = _first(book, stub, lambda c: _ANSWER.search(c.source), f"{where}: no folded answer below cell {stub}")
    code = _CODE.search(_ANSWER.search(book.cells[answer].source)[1])
    if code is None:
        raise ValueError(f"{where}: the answer holds no python; give the statements that replace the open one")
    return Exercise(int(number), kind, marks.count("●"), int(minutes), title, asked, stub, answer, code[1].rstrip())


def _first(book: NotebookNode, after: int, fits: Callable[[NotebookNode], object], missing: str) -> int:
    for place in range(after + 1, len(book.cells)):
        if fits(book.cells[place]):
            return place
        if _HEADING.search(book.cells[place].source):  # the next exercise begins
            break
    raise ValueError(missing)


def open_lines(source: str) -> tuple[int, int] | None:
    """First and last line, from 0, of the one statement left at ``...``: ``yours = ...`` or a function of that body."""
    for node in ast.parse(source).body:
        last = node.body[-1] if isinstance(node, ast.FunctionDef) else node
        if isinstance(last, ast.Assign | ast.Expr) and isinstance(last.value, ast.Constant) and last.value.value is ...:
            return node.lineno - 1, node.end_lineno
    return None


def solved(source: str, code: str) -> str:
    """A stub with the answer in the place of its open statement."""
    lines, (first, end) = source.splitlines(), open_lines(source)
    return "\n".join([*lines[:first], code, *lines[end:]])


def student(book: NotebookNode, name: str = "notebook") -> NotebookNode:
    """A copy without answers and outputs."""
    exercises(book, name)
    book = _stripped(book)
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = _ANSWER.sub("", cell.source).strip()
    book.cells = [cell for cell in book.cells if not _NOTHING.match(cell.source)]
    return book


def solution(book: NotebookNode, name: str = "notebook") -> NotebookNode:
    """A copy with the answers in the stubs, and what the answers say beside their code below them."""
    found, book = exercises(book, name), _stripped(book)
    for one in found:
        book.cells[one.stub].source = solved(book.cells[one.stub].source, one.code)
        said = book.cells[one.answer]
        said.source = _ANSWER.sub(lambda match: _CODE.sub("", match[1]).strip(), said.source, count=1).strip()
    book.cells = [cell for cell in book.cells if not _NOTHING.match(cell.source)]
    return book


def tested(book: NotebookNode, name: str = "notebook") -> NotebookNode:
    """A copy that holds each exercise open, as a student meets it, and then solved, with what its check must say."""
    found, book = exercises(book, name), _stripped(book)
    for one in reversed(found):  # from below, so that places above stay as they are
        stub = book.cells[one.stub]
        answered = nbformat.v4.new_code_cell(solved(stub.source, one.code))
        book.cells[one.stub + 1 : one.stub + 1] = [_says("not attempted yet"), answered, _says("passed")]
    return book


def _says(status: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(f"assert Out[max(Out)].status == {status!r}, Out[max(Out)]")


def _stripped(book: NotebookNode) -> NotebookNode:
    book = copy.deepcopy(book)
    for cell in book.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return book


def slide_book(text: str) -> NotebookNode:
    """A session's Markdown as a notebook with slides: headings # and ## begin one, ### one below it (an answer); the
    line ``. . .`` uncovers what follows, and ``::: notes`` up to ``:::`` is for the lecturer, as in Pandoc."""
    cells, fenced = [["slide", []]], False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        heading = re.match(r"#{1,3} ", line)
        kind = None if fenced else _SLIDE[heading[0]] if heading else _FENCE.get(line)
        if kind is not None:
            cells.append([kind, []])
        if kind is None or heading:
            cells[-1][1].append(line)
    written = [(kind, "\n".join(lines).strip()) for kind, lines in cells]
    return nbformat.v4.new_notebook(cells=[_slide(kind, source) for kind, source in written if source])


def _slide(kind: str, source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source, metadata={"slideshow": {"slide_type": kind}})


def pages(folder: Path = ROOT / "notebooks") -> list[Path]:
    return sorted(folder.glob("[0-9][0-9]_*.ipynb"))


def sessions(folder: Path = ROOT / "docs" / "course") -> list[Path]:
    return sorted(folder.glob("session*/slides.md"))


def write(forms: dict[str, Callable], into: Path) -> None:
    """The notebooks in each of the forms, ``into/<form>/``; what lay there before goes."""
    for form, made in forms.items():
        shutil.rmtree(into / form, ignore_errors=True)
        (into / form).mkdir(parents=True)
        for page in pages():
            nbformat.write(made(nbformat.read(page, as_version=4), page.name), into / form / page.name)


def write_slides(into: Path) -> None:
    from slides import deck  # beside this file; it asks for nbconvert

    (into / "slides").mkdir(parents=True, exist_ok=True)
    for page in sessions():
        text = page.read_text(encoding="utf-8")
        shown = deck(slide_book(text), title=text.partition("\n")[0].removeprefix("# "))
        shown = shown.replace("</html>", f"{_LARGE}</html>")
        (into / "slides" / f"{page.parent.name}.html").write_text(shown, encoding="utf-8")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "artifacts" / "course")
    parser.add_argument("--tested", action="store_true", help="only the notebooks that the tests run")
    args = parser.parse_args(arguments)
    write({"tested": tested} if args.tested else {"student": student, "solution": solution}, args.into)
    if not args.tested:
        (args.into / "docs").mkdir(exist_ok=True)
        shutil.copy(ROOT / "docs" / "glossary.md", args.into / "docs")
        write_slides(args.into)
    print(f"{args.into}: {', '.join(sorted(folder.name for folder in args.into.iterdir()))}")


if __name__ == "__main__":
    main()
