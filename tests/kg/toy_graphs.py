"""Small graphs with known answers, DBP-5L's layout on disk, and where the real data would be."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sellarec_lab import kg

SHARED = Path(os.environ.get("SELLAREC_DATA", Path(__file__).parents[3] / "shared" / "data")) / "kg"
LANGUAGES = ("el", "en", "es", "fr", "ja")
# As published, some pairs stand the other way round.
PAIRS = "el-en el-es el-fr el-ja en-fr es-en es-fr ja-en ja-es ja-fr".split()
SPLITS = {"train": [(0, 0, 1), (1, 0, 2), (2, 1, 3), (3, 1, 0)], "val": [(0, 1, 2)], "test": [(2, 0, 1)]}


def needs(file: str) -> pytest.MarkDecorator:
    """Skips a test on real data where they are not."""
    return pytest.mark.skipif(not (SHARED / file).exists(), reason=f"{file} is not in {SHARED}; set SELLAREC_DATA")


def dbp5l_files() -> dict[str, str]:
    """Five entities a language, the last without a triple; the pair a-b links (0, 1) and (1, 0), as floats."""
    files = {"relations.txt": lines([["likes"], ["knows"], ["never used"]])}
    for language in LANGUAGES:
        files[f"entity/{language}.tsv"] = lines([[f"{language}/Ωμέγα {n}\u2028"] for n in range(5)])
        files |= {f"kg/{language}-{part}.tsv": lines(rows) for part, rows in SPLITS.items()}
    return files | {f"seed_alignlinks/{pair}.tsv": lines([("0.0", "1.0"), ("1.0", "0.0")]) for pair in PAIRS}


def lines(rows: list) -> str:
    """Tab-separated, CRLF at every end."""
    return "".join("\t".join(map(str, row)) + "\r\n" for row in rows)


def written(folder: Path, files: dict[str, str | bytes | None]) -> Path:
    """The files under the folder, as real bytes; None leaves one out."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def zipped(folder: Path, archive: Path, top: str = "") -> Path:
    """The folder's files under the folder `top` of a new zip."""
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, Path(top) / path.relative_to(folder))
    return archive


def chain(name: str, n: int = 4, train: list | None = None, **splits: list) -> kg.Graph:
    """Entities "0", "1", ..., relations "next" and "like"; each entity has the next one, or the `train` given."""
    train = train or [(str(i), "next", str(i + 1)) for i in range(n - 1)]
    return kg.from_triples(name, train, **splits, entities=map(str, range(n)), relations=["next", "like"])


def pairs(*rows: tuple[int, int]) -> np.ndarray:
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def counts(graphs: kg.Graph | kg.Graphs, graph: str | None = None) -> dict[str, int]:
    """check -> count, of one graph or pair if it is named; zeros left out."""
    table = kg.validate(graphs)
    table = table[(table["count"] > 0) & (table["graph"].eq(graph) | (graph is None))]
    return table.set_index("check")["count"].to_dict()
