"""How time and memory grow: four sizes of a random log, each job in a process of its own.

    python docs/scale.py [--users 12500 25000 50000 100000] [--only MF]

A user has twenty rows; there is an item for every five users. For each job: seconds and the process's peak of memory
beyond what it held before, at every size, and the slope, the power of the size with which the time grows between the
first and the last (1: twice the data, twice the time). One job grows with the square, and stands here to be seen:
AdamW moves every row of a table at every step, so an epoch in batches of one size has twice the steps on tables twice
as long; in batches that grow with the data it has not. POSIX only: the jobs are forks of this process.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

import sellarec_lab as lab
from sellarec_lab import collab, config, metrics
from sellarec_lab.runtime import PeakMemory

EACH, SAMPLES, RANKED = 20, 200, 500
BATCHES = 50  # an epoch of batches that grow with the data
A_PROMPT = 50  # one prompt is scored for so many users


def log(users: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Interactions and items of so many users."""
    rng, items = np.random.default_rng(users), users // 5
    rows = users * EACH
    user, item = np.repeat(np.arange(users), EACH), rng.integers(items, size=rows)
    table = pd.DataFrame({"user_id": user, "item_id": item, "label": rng.integers(2, size=rows)})
    table["timestamp"] = rng.integers(10**9, 2 * 10**9, size=rows)
    table = table.drop_duplicates(["user_id", "item_id"])
    return table, pd.DataFrame({"item_id": range(items), "title": [f"Thing number {i}" for i in range(items)]})


def jobs(users: int, folder: str) -> dict[str, Callable[[], Any]]:
    """What is measured, by name; whatever a job needs is made here, outside of its time."""
    interactions, items = log(users)
    data = lab.data.from_frames(interactions, items)
    rng = np.random.default_rng(0)
    scored = data.test.assign(score=rng.normal(size=len(data.test)))
    runs = lab.compare.Scored(["means", "popularity"])
    for name in runs:
        runs[name], runs.seeds[name] = [scored.assign(score=rng.normal(size=len(scored)))], [0]
    cfg = dataclasses.replace(lab.preset("tiny", artifacts=folder), name=f"scale-{users}")
    fixed, growing = (
        config.MFConfig(loop=config.LoopConfig(epochs=1, batch_size=size, evaluations=1))
        for size in (4096, len(data.train) // BATCHES)
    )
    backbone, asked = config.BackboneConfig(), data.test.sample(users // A_PROMPT, random_state=0)
    recipe, known = lab.sella.recipe("zero-shot"), lab.data.Profiles.of(data)
    reader = lab.sella.Recommender(lab.llm.load(backbone), backbone, cfg.prompt, recipe, known)
    scores, targets = rng.random((RANKED, data.n_items)), [(int(t),) for t in rng.integers(data.n_items, size=RANKED)]
    return {
        "from_frames": lambda: lab.data.from_frames(interactions, items),
        "leak report": lambda: lab.data.leak_report(data),
        "fingerprint": lambda: lab.data.from_frames(interactions, items).fingerprint,
        "MF, an epoch in batches of 4,096 rows": lambda: collab.train(fixed, data),
        f"MF, an epoch in {BATCHES} batches": lambda: collab.train(growing, data),
        "AUC and UAUC": lambda: metrics.quality(scored),
        f"intervals of AUC, {SAMPLES} samples": lambda: metrics.interval(scored, "auc", samples=SAMPLES),
        f"compare.table, two models, {SAMPLES} samples": lambda: lab.compare.table(cfg, data, runs, SAMPLES),
        f"scores of the embedded mini-LLM, a prompt for {A_PROMPT} users": lambda: reader.predict(asked),
        f"ranks of {RANKED} users in the catalogue": lambda: metrics.rank_targets(scores, targets),
        "leave-one-out": lambda: lab.data.leave_one_out(data),
    }


def measured(job: Callable[[], Any]) -> tuple[float, float]:
    """Seconds and peak GiB beyond the start, in a fork."""
    read, write = os.pipe()
    if os.fork() == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1), os.dup2(nowhere, 2)
        with PeakMemory() as memory:
            before, started = memory.peak, time.perf_counter()
            job()
            took = time.perf_counter() - started
        with os.fdopen(write, "w") as told:
            json.dump((took, memory.peak - before), told)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as told:
        took, more = json.load(told)
    os.wait()
    return took, more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, nargs="+", default=[12_500, 25_000, 50_000, 100_000])
    parser.add_argument("--only", default="", help="jobs whose name has this in it")
    args = parser.parse_args()
    torch.set_num_threads(1)  # a fork of a process with threads of its own would wait for them
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for users in args.users:
            known = {name: job for name, job in jobs(users, str(Path(folder))).items() if args.only in name}
            for name, job in known.items():
                found.setdefault(name, []).append(measured(job))
                print(
                    f"{users:>8,} users, {name}: {found[name][-1][0]:.2f} s, {found[name][-1][1]:.2f} GiB", flush=True
                )
    print("\n| | " + " | ".join(f"{users:,} users" for users in args.users) + " | slope |")
    print("|---" * (len(args.users) + 2) + "|")
    for name, many in found.items():
        slope = math.log(many[-1][0] / many[0][0]) / math.log(args.users[-1] / args.users[0])
        print(f"| {name} | " + " | ".join(f"{s:.2f} s, {g:.2f} GiB" for s, g in many) + f" | {slope:.2f} |")


if __name__ == "__main__":
    main()
