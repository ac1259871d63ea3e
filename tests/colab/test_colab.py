"""The notebooks where a hosted notebook runs them: ipywidgets 7.7, an old IPython, and its torch, numpy and pandas,
which an installation of the lab must leave alone. ``make colab``; it needs a package index, so ``make test`` leaves
it out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
WIDGETS = ("ipywidgets==7.7.1", "ipython==7.34.0", "ipykernel==6.17.1", "nbconvert")
PREINSTALLED = ("torch", "numpy", "pandas")
NOTEBOOKS = ("05_alignment", "07_sella_rec", "11_workbench")


def _run(*command, **kwargs) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def _versions(python: Path) -> dict[str, str]:
    pinned = (line.split("==") for line in _run(python, "-m", "pip", "freeze").splitlines() if "==" in line)
    return {name.lower(): version for name, version in pinned}


@pytest.fixture(scope="session")
def hosted(tmp_path_factory) -> Path:
    """The interpreter of a new environment like a hosted one, the lab installed as the setup cell does it."""
    folder = tmp_path_factory.mktemp("hosted") / "env"
    _run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    tested = [pin for pin in pins if pin.split("==")[0] in PREINSTALLED]
    _run(python, "-m", "pip", "install", "-q", *WIDGETS, *tested)
    before = _versions(python)
    _run(python, "-m", "pip", "install", "-q", ROOT)
    after = _versions(python)
    kept = (*PREINSTALLED, "ipywidgets", "ipython", "ipykernel")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    return python


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_notebook_runs_with_its_claims(hosted, tmp_path, name):
    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace('PRESET = "tiny"', 'PRESET = "fast"')
    where = "import sellarec_lab, ipywidgets\nassert ipywidgets.__version__.startswith('7.7')\n"
    book.cells.append(nbformat.v4.new_code_cell(where + "print(sellarec_lab.__file__)"))
    nbformat.write(book, tmp_path / f"{name}.ipynb")
    command = (hosted, "-m", "jupyter", "nbconvert", "--to", "html", "--execute", f"{name}.ipynb")
    _run(*command, cwd=tmp_path, timeout=900)
    page = (tmp_path / f"{name}.html").read_text(encoding="utf-8")
    assert str(hosted.parents[1]) in page, "the lab came from elsewhere than the new environment"
    assert str(ROOT / "sellarec_lab") not in page
