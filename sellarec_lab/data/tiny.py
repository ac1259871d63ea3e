"""The embedded world: a small simulated cinema whose true probabilities are known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file

from sellarec_lab.data.build import from_frames
from sellarec_lab.data.errors import DataError, problem
from sellarec_lab.data.interactions import SPLITS, Interactions

_RESTORE = "Restore the file from the repository, or build the world again."


def load_tiny(root: str | Path | None = None, users: int | None = None) -> Interactions:
    """Read interactions.csv, items.csv, users.csv and truth.safetensors.

    Args:
        root: the folder with the four files. None: the copy inside the installed package, or else
            `data/tiny` of a source checkout.
        users: so many of them, the first ones, for checks of the code; None: all.

    Raises:
        DataError: a file is missing or damaged, or its ids are not 1, 2, ... in order.
    """
    folder = default_folder() if root is None else Path(root).expanduser()
    interactions = _read_csv(folder / "interactions.csv")
    items = _read_csv(folder / "items.csv")
    people, truth = _read_csv(folder / "users.csv"), _read_truth(folder / "truth.safetensors")
    data = from_frames(interactions, items, people, name="tiny", split="split", truth=truth)
    for file, table in (("items.csv", data.items), ("users.csv", data.users)):
        # The rows of the truth table go by these ids, so a renumbering would shift them silently.
        if not np.array_equal(table["external_id"].to_numpy(), table.index.to_numpy()):
            found = table["external_id"].tolist()[:5]
            raise problem(str(folder / file), "ids 1, 2, ... in order", found, _RESTORE)
    return data if users is None else _part(data, users)


def _part(data: Interactions, users: int) -> Interactions:
    """The first users alone, with all items."""
    rows = {name: data.split(name)[data.split(name)["user_id"] <= users] for name in SPLITS}
    return replace(data, **rows, users=data.users[:users], truth=data.truth[: users + 1])


def default_folder() -> Path:
    """Where the world lies: in a wheel beside the code, in a checkout under data/tiny."""
    package = Path(__file__).parent.parent
    installed = package / "tiny"
    return installed if installed.is_dir() else package.parent / "data" / "tiny"


def _read_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise problem(str(path), "a CSV file of the embedded world", "nothing", _RESTORE)
    try:
        # A title may well be "None" or "NA": nothing but the cell's own text is taken for it.
        return pd.read_csv(path, keep_default_na=False, encoding="utf-8")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected UTF-8 CSV with a header, found: {error}. {_RESTORE}") from error


def _read_truth(path: Path) -> np.ndarray:
    if not path.is_file():
        raise problem(str(path), "the true probabilities", "nothing", _RESTORE)
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path}: expected a safetensors file, found: {error}. {_RESTORE}") from error
    if "probability" not in tensors:
        raise problem(str(path), "the tensor 'probability'", sorted(tensors), _RESTORE)
    return tensors["probability"].astype(np.float32)
