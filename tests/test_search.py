"""The search for settings: equal effort, valid alone, best first, resumable, and a failure is a row."""

import dataclasses

import benches
import numpy as np
import pandas as pd
import pytest

from sellarec_lab import collab, compare, config, metrics, runtime
from sellarec_lab.__main__ import main


def changed(cfg, setting):
    for path, value in setting.items():
        cfg = config.replace(cfg, path, value)
    return cfg


def test_the_best_setting_on_valid_comes_first_and_test_is_never_read(toy_cfg, toy):
    grid = [{"mf__dim": 2, "mf__loop__epochs": 1}, {"mf__dim": 4, "mf__loop__epochs": 20}]
    upside_down = dataclasses.replace(toy, test=toy.test.assign(label=1 - toy.test["label"]))
    found = compare.search(toy_cfg, toy, "mf", grid)
    other = compare.search(toy_cfg, upside_down, "mf", grid)
    assert found["auc"].is_monotonic_decreasing and found[["auc", "uauc"]].equals(other[["auc", "uauc"]])
    for row in found.itertuples():
        model, _ = collab.train(changed(toy_cfg, row.setting).mf, toy, toy_cfg.seed)
        assert [row.auc, row.uauc] == pytest.approx(list(metrics.quality(model.predict(toy.valid)).values()))
    assert {row["mf__dim"] for row in found["setting"]} == {2, 4}


def test_what_was_tried_is_read_and_next_items_are_judged_by_ndcg(lm_folder, tmp_path, monkeypatch):
    cfg, ring = benches.next_preset(lm_folder, tmp_path), benches.ring()
    grid = [{"neighbours__history": n} for n in (1, 6)]
    ticks = []
    found = compare.search(cfg, ring, "item-knn", grid, tick=ticks.append)
    assert list(found.columns) == ["setting", "ndcg@10", "hr@10", "seconds", "error"] and len(ticks) == 2
    assert found["ndcg@10"].between(0, 1).all() and (found["error"] == "").all()
    monkeypatch.setattr(runtime.Stage, "_make", lambda stage: pytest.fail(f"{stage.name} was made again"))
    assert compare.search(cfg, ring, "item-knn", grid).equals(found)


def test_a_setting_that_fails_is_a_row_with_its_error(toy_cfg, toy, monkeypatch):
    def broken(settings, data, *rest, **more):
        raise RuntimeError("no room")

    monkeypatch.setattr("sellarec_lab.collab.trainer.train", broken)
    found = compare.search(toy_cfg, toy, "mf", [{"mf__dim": 3}])
    assert found["error"].tolist() == ["RuntimeError: no room"] and np.isnan(found["auc"].astype(float)).all()
    with pytest.raises(ValueError, match="MFConfig has no field 'width'"):
        compare.search(toy_cfg, toy, "mf", [{"mf__width": 3}])
    with pytest.raises(ValueError, match="no grid is known for 'popularity'"):
        compare.search(toy_cfg, toy, "popularity")


def test_every_method_is_searched_with_equal_effort(toy_cfg):
    for name, grid in compare.GRIDS.items():
        trees = {changed(toy_cfg, setting) for setting in grid}
        assert len(grid) == len(trees) == 8, name


def test_the_command_prints_the_settings_and_keeps_them(tmp_path, capsys):
    given = ["search", "--preset", "fast", "--models", "mf,item-knn", "--artifacts", str(tmp_path), "--workers", "1"]
    assert main(given) == 0
    told, kept = capsys.readouterr().out, pd.read_csv(tmp_path / "fast" / "search" / "item-knn.csv")
    assert "Item neighbours" in told and "neighbours__fading" in told and len(kept) == 8
    assert kept["ndcg@10"].is_monotonic_decreasing
