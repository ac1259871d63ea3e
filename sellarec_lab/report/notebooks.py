"""The numbered notebooks of the checkout: where they are, and how they are executed."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import joblib
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from tqdm.auto import tqdm

from sellarec_lab import runtime

# A page has room for what a screen cuts off.
_UNCUT = (
    "--IPKernelApp.exec_lines=import pandas; "
    "pandas.set_option('display.max_colwidth', None, 'display.max_columns', None); del pandas"
)


def notebook_folder() -> Path:
    """The numbered notebooks of the checkout.

    Raises:
        FileNotFoundError: the lab is installed without its checkout.
    """
    folder = Path(__file__).parents[2] / "notebooks"
    if not folder.is_dir():
        raise FileNotFoundError("the notebooks are part of a checkout; run with --no-notebooks, or clone the project")
    return folder


def numbered() -> list[Path]:
    """The notebooks in their order."""
    return sorted(notebook_folder().glob("[0-9][0-9]*.ipynb"))


def execute_all(books: Sequence[Path], preset: str, folder: Path, at_once: int) -> Iterator[Path]:
    """Execute notebooks into ``folder``, so many at a time, and tell which is done. The later ones, which train most,
    begin.

    Raises:
        RuntimeError: cells failed; names notebooks and errors, when the others are done.
    """
    failed = []
    with runtime.at_once(min(at_once, len(books))) as parallel:
        jobs = (joblib.delayed(_attempt)(book, preset, folder / book.name, os.getpid()) for book in reversed(books))
        for book, error in parallel(jobs):
            failed += [f"{folder / book.name}: {error}"] if error else []
            yield book
    if failed:
        raise RuntimeError("; ".join(failed))


def _attempt(book: Path, preset: str, target: Path, caller: int) -> tuple[Path, str]:
    """The notebook and its error, in words: nbclient's own can't travel between processes."""
    runtime.at_work(caller)
    try:
        execute(book, preset, target)
    except CellExecutionError as error:
        return book, f"{error.ename}: {error.evalue}"
    return book, ""


def execute(page: Path, preset: str, target: Path) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom with another value of its ``PRESET`` and write the executed copy.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the copy up to it is written.
    """
    book = nbformat.read(page, as_version=4)
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = f'PRESET = "{preset}"'
    client = NotebookClient(
        book, timeout=1800, resources={"metadata": {"path": str(page.parent)}}, extra_arguments=[_UNCUT]
    )
    cells = [c for c in book.cells if c.cell_type == "code"]
    with tqdm(total=len(cells), desc=page.stem, unit="cell", leave=False) as bar:
        client.on_cell_executed = lambda **_: bar.update()
        try:
            client.execute()
        finally:
            runtime.write_text(target, nbformat.writes(book))
    return book
