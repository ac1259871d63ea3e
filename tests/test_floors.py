"""The staircase holds: import-linter catches an import that climbs, in a copy of the package."""

import importlib
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sellarec_lab

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
REQUIRED = [
    room
    for contract in CONTRACTS
    for layer in contract.get("layers", [])
    for room in re.split(r"\s*\|\s*", layer)
    if not room.startswith("(")
]


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the package that may be spoiled."""
    package = ROOT / "sellarec_lab"
    built = {path.parent.name for path in package.glob("*/__init__.py")} | {p.stem for p in package.glob("*.py")}
    missing = sorted(set(REQUIRED) - built)
    if missing:
        pytest.skip(f"rooms not built yet: {', '.join(missing)}")
    shutil.copytree(package, tmp_path / "sellarec_lab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def append(file: Path, line: str) -> None:
    file.write_text(f"{file.read_text()}\n{line}\n")


def test_the_package_as_it_is_passes(copy):
    result = lint_imports(copy)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "line", "named"),
    [
        ("teaching.py", "import sellarec_lab.sella", "sellarec_lab.teaching is not allowed to import"),
        ("teaching.py", "import sellarec_lab.config", "sellarec_lab.teaching is not allowed to import"),
        ("teaching.py", "import transformers", "sellarec_lab.teaching -> transformers"),
        ("teaching.py", "def draw():\n    import plotly", "sellarec_lab.teaching -> plotly"),
    ],
    ids=["upward", "sideways", "transformers outside llm", "plotly outside views"],
)
def test_a_forbidden_import_is_caught(copy, room, line, named):
    append(copy / "sellarec_lab" / room, line)
    result = lint_imports(copy)
    assert result.returncode != 0
    assert named in result.stdout, result.stdout


def test_a_room_on_no_floor_is_caught(copy):
    (copy / "sellarec_lab" / "attic.py").write_text('"""A room that nobody put on a floor."""\n')
    result = lint_imports(copy)
    assert result.returncode != 0
    assert "attic" in result.stdout


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, sellarec_lab; print({'torch', 'transformers', 'pandas'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_the_version_is_the_same_wherever_it_is_written():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert sellarec_lab.__version__ == project["version"]
    assert f"\nversion: {project['version']}\n" in (ROOT / "CITATION.cff").read_text()


@pytest.mark.parametrize("room", sorted(p.name for p in pkgutil.iter_modules(sellarec_lab.__path__) if p.ispkg))
def test_a_room_holds_what_its_face_promises(room):
    module = importlib.import_module(f"sellarec_lab.{room}")
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []
