"""An equal search for every method: the same number of settings, judged on valid with one seed. Test is never read."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from sellarec_lab import metrics, runtime
from sellarec_lab.compare.methods import method
from sellarec_lab.compare.outcomes import outcome
from sellarec_lab.compare.protocol import NEXT_METRICS, Tick, asked_first, cells_made
from sellarec_lab.compare.tables import LINK_METRICS, METRICS
from sellarec_lab.compare.tasks import LAST_ITEM, RATING, Task, some_next_items
from sellarec_lab.config import Preset, changed
from sellarec_lab.data import Interactions

Setting = Mapping[str, Any]  # field paths of a preset, as `config.replace` takes them, and their values


def _grid(**choices: Sequence[Any]) -> list[Setting]:
    """Every combination of the choices."""
    return [dict(zip(choices, values)) for values in product(*choices.values())]


_SEQUENCES = {"next_item__loop__learning_rate": (1e-3, 3e-3), "next_item__dropout": (0.2, 0.5)}
_INDICES = {
    "lcrec__loop__learning_rate": (2e-3, 4e-3), "lcrec__loop__batch_size": (8, 16), "lcrec__loop__epochs": (4, 8)
}  # fmt: skip


def _triples(name: str) -> list[Setting]:
    loop = f"kg__{name}__loop"
    rates, sizes, epochs = (1e-2, 3e-2), (64, 512), (10, 40)
    return _grid(**{f"{loop}__learning_rate": rates, f"{loop}__batch_size": sizes, f"{loop}__epochs": epochs})


_PATHS = {
    "kg__student__loop__learning_rate": (3e-3, 1e-2), "kg__student__dropout": (0.1, 0.3), "kg__student__hops": (1, 2)
}  # fmt: skip
GRIDS: dict[str, list[Setting]] = {  # eight a method, so that none is tuned harder
    "mf": _grid(mf__dim=(8, 16, 32, 64), mf__loop__weight_decay=(1.0, 3.0)),
    "mf-plain": _grid(mf_plain__dim=(8, 16, 32, 64), mf_plain__loop__weight_decay=(1.0, 3.0)),
    "lightgcn": _grid(
        lightgcn__layers=(2, 3), lightgcn__loop__learning_rate=(3e-3, 1e-2), lightgcn__loop__weight_decay=(0.3, 3.0)
    ),
    "sasrec": _grid(
        sasrec__dropout=(0.2, 0.5), sasrec__loop__learning_rate=(3e-3, 1e-2), sasrec__loop__weight_decay=(1.0, 5.0)
    ),
    "din": _grid(din__dropout=(0.2, 0.5), din__loop__learning_rate=(3e-3, 1e-2), din__loop__weight_decay=(0.3, 3.0)),
    "rlfm": _grid(rlfm__dim=(2, 3, 4, 8), rlfm__features=(12, 24)),
    "item-knn": _grid(neighbours__fading=(0.3, 0.5, 0.7, 0.9), neighbours__history=(5, 50)),
    "sasrec-next": _grid(**_SEQUENCES, next_item__loop__weight_decay=(0.0, 1.0)),
    **{f"kg-{name}": _triples(name) for name in ("distmult", "transe", "rotate")},
    **{name: _grid(**_PATHS) for name in ("kg-alone", "kg-merged", "kg-student")},
    "tiger": _grid(**_INDICES),
    "lcrec": _grid(**_INDICES),
}  # fmt: skip


def search(
    cfg: Preset, data: Interactions, name: str, grid: Sequence[Setting] | None = None, workers: int = 1,
    tick: Tick | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train a method once for each setting, with the preset's seed, and judge it on valid; what was tried before is
    read.

    Args:
        grid: settings to try; by default those of `GRIDS`.
        workers, tick: as `compare.run` takes them.

    Returns:
        One row a setting, best first by the first metric: ``setting``, the metrics on valid (AUC and UAUC; of next
        items NDCG@10 and HR@10, for 1,000 users; of links MRR and Hits@1), ``seconds`` with all that the setting rests
        on, ``error``.

    Raises:
        ValueError: no grid is known for the method, or a setting names an unknown field.
    """
    if grid is None and name not in GRIDS:
        raise ValueError(f"no grid is known for {name!r}: pass one, or take one of {', '.join(GRIDS)}")
    chosen, task = GRIDS[name] if grid is None else grid, _judged(name)
    presets = [changed(cfg, setting) for setting in chosen]
    cells = [(preset, name, ((task, "valid"),)) for preset in presets]
    failed = []
    for (preset, *_), error in cells_made(data, cells, workers, None):
        failed += [(preset, error)] if error else []
        if tick is not None:
            tick(f"{method(name).title}, a setting" + (" FAILED" if error else ""))
    rows = [{"setting": dict(s), **_found(p, data, name, task, failed)} for s, p in zip(chosen, presets)]
    table = pd.DataFrame(rows)
    return table.sort_values(table.columns[1], ascending=False, ignore_index=True)


def _judged(name: str) -> Task:
    """What a setting is asked: all rows or links of valid, or what comes next for a sample of its users."""
    return some_next_items(1000) if asked_first(name) == LAST_ITEM else asked_first(name)


def _found(
    cfg: Preset, data: Interactions, name: str, task: Task, failed: Sequence[tuple[Preset, str]]
) -> dict[str, Any]:
    """The row of a setting: what it reached, or its error."""
    names = {"rating": METRICS, "next-item": NEXT_METRICS[::-1], "link": LINK_METRICS}[task.name]
    if errors := [error for preset, error in failed if preset == cfg]:
        return dict.fromkeys(names) | {"seconds": None, "error": errors[0]}
    stage = outcome(cfg, data, method(name), task, "valid")
    answers = stage.value()
    told = metrics.quality(answers) if task == RATING else {m: metrics.value(answers, m) for m in names}
    return told | {"seconds": runtime.costs([stage])["seconds"], "error": ""}
