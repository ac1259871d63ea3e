import pandas as pd
import pytest

from sellarec_lab import runtime
from sellarec_lab.__main__ import main


def test_doctor_says_what_will_run_and_why(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in ("torch", "device", "quantisation", "works on", "28 layers in 4 bits"):
        assert word in text


def test_world_writes_the_tables(tmp_path, capsys):
    assert main(["world", "--folder", str(tmp_path), "--tables-only"]) == 0
    assert (tmp_path / "interactions.csv").is_file()


@pytest.mark.slow
def test_run_leaves_the_results(tmp_path, capsys):
    assert main(["run", "--preset", "fast", "--no-notebooks", "--artifacts", str(tmp_path)]) == 0
    results = pd.read_csv(tmp_path / "fast" / "results.csv")
    assert list(results.columns) == ["model", "split", "metric", "value", "low", "high", "seeds", "seconds"]
    assert {"oracle", "means", "mf", "zero-shot", "tallrec", "collm", "sella"} == set(results["model"])
    assert set(results["split"]) == {"test", "test-warm", "test-cold"}
    assert ((results["low"] <= results["value"]) & (results["value"] <= results["high"])).all()
    assert "SeLLa-Rec" in capsys.readouterr().out


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="known presets: tiny"):
        main(["run", "--preset", "gigantic"])


def test_writes_are_atomic(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    runtime.write_text(path, "old")
    monkeypatch.setattr(runtime.os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError):
        runtime.write_text(path, "new")
    assert path.read_text() == "old"


def test_nf4_by_name_is_refused_where_it_cannot_be():
    with pytest.raises(RuntimeError, match="no 4-bit kernels for mps"):
        runtime.quantisation("nf4", "mps")
