"""A case on disk: json that opens again, and a page that needs nothing to be read."""

import contextlib
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import sellarec_lab
from sellarec_lab import runtime, views
from sellarec_lab.workbench.case import Case, from_json

FORMAT = "sellarec_lab case 1"
FIELDS = ("format", "case", "data", "shown", "models", "versions")


def write(path: str | Path, bench) -> Path:
    """Write the case that a `Workbench` shows, as ``.html`` or ``.json``, atomically; returns the path (`free`).

    Raises:
        ValueError: another ending.
    """
    path = Path(path)
    if path.suffix not in (".html", ".json"):
        ending = path.suffix or "a file without ending"
        raise ValueError(f"{path}: a case is written as .html or .json, not as {ending}")
    text = views.to_html(bench) if path.suffix == ".html" else json.dumps(_record(bench), indent=1, ensure_ascii=False)
    path = free(path)
    runtime.write_text(path, text)
    return path


def free(path: Path) -> Path:
    """This path, or with the first number that makes it one where nothing lies (``case_2.html``); it is claimed by an
    empty file, so that whoever asks beside us gets another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        numbered = path if number == 1 else path.with_stem(f"{path.stem}_{number}")
        with contextlib.suppress(FileExistsError):
            numbered.touch(exist_ok=False)
            return numbered


def _record(bench) -> dict[str, Any]:
    models = {
        name: {"score": answer.score, "probability": answer.probability, "prompt": answer.prompt.text}
        | {"recipe": dataclasses.asdict(bench.models[name].recipe)}
        for name, answer in bench.explanations.items()
    }
    data = {"name": bench.data.name, "fingerprint": bench.data.fingerprint}
    versions = {"sellarec_lab": sellarec_lab.__version__, "commit": runtime.commit(), **runtime.versions()}
    parts = (FORMAT, dataclasses.asdict(bench.case), data, list(bench.shown), models, versions)
    return dict(zip(FIELDS, parts, strict=True))


def read(path: str | Path, bench) -> tuple[Case, list[str]]:
    """The case in a json file, for the data and models of a `Workbench`; and the names of the models that were shown.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file, or of other data, or a field that can't be used; names the file and the field.
    """
    path = Path(path)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: no json ({error}); open a file that bench.export('….json') wrote") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ValueError(f"{path}, field format: expected {FORMAT!r}; open a file that bench.export('….json') wrote")
    if unknown := sorted(set(raw) - set(FIELDS)):
        raise ValueError(f"{path}, field {unknown[0]}: unknown; known fields: {', '.join(FIELDS)}")
    if missing := [field for field in ("case", "data") if not isinstance(raw.get(field), dict)]:
        raise ValueError(f"{path}, field {missing[0]}: missing or no object")
    if raw["data"].get("fingerprint") != bench.data.fingerprint:
        raise ValueError(
            f"{path}, field data.fingerprint: the case was written for other data ({raw['data'].get('name')!r}), where "
            f"the same ids are other people and films; open it with that data instead of {bench.data.name!r}"
        )
    try:
        case = from_json(raw["case"])
        for model in bench.models.values():
            case.check(model)
    except ValueError as error:
        raise ValueError(f"{path}, field case.{error}") from error
    return case, [str(name) for name in raw.get("shown") or []]
