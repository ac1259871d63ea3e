"""Memory: what training holds at a time does not grow with the number of rows."""

import dataclasses

import pandas as pd

from sellarec_lab import config, sella


def test_peak_memory_of_stage_three_hardly_grows_with_twenty_times_the_rows(toy_cfg, toy):
    loop = config.LoopConfig(rows=640, batch_size=32, epochs=1, evaluations=1)
    cfg = config.replace(config.replace(toy_cfg, "tuning__loop", loop), "injection__loop", loop)
    peaks = []
    for times in (20, 400):
        many = dataclasses.replace(toy, train=pd.concat([toy.train] * times, ignore_index=True))
        pipeline = sella.Pipeline(cfg, many)
        peaks.append(pipeline.injection.made().manifest["peak_gb"])
    assert len(many.train) > 90_000 and peaks[1] < 1.1 * peaks[0]
