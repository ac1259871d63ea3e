import os
import sys

import pandas as pd
import pytest
import torch

from sellarec_lab import compare, config, llm, runtime
from sellarec_lab.__main__ import _parser, _preset, entry, main


def test_doctor_says_what_will_run_and_why(capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for word in ("torch", "device", "quantisation", "works on", "28 layers in 4 bits"):
        assert word in text


def test_world_writes_the_tables(tmp_path, capsys):
    assert main(["world", "--folder", str(tmp_path), "--tables-only"]) == 0
    assert (tmp_path / "interactions.csv").is_file()


@pytest.fixture
def quick(monkeypatch):
    """Here and not in processes that would import everything anew; `test_two_workers_give_what_one_gives` has those."""
    monkeypatch.setattr(runtime, "workers", lambda: runtime.Decision("1", "a test"))


@pytest.mark.slow
def test_run_leaves_the_results(tmp_path, capsys, quick):
    assert main(["run", "--preset", "fast", "--no-notebooks", "--artifacts", str(tmp_path)]) == 0
    results = pd.read_csv(tmp_path / "fast" / "results.csv")
    assert list(results.columns) == ["model", "split", "metric", "value", "low", "high", "seeds", "seconds"]
    assert set(compare.CORE) == set(results["model"])
    assert {"test", "test-warm", "test-cold"} <= set(results["split"])
    ranked = results[results["metric"].isin(["auc", "uauc"])]
    assert ((ranked["low"] <= ranked["value"]) & (ranked["value"] <= ranked["high"])).all()
    cells = pd.read_csv(tmp_path / "fast" / "cells.csv")
    assert (cells["error"].fillna("") == "").all() and (cells["peak_gb"] > 0).all()
    assert "SeLLa-Rec" in capsys.readouterr().out


@pytest.mark.slow
def test_compare_leaves_the_table_the_page_and_the_section(tmp_path, capsys, quick):
    into = tmp_path / "R.md"
    into.write_text("<!-- compare:tiny-fast -->\n<!-- /compare:tiny-fast -->\n")
    wanted = "means,popularity,mf,tallrec,zero-shot,fusion-cf"
    given = ["compare", "--fast", "--models", wanted, "--against", "mf", "--rank-users", "5", "--seeds", "2"]
    given += ["--artifacts", str(tmp_path), "--into", str(into)]
    assert main(given) == 0
    assert "numbers mean nothing" in capsys.readouterr().out
    text = into.read_text()
    assert "python -m sellarec_lab compare --fast" in text and "| Popularity |" in text
    born = f"made at commit {runtime.commit()} on {runtime.device().value}; torch {torch.__version__}"
    assert f"Seeds 0, 1; {born}" in text
    page = (tmp_path / "tiny-fast" / "compare" / "compare.html").read_text(encoding="utf-8")
    assert page.count("Plotly.newPlot(") >= 4 and 'src="http' not in page
    assert main(["compare", "--list"]) == 0 and "sella-rince" in capsys.readouterr().out
    assert not (tmp_path / "tiny-fast" / "results.csv").exists(), "that is where the command run leaves its own"


@pytest.mark.parametrize("typed, ranked", [("", True), ("--rank-users 0", False)])
def test_the_catalogue_is_ranked_for_as_many_as_the_preset_says_unless_told(typed, ranked, tmp_path):
    given = f"compare --fast --models popularity --against popularity --workers 1 --set rank_users=3 {typed}"
    assert main([*given.split(), "--artifacts", str(tmp_path)]) == 0
    (text,) = (path.read_text() for path in tmp_path.rglob("results.csv"))
    assert ("catalogue-3" in text) == ranked and text.count("catalogue-3") == text.count("catalogue-")
    assert config.preset("smollm2").rank_users == 0


@pytest.mark.parametrize(
    "typed", ["compare --models means", "lcrec --models next-popularity", "kg --models kg-frequency"]
)
def test_a_model_may_stand_alone(typed, tmp_path):
    name = typed.split()[-1]
    assert main([*typed.split(), "--fast", "--against", name, "--artifacts", str(tmp_path), "--workers", "1"]) == 0
    (text,) = (path.read_text() for path in tmp_path.rglob("compare.md"))
    assert "minus each" not in text and "count: ." not in text


@pytest.mark.parametrize(
    "typed, says",
    [
        ("compare --models sela,mf", "unknown model 'sela'; did you mean sella"),
        ("compare --models mf --against lihtgcn", "did you mean lightgcn"),
        ("search --models mf,means", "--models means: no settings are known to search"),
        ("search --models all", "--models all: no settings are known to search"),
        ("world --steps 5", "--steps would replace the world in data/tiny by another; give --folder as well"),
        ("world --tables-only --seed 8", "--seed would replace the world in data/tiny"),
        ("lcrec --models sella", "'sella' answers 'rating', but this data asks for 'next-item'"),
        ("kg --models sella", "this data asks for 'link'"),
        ("run --preset gigantic", "unknown preset 'gigantic'; known presets: tiny"),
        ("compare --data /nowhere --models mf", "/nowhere"),
        ("compare --models mf --set mf__dims=8", "MFConfig has no field 'dims'"),
        ("compare --models mf --set mf__dim=none", "mf__dim: expected a whole number, got 'none'"),
    ],
)
def test_a_mistake_is_one_sentence(typed, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sellarec_lab", *typed.split()])
    assert entry() == 2
    told = capsys.readouterr().err
    assert says in told and "Traceback" not in told and len(told.strip().splitlines()) == 2
    monkeypatch.setattr(sys, "argv", ["sellarec_lab", "--debug", *typed.split()])
    with pytest.raises((ValueError, OSError)):
        entry()
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize(
    "typed", ["run --seeds 0", "compare --seed -1", "compare --rank-users -5", "kg --ablation-seeds 0",
              "compare --workers 0", "world --steps -5", "run --seeds many"],
)  # fmt: skip
def test_counts_are_counts(typed, capsys):
    with pytest.raises(SystemExit) as left:
        main(typed.split())
    assert left.value.code == 2 and "expected a whole number of at least" in capsys.readouterr().err


def test_fields_of_the_preset_are_set_by_their_path():
    typed = "compare --set mf__dim=8 --set backbone__dtype=bfloat16 --set valid_rows=null --set mf__biases=false"
    cfg = _preset(_parser().parse_args(typed.split()))
    assert (cfg.mf.dim, cfg.mf.biases, cfg.backbone.dtype, cfg.valid_rows) == (8, False, "bfloat16", None)
    assert cfg == config.preset("tiny", mf__dim=8, mf__biases=False, backbone__dtype="bfloat16")


@pytest.mark.parametrize("typed", ["compare --set mf__dim", "lcrec --set =8"])
def test_a_setting_without_field_or_value_is_refused(typed, capsys):
    with pytest.raises(SystemExit) as left:
        main(typed.split())
    assert left.value.code == 2 and "expected FIELD=VALUE, as tuning__loop__rows=5000" in capsys.readouterr().err


def test_every_option_has_a_help_text_and_presets_are_listed(capsys):
    (commands,) = (action for action in _parser()._actions if action.dest == "command")
    assert set(commands.choices) >= {"run", "compare", "lcrec", "kg", "search", "doctor", "weights", "world"}
    for name, command in commands.choices.items():
        assert all(action.help for action in command._actions), name
    assert all(preset in commands.choices["kg"].format_help() for preset in config.PRESETS)
    with pytest.raises(SystemExit):
        main(["--version"])
    assert "sellarec_lab 0." in capsys.readouterr().out


def test_ctrl_c_says_that_one_can_go_on(capsys, monkeypatch):
    def stopped(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["sellarec_lab.__main__"], "_doctor", stopped)
    monkeypatch.setattr(sys, "argv", ["sellarec_lab", "doctor"])
    assert entry() == 130 and "goes on from there" in capsys.readouterr().err


def test_where_the_table_goes_is_looked_at_first(tmp_path):
    asked = ["compare", "--fast", "--models", "means", "--against", "means", "--artifacts", str(tmp_path / "made")]
    with pytest.raises(FileNotFoundError, match=r"missing\.md: no such file; make one that holds the marks"):
        main([*asked, "--into", str(tmp_path / "missing.md")])
    (tmp_path / "other.md").write_text("<!-- compare:tiny -->\n<!-- /compare:tiny -->\n")
    with pytest.raises(ValueError, match=r"other\.md: expected the marks <!-- compare:tiny-fast -->"):
        main([*asked, "--into", str(tmp_path / "other.md")])
    assert not (tmp_path / "made").exists()


def test_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="known presets: tiny"):
        main(["run", "--preset", "gigantic"])


def test_writes_are_atomic(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    runtime.write_text(path, "old")
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match=r"a\.json could not be written \(disk full\); what was there before is kept"):
        runtime.write_text(path, "new")
    with pytest.raises(OSError, match=r"b\.safetensors could not be written .*nothing was there before"):
        runtime.save_tensors(tmp_path / "b.safetensors", {"x": torch.ones(2)})
    assert path.read_text() == "old" and [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_nf4_by_name_is_refused_where_it_cannot_be():
    with pytest.raises(RuntimeError, match="no 4-bit kernels for mps"):
        runtime.quantisation("nf4", "mps")


def test_half_precision_is_for_wide_models_on_a_cpu_that_has_it(monkeypatch):
    decisions = sys.modules["sellarec_lab.runtime.decisions"]
    monkeypatch.setattr(decisions, "bfloat16_flags", lambda: ("avx512_bf16",))
    found = [runtime.dtype("auto", "cpu", width) for width in (None, 128, 576)]
    assert [decision.value for decision in found] == ["float32", "float32", "bfloat16"]
    assert found[2].reason == "the CPU has avx512_bf16" and "width 128" in found[1].reason
    assert runtime.dtype("float32", "cpu", 576).value == "float32"
    monkeypatch.setattr(decisions, "bfloat16_flags", tuple)
    assert runtime.dtype("auto", "cpu", 576).value == "float32"


def test_a_wide_backbone_is_loaded_as_its_key_says(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["sellarec_lab.runtime.decisions"], "bfloat16_flags", lambda: ("avx512_bf16",))
    tokenizer = llm.train_tokenizer(["a film"] * 3, 300)
    for width, told in ((64, "float32"), (512, "bfloat16")):
        folder = tmp_path / str(width)
        llm.new_model(config.MiniLMConfig(hidden_size=width, layers=1, heads=4), len(tokenizer)).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        cfg = config.preset("tiny", backbone__name=str(folder), backbone__quantisation="none")
        assert llm.load(cfg.backbone).base.dtype == getattr(torch, told)
        assert llm.inputs(cfg)["backbone"]["dtype"] == told
