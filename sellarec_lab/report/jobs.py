"""The main job: train and score models, execute the notebooks, and leave pages that open offline.

`run` leaves ``results.csv``, ``paired.csv``, ``cells.csv``, ``notebooks/`` (executed), and ``report.html`` with the
pages of the notebooks in ``report/``, in ``artifacts/<preset>/``; `bench` the three tables, ``compare.html`` and
``compare.md`` in a folder of its own there.
"""

import datetime
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pandas as pd
from tqdm.auto import tqdm

from sellarec_lab import compare, data, kg, runtime, views
from sellarec_lab.config import Preset
from sellarec_lab.report import front, pages
from sellarec_lab.report.notebooks import execute_all, notebook_folder, numbered


class Asked(NamedTuple):
    """What a table asks: how its data is loaded from (preset, root), and where its results go."""

    load: Callable[[Preset, str | None], Any]
    section: str
    folder: str = ""


RATINGS = Asked(lambda cfg, root: data.load(cfg.dataset, root), "compare", "compare")
NEXT_ITEMS = Asked(lambda cfg, root: data.as_sequences(data.load(cfg.dataset, root)), "lcrec", "next-item")


def links(target: str = "") -> Asked:
    """What is linked in the target, one of the preset's graphs; the first if none is named."""

    def load(cfg: Preset, root: str | None) -> kg.Graphs:
        graphs = kg.load(cfg.kg.graphs, root or cfg.kg.root or None)
        return graphs.about(target) if target else graphs

    return Asked(load, f"kg:{target}" if target else "kg", f"links-{target}" if target else "links")


def run(cfg: Preset, root: str | None = None, seeds: int = 1, notebooks: bool = True) -> pd.DataFrame:
    """Do everything for a preset and return the results table (see `compare.table`).

    Args:
        cfg: the preset.
        root: folder or file of the data, where it does not ship with the lab.
        seeds: how many seeds every model is trained with.
        notebooks: execute the notebooks and build the page as well.
    """
    started = time.perf_counter()
    print(runtime.describe(cfg), flush=True)
    data_set, out = data.load(cfg.dataset, root), runtime.artifacts_folder(cfg.artifacts) / cfg.name
    chosen, at_once = compare.models_for(data_set), int(runtime.workers().value)
    if not chosen:
        raise ValueError(f"{cfg.name}: test holds likes alone, so there is nothing to rate; take the command 'lcrec'")
    books = numbered() if notebooks else []
    with tqdm(total=len(chosen) * seeds + len(books), desc="all", unit="part") as bar:
        tick = partial(_tick, bar)
        scored = compare.run(cfg, data_set, chosen, seeds, tick, at_once)
        if scored.failures:
            raise RuntimeError("; ".join(f"{m}, seed {s}: {e}" for (m, s), e in scored.failures.items()))
        results, paired = compare.table(cfg, data_set, scored), compare.paired_tests(scored)
        _write(out, results=results, paired=paired, cells=compare.cells(cfg, data_set, scored))
        for book in execute_all(books, cfg.name, out / "notebooks", at_once, seeds) if books else ():
            tick(book.stem)
    if books:
        executed = {book: nbformat.read(out / "notebooks" / book.name, as_version=4) for book in books}
        write(cfg, seeds, results, paired, executed)
    _say(out, compare.summary(results), started)
    if books:
        print(f"open {out / 'report.html'} in a browser: what is seen, the table, and every notebook as it ran")
    return results


def write(
    cfg: Preset, seeds: int, results: pd.DataFrame, paired: pd.DataFrame, executed: dict[Path, nbformat.NotebookNode]
) -> Path:
    """The report of a run: its first page, whose path is returned, and in ``report/`` beside it a page a notebook.

    Args:
        cfg, seeds: what ran.
        results, paired: its tables, from `compare`.
        executed: notebook of the checkout -> its executed copy.
    """
    out = runtime.artifacts_folder(cfg.artifacts) / cfg.name
    made = pages.write(out, executed, notebook_folder().parent)
    facts = {
        "preset": cfg.name, "seeds": _seeds(cfg, seeds), "commit": runtime.commit(),
        "date": f"{datetime.datetime.now():%Y-%m-%d %H:%M}", "device": runtime.device().value,
    }  # fmt: skip
    runtime.write_text(out / "report.html", front.first_page(results, paired, facts, made))
    return out / "report.html"


