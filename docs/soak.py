"""A hundred kills: does a run that was killed at a random moment, and started again, end with the same table?

    python docs/soak.py [--kills 100] [--seed 0] [--methods all]

For each kill a few methods are drawn, from all that the three tables know, and trained into an empty folder, one at a
time or two at a time; at a random moment all their processes, or one of them, get SIGKILL. The same command is then
started again, and its rows of the table must be, to the last digit, those of a run that nobody disturbed. Sizes are
those of preset ``fast``, with a checkpoint at every step that is half a second late. Prints what was in the making when
the kill came. POSIX only: the runs are forks of this process.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil

import sellarec_lab as lab
from sellarec_lab import report
from sellarec_lab.config import LoopConfig, Preset

TABLES = {"compare": report.RATINGS, "lcrec": report.NEXT_ITEMS, "kg": report.links("")}
LONGEST = 15.0  # seconds before the kill, at most
AT_ONCE = 2  # methods, at most


def settings(folder: Path) -> Preset:
    return _often(lab.preset("fast", artifacts=str(folder)))


def _often(tree: Any) -> Any:
    """The same settings with a checkpoint every half a second."""
    if isinstance(tree, LoopConfig):
        return dataclasses.replace(tree, checkpoint_seconds=0.5)
    parts = {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree)}
    return dataclasses.replace(tree, **{n: _often(part) for n, part in parts.items() if dataclasses.is_dataclass(part)})


def start(folder: Path, table: str, models: list[str], workers: int) -> int:
    """A process of its own, with a group of its own, that fills the table; its number."""
    number = os.fork()
    if number:
        return number
    os.setsid()
    with (folder / "log.txt").open("a") as log:
        os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
        try:
            cfg = settings(folder)
            report.bench(cfg, None, models, workers=workers, against=models[0], rank_users=3, ask=TABLES[table])
            code = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", flush=True)
            code = 1
    os._exit(code)


def kill(number: int, rng: np.random.Generator) -> str:
    """All processes of the run or one of them; says which."""
    group = [psutil.Process(number), *psutil.Process(number).children(recursive=True)]
    victims = group if rng.random() < 0.5 else [group[rng.integers(len(group))]]
    for victim in victims:
        with contextlib.suppress(psutil.NoSuchProcess):
            victim.send_signal(signal.SIGKILL)
    return "all processes" if victims is group else "the first process" if victims[0].pid == number else "a worker"


def finish(number: int) -> int:
    """Wait for the run; its exit status. What it left behind, if it was killed alone, ends too."""
    _, status = os.waitpid(number, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(number, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


def rows(folder: Path, table: str, models: list[str]) -> pd.DataFrame:
    """What the run says of these methods, without the time that it took."""
    told = pd.read_csv(folder / "fast" / TABLES[table].folder / "results.csv", dtype=str, keep_default_na=False)
    return told[told["model"].isin(models)].drop(columns="seconds").sort_values(["model", "split", "metric"])


def in_the_making(folder: Path) -> str:
    """The stages that were begun and not finished."""
    begun = {path.parent for path in folder.rglob(".holder")}
    return " + ".join(sorted(f"{path.parent.name}" for path in begun)) or "between stages"


def methods(table: str, wanted: str) -> list[str]:
    data = TABLES[table].load(settings(Path(tempfile.gettempdir())), None)
    names = lab.compare.models_for(data, "all")
    return names if wanted == "all" else [name for name in names if name in wanted.split(",")]


def drawn(rng: np.random.Generator, known: dict[str, list[str]]) -> tuple[str, list[str]]:
    """A table, larger ones more often, and a few of its methods."""
    sizes = np.array([len(names) for names in known.values()])
    table = rng.choice(list(known), p=sizes / sizes.sum())
    many = min(rng.integers(1, AT_ONCE + 1), len(known[table]))
    return table, rng.choice(known[table], size=many, replace=False).tolist()


def broken_off(rng: np.random.Generator, folder: Path, *asked: Any) -> tuple[str, str] | None:
    """Start a run and kill it at a random moment: who was killed, in the making of what. None if it was over before."""
    run, until = start(folder, *asked), time.monotonic() + rng.uniform(0.2, LONGEST)
    while time.monotonic() < until and os.waitpid(run, os.WNOHANG)[0] == 0:
        time.sleep(0.05)
    if not psutil.pid_exists(run):
        return None
    making, killed = in_the_making(folder), kill(run, rng)
    finish(run)
    return killed, making


def completed(folder: Path, *asked: Any) -> bool:
    """The run again, until it ends well: where a worker was killed alone, the first may have ended with a failed row,
    so it has two tries."""
    return any(finish(start(folder, *asked)) == 0 for _ in range(2))


def one(
    rng: np.random.Generator, known: dict[str, list[str]], whole: Path, number: int
) -> tuple[str, str, bool] | None:
    """One kill and what came of it: who was killed, in the making of what, and whether the table is the same as in
    ``whole``. None if the run was over before."""
    table, models = drawn(rng, known)
    asked = table, models, 1 + number % 2
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if (found := broken_off(rng, folder, *asked)) is None:
            return None
        same = completed(folder, *asked) and np.array_equal(rows(folder, table, models), rows(whole, table, models))
        if not same:
            print((folder / "log.txt").read_text()[-2000:], flush=True)
    return *found, same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", default="all", help="names with commas, of any of the three tables")
    args = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    rng, started, done = np.random.default_rng(args.seed), time.monotonic(), []
    known = {table: names for table in TABLES if (names := methods(table, args.methods))}
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place)
        for table, names in known.items():
            if finish(start(whole, table, names, 2)):
                sys.exit(f"the run that nobody disturbs failed: {(whole / 'log.txt').read_text()[-2000:]}")
        print(
            f"undisturbed: {sum(map(len, known.values()))} methods, {(time.monotonic() - started) / 60:.1f} minutes",
            flush=True,
        )
        number = 0
        while len(done) < args.kills:
            number += 1
            found = one(rng, known, whole, number)
            if found is not None:
                done.append(found)
                print(
                    f"{len(done):>4} {'the same' if found[2] else 'ANOTHER TABLE'}: {found[0]}, {found[1]}", flush=True
                )
    same = sum(equal for *_, equal in done)
    print(f"{len(done)} kills, {same} equal tables, {(time.monotonic() - started) / 60:.0f} minutes")
    print("killed:", dict(Counter(who for who, *_ in done)))
    print("in the making:", dict(Counter(making for _, making, _ in done).most_common()))
    sys.exit(same < len(done))


if __name__ == "__main__":
    main()
