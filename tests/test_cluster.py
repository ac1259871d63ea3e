"""The table on a Dask cluster of two workers on this machine: one is killed in the middle, and nothing is missing."""

import dataclasses
import os
import signal

import numpy as np
import pytest

from sellarec_lab import compare

distributed = pytest.importorskip("distributed", reason="the extra 'cluster' is not installed")
MODELS = ["means", "mf", "mf-plain", "lightgcn", "sasrec", "din"]


def test_the_table_is_whole_after_a_worker_was_killed(toy_cfg, toy):
    here = compare.run(toy_cfg, toy, MODELS, seeds=2)
    local = distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None)
    with local as cluster, distributed.Client(cluster) as client:
        first, _ = client.run(os.getpid).values()
        killed = []

        def kill_one(what: str) -> None:
            if not killed:
                os.kill(first, signal.SIGKILL)
                killed.append(what)

        other = dataclasses.replace(toy_cfg, artifacts=toy_cfg.artifacts + "-cluster")
        there = compare.run(other, toy, MODELS, seeds=2, tick=kill_one, cluster=cluster.scheduler_address)
    assert killed and not there.failures
    for name in MODELS:
        for a, b in zip(here[name], there[name], strict=True):
            np.testing.assert_allclose(a["score"], b["score"], rtol=1e-4)
