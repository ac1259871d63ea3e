"""The numbered notebooks of the checkout: where they are, and how they are executed."""

import json
import os
import re
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


def execute_all(
    books: Sequence[Path], preset: str, folder: Path, at_once: int, seeds: int = 1
) -> Iterator[Path]:  # fmt: skip
    """Execute notebooks into ``folder``, so many at a time, and tell which is done. The later ones, which train most,
    begin; ``preset`` and ``seeds`` are told to each, see `execute`.

    Raises:
        RuntimeError: cells failed; names notebooks and errors, when the others are done.
    """
    failed = []
    with runtime.at_once(min(at_once, len(books))) as parallel:
        attempt, caller = joblib.delayed(_attempt), os.getpid()
        jobs = (attempt(book, preset, folder / book.name, seeds, caller) for book in reversed(books))
        for book, error in parallel(jobs):
            failed += [f"{folder / book.name}: {error}"] if error else []
            yield book
    if failed:
        raise RuntimeError("; ".join(failed))


def _attempt(book: Path, preset: str, target: Path, seeds: int, caller: int) -> tuple[Path, str]:
    """The notebook and its error, in words: nbclient's own can't travel between processes."""
    try:
        with runtime.at_work(caller):
            execute(book, preset, target, seeds)
    except CellExecutionError as error:
        return book, f"{error.ename}: {error.evalue}"
    return book, ""


def execute(page: Path, preset: str, target: Path, seeds: int = 1) -> nbformat.NotebookNode:
    """Run a notebook from top to bottom with other values of its ``PRESET`` and, where it has one, ``SEEDS``, and write
    the executed copy.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; the copy up to it is written.
    """
    book = nbformat.read(page, as_version=4)
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = _told(cell.source, PRESET=preset, SEEDS=seeds)
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


def _told(source: str, **values: str | int) -> str:
    """The cell of a notebook's parameters with other values for those that it has."""
    for name, value in values.items():
        source = re.sub(rf"^{name} = .*$", f"{name} = {json.dumps(value)}", source, flags=re.MULTILINE)
    return source