def bench(
    cfg: Preset, root: str | None = None, models: list[str] | str = "all", seeds: int = 1, workers: int | None = None,
    against: str = "sella", command: str = "", into: Path | None = None, rank_users: int | None = None, *,
    ask: Asked | None = None, **options: Any,
) -> pd.DataFrame:  # fmt: skip
    """Fill the table for many models and leave it as csv, page and markdown; returns the results.

    Args:
        cfg, root, seeds: as `run` takes them.
        models: names, or a choice that `compare.models_for` knows.
        workers: processes at a time; by default `runtime.workers` decides.
        against: the model that all others are compared with.
        command: what the reader should type to get the same, for the markdown.
        into: a markdown file whose section ``compare:<preset>`` is replaced.
        ask: another question than who likes what: `NEXT_ITEMS` or `links`; its name is the section's, and files lie in
            its folder.
        rank_users, options: as `compare.run` takes them (``ablation_seeds``, ``cluster``); users to rank for are by
            default as many as the preset says.
    """
    started = time.perf_counter()
    decision = runtime.workers() if workers is None else runtime.Decision(str(workers), "asked for")
    print(f"{runtime.describe(cfg)}\n{'workers':<13} {decision}", flush=True)
    ask, rank_users = ask or RATINGS, cfg.rank_users if rank_users is None else rank_users
    if into is not None:
        compare.check_section(into, f"{ask.section}:{cfg.name}")
    data_set, out = ask.load(cfg, root), runtime.artifacts_folder(cfg.artifacts) / cfg.name / ask.folder
    chosen = compare.models_for(data_set, models) if isinstance(models, str) else models
    chosen = list(dict.fromkeys([*chosen, against]))
    compare.check_fit(data_set, chosen)
    planned = compare.plan(chosen, cfg.seed, seeds, options.get("ablation_seeds"))
    with tqdm(total=len(planned), desc="models x seeds", unit="cell") as bar:
        tick, at_once = partial(_tick, bar), int(decision.value)
        scored = compare.run(cfg, data_set, chosen, seeds, tick, at_once, rank_users=rank_users, **options)
    results = compare.table(cfg, data_set, scored, rank_users=rank_users)
    tests, cells = compare.paired_tests(scored, against), compare.cells(cfg, data_set, scored)
    _write(out, results=results, paired=tests, cells=cells)
    facts = f"```\n{command}\n```\n\n{_birth(cfg, seeds, cells, (time.perf_counter() - started) / 60)}"
    text = compare.section(results, tests, cells, against, facts)
    runtime.write_text(out / "compare.md", text)
    runtime.write_text(out / "compare.html", _bench_page(results, tests, cells, against))
    if into is not None:
        compare.write_section(into, f"{ask.section}:{cfg.name}", text)
    _say(out, compare.summary(results, cells), started, scored.failures)
    print(f"open {out / 'compare.html'} in a browser for the figures")
    return results


def search(
    cfg: Preset, root: str | None, models: list[str], workers: int | None = None, target: str = ""
) -> dict[str, pd.DataFrame]:
    """Search the settings of some methods on valid (`compare.search`); leaves ``search/<method>.csv``.

    ``target`` names a graph, for methods that rank links.
    """
    decision = runtime.workers() if workers is None else runtime.Decision(str(workers), "asked for")
    print(f"{runtime.describe(cfg)}\n{'workers':<13} {decision}", flush=True)
    found, questions = {}, {"rating": RATINGS, "next-item": NEXT_ITEMS, "link": links(target)}
    for name in models:
        asked = questions[compare.method(name).tasks[0]].load(cfg, root)
        with tqdm(total=len(compare.GRIDS.get(name, ())), desc=name, unit="setting") as bar:
            found[name] = compare.search(cfg, asked, name, workers=int(decision.value), tick=partial(_tick, bar))
        place = runtime.artifacts_folder(cfg.artifacts) / cfg.name / "search" / f"{name}.csv"
        runtime.write_text(place, found[name].to_csv(index=False, float_format="%.6f"))
        print(f"\n{compare.TITLES[name]}, on valid, seed {cfg.seed}\n{found[name].to_string(index=False)}", flush=True)
    return found


def _tick(bar: tqdm, what: str) -> None:
    bar.update()
    bar.set_postfix_str(f"{what} done")


def _say(out: Path, summary: pd.DataFrame, started: float, failures: Mapping | None = None) -> None:
    print(summary.to_string())
    for (model, seed), error in (failures or {}).items():
        print(f"FAILED {model}, seed {seed}: {error}")
    print(f"\nresults in {out}; {(time.perf_counter() - started) / 60:.1f} minutes")


def _birth(cfg: Preset, seeds: int, cells: pd.DataFrame, minutes: float) -> str:
    """Where the numbers come from: what made the cells, which need not be what writes the table."""
    commits, devices, *libraries = (_different(cells[name]) for name in runtime.BORN_WITH)
    versions = ", ".join(f"{n} {v}" for n, v in zip(runtime.BORN_WITH[2:], libraries))
    work = cells.groupby("model")["seconds"].sum().sum() / 60
    return (
        f"Seeds {_seeds(cfg, seeds)}; made at commit {commits} on {devices}; {versions}. "
        f"This call, at {runtime.commit()}, took {minutes:.0f} minutes; "
        f"each row alone, with all it rests on, would take the {work:.0f} minutes that the rows add up to."
    )


def _different(told: pd.Series) -> str:
    """The different ones of a column that holds lists with commas between (see `runtime.births`)."""
    return ", ".join(sorted({one for cell in told.dropna() for one in cell.split(", ") if one})) or "unknown"


def _seeds(cfg: Preset, seeds: int) -> str:
    return ", ".join(map(str, range(cfg.seed, cfg.seed + seeds)))


def _write(out: Path, **tables: pd.DataFrame) -> None:
    for name, frame in tables.items():
        runtime.write_text(out / f"{name}.csv", frame.to_csv(index=False, float_format="%.6f"))


def _bench_page(results: pd.DataFrame, tests: pd.DataFrame, cells: pd.DataFrame, against: str) -> str:
    named = compare.titled(results)
    first, second = compare.compared_by(results["metric"])
    figures = [views.results_forest(named, first), views.results_forest(named, second)]
    if (results["model"] == "oracle").any():
        figures.append(views.gap_closed(named))
    if len(tests):  # with one model there is nothing to compare
        figures.append(views.paired_forest(compare.titled(tests), first, against=compare.TITLES[against]))
    if (cells["seconds"] > 0).any():
        figures.append(views.cost_against_quality(compare.titled(cells), named, first))
    table, body = compare.summary(results, cells)._repr_html_(), "".join(map(pages.figure, figures))
    rows = [(m.title, m.group, m.source) for n, m in compare.METHODS.items() if n in set(results["model"])]
    methods = pd.DataFrame(rows, columns=["model", "group", "what it is"])
    heads = "<h1>sellarec_lab: every method</h1>", "<h2>The methods</h2>"
    body = f"<main>{heads[0]}<div class='scroll'>{table}</div>{body}{heads[1]}{pages.table(methods, 'words')}</main>"
    return pages.document("every method", body, plotly="")
