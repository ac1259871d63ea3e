"""An equal search for every model: the same number of settings, judged on valid. Test is never read."""

import time
from collections.abc import Sequence
from itertools import product
from typing import Any

import pandas as pd

from sellarec_lab.collab.trainer import AnyConfig, train
from sellarec_lab.config import replace
from sellarec_lab.data import Interactions

Setting = dict[str, Any]


def _grid(base: Setting, **choices: Sequence[Any]) -> list[Setting]:
    """Every combination of the choices on top of ``base``."""
    return [base | dict(zip(choices, values)) for values in product(*choices.values())]


GRIDS: dict[str, list[Setting]] = {  # changes of fields; eight a model, so that none was tuned harder
    "mf": _grid({}, dim=(8, 16, 32, 64), loop__weight_decay=(1.0, 3.0)),
    "mf-plain": _grid({"biases": False}, dim=(8, 16, 32, 64), loop__weight_decay=(1.0, 3.0)),
    "lightgcn": _grid({}, layers=(2, 3), loop__learning_rate=(3e-3, 1e-2), loop__weight_decay=(0.3, 3.0)),
    "sasrec": _grid({"layers": 1}, dropout=(0.2, 0.5), loop__learning_rate=(3e-3, 1e-2), loop__weight_decay=(1.0, 5.0)),
    "din": _grid({}, dropout=(0.2, 0.5), loop__learning_rate=(3e-3, 1e-2), loop__weight_decay=(0.3, 3.0)),
}


def grid_search(config: AnyConfig, data: Interactions, grid: Sequence[Setting], seed: int = 0) -> pd.DataFrame:
    """Train once for each setting and judge on ``data.valid``.

    Args:
        config: the config that the settings change.
        data: an `Interactions`; its test split is not touched.
        grid: settings, each a dict of field paths as `config.replace` takes them; one of `GRIDS`, or one's own.
        seed: of every training.

    Returns:
        One row a setting, best first: setting, auc and uauc on valid at the best step, seconds of training.

    Raises:
        ValueError: a setting names an unknown field.
    """
    rows = []
    for setting in grid:
        changed = config
        for path, value in setting.items():
            changed = replace(changed, path, value)
        started = time.perf_counter()
        _, history = train(changed, data, seed)
        best = next(r for r in history.records if r["step"] == history.best_step)
        rows.append({"setting": setting, **{key: best[key] for key in ("auc", "uauc")}})
        rows[-1]["seconds"] = time.perf_counter() - started
    table = pd.DataFrame(rows, columns=["setting", "auc", "uauc", "seconds"])
    return table.sort_values("auc", ascending=False, ignore_index=True)
