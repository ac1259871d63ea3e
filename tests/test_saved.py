"""A saved model is checked before it is believed, runs nothing, and takes the place of another in one step."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sellarec_lab import llm, runtime, sella


@pytest.fixture(scope="module")
def saved(lm_folder, toy, tmp_path_factory) -> Path:
    import benches

    place = tmp_path_factory.mktemp("models")
    sella.train(benches.toy_preset(lm_folder, place / "artifacts"), toy, "sella").save_pretrained(place / "saved")
    return place / "saved"


@pytest.fixture
def model(saved, tmp_path) -> Path:
    shutil.copytree(saved, tmp_path / "model")
    return tmp_path / "model"


def resealed(model: Path) -> None:
    """As somebody would who wants a changed file to be believed."""
    card = json.loads((model / "card.json").read_text())
    card["sha256"] = {name: runtime.file_digest(model / name) for name in card["sha256"] if (model / name).is_file()}
    (model / "card.json").write_text(json.dumps(card))


def refused(model: Path, says: str, error: type[Exception] = ValueError) -> None:
    with pytest.raises(error, match=says):
        sella.load(model)


def test_every_flipped_byte_of_every_file_is_seen(model) -> None:
    for file in sorted(path for path in model.rglob("*") if path.is_file() and path.name != "card.json"):
        kept = file.read_bytes()
        for place in {0, len(kept) // 2, len(kept) - 1}:
            file.write_bytes(kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :])
            refused(model, f"{re.escape(file.name)} was changed after it was saved; save the model once more")
        file.write_bytes(kept[: len(kept) // 2])
        refused(model, "was changed")
        file.unlink()
        refused(model, "missing|no sellarec_config", (ValueError, FileNotFoundError))
        file.write_bytes(kept)
    assert sella.load(model).recommend(3, k=1) is not None


def test_what_is_not_the_models_is_refused(model) -> None:
    for name in ("adapter/adapter_model.bin", "evil.py", "old.pkl"):
        (model / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
        refused(model, "json and safetensors alone")
        (model / name).unlink()
    (model / "notes.txt").write_text("mine")
    refused(model, r"notes\.txt is not the model's; move it elsewhere")
    (model / "notes.txt").unlink()
    (model / "link").symlink_to("/etc/hostname")
    refused(model, "json and safetensors alone")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"kind": "recommender"}', '{"kind": "kg", "version": 1, "sha256": {}}']
)
def test_a_card_that_is_none_is_refused(model, text) -> None:
    (model / "card.json").write_text(text)
    refused(model, r"card\.json")


def test_a_newer_card_asks_for_an_update(model) -> None:
    card = json.loads((model / "card.json").read_text()) | {"version": 9}
    (model / "card.json").write_text(json.dumps(card))
    refused(model, "field version: expected 1, found 9; update")


def test_an_older_model_without_a_card_loads_and_says_so(model) -> None:
    (model / "card.json").unlink()
    with pytest.warns(UserWarning, match=r"has no card\.json: saved by an older version"):
        sella.load(model)


@pytest.mark.parametrize(
    "file, path, value, says",
    [
        ("sellarec_config.json", ("recipe",), None, "is not what a saved model has there"),
        ("sellarec_config.json", ("recipe", "slots"), ["planet"], "is not what a saved model has there"),
        ("sellarec_config.json", ("prompt", "history"), -1, "history: expected at least 0"),
        ("sellarec_config.json", ("backbone", "quantisation"), "q9", "quantisation: expected 'auto', 'nf4' or 'none'"),
        ("sellarec_config.json", ("backbone", "colour"), "red", "has no such field"),
        ("sellarec_config.json", ("answers",), {"Yes": 1, "No": 2}, "saved with another tokenizer"),
        ("catalogue.json", ("titles",), ["", "One"], "titles and external ids"),
        ("catalogue.json", ("titles",), 3, "is not what a saved model has there"),
        ("catalogue.json", ("seen",), {}, "somebody must have seen some"),
        ("catalogue.json", ("seen", "1"), [99], "item 99 is not in the catalogue"),
        ("catalogue.json", ("liked", "one"), [1], "is not what a saved model has there"),
        ("catalogue.json", ("surprise",), 1, None),
    ],
)
def test_settings_are_looked_at_even_under_a_new_card(model, file, path, value, says) -> None:
    raw = json.loads((model / file).read_text())
    *way, last = path
    inner = raw
    for step in way:
        inner = inner[step]
    inner[last] = value
    (model / file).write_text(json.dumps(raw))
    resealed(model)
    if says is None:
        sella.load(model)
    else:
        refused(model, says)


@pytest.mark.parametrize(
    "change, says",
    [
        (lambda t: t | {"users.weight": t["users.weight"][:5]}, r"users\.weight: expected 25 rows, one an id, found 5"),
        (
            lambda t: t | {"users.weight": t["items.weight"], "items.weight": t["users.weight"]},
            "expected (25|17) rows, one an id, found (25|17)",
        ),
        (lambda t: t | {"items.weight": t["items.weight"] * torch.nan}, "numbers that are not finite"),
    ],
)
def test_tables_are_looked_at_even_under_a_new_card(model, change, says) -> None:
    from safetensors import safe_open

    file = model / "projector.safetensors"
    with safe_open(file, "pt") as opened:
        note = opened.metadata()
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(file)).items()}, file, metadata=note)
    resealed(model)
    refused(model, says)


def test_a_backbone_of_a_hub_is_asked_for_with_consent_alone(model, monkeypatch) -> None:
    raw = json.loads((model / "sellarec_config.json").read_text())
    raw["backbone"]["name"] = "somebody/model"
    (model / "sellarec_config.json").write_text(json.dumps(raw))
    resealed(model)
    refused(model, r"'somebody/model' is no folder here; .*fetch=True")
    monkeypatch.setattr(llm, "load", lambda backbone: pytest.fail(f"asked for {backbone.name}"))
    with pytest.raises(pytest.fail.Exception, match="asked for somebody/model"):
        sella.load(model, fetch=True)


def test_code_beside_a_backbone_is_never_run(lm_folder, tmp_path, model, monkeypatch) -> None:
    trap = tmp_path / "trap"
    shutil.copytree(lm_folder, trap)
    (trap / "modeling_trap.py").write_text("raise SystemExit('ran')\n")
    told = json.loads((trap / "config.json").read_text())
    told["auto_map"] = {"AutoConfig": "modeling_trap.C", "AutoModelForCausalLM": "modeling_trap.M"}
    (trap / "config.json").write_text(json.dumps(told))
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked [y/N]"))
    from sellarec_lab.config import BackboneConfig

    assert llm.load(BackboneConfig(name=str(trap), quantisation="none")).width == 64


def test_an_adapter_without_weights_is_not_looked_for_at_a_hub(lm, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no adapter_config\.json; save the adapter once more"):
        llm.load_adapter(lm, tmp_path)


def test_a_model_takes_the_place_of_another_whole_or_not_at_all(model, saved, monkeypatch) -> None:
    before = (model / "card.json").read_text()
    recommender = sella.load(saved)
    (model / "stale.safetensors").write_bytes(b"of the model before")
    with monkeypatch.context() as patched:
        patched.setattr(runtime, "write_text", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            recommender.save_pretrained(model)
    assert (model / "card.json").read_text() == before and (model / "stale.safetensors").is_file()
    recommender.save_pretrained(model)
    assert not (model / "stale.safetensors").exists() and sella.load(model).recommend(3, k=2) is not None
    assert sorted(path.name for path in model.parent.iterdir()) == ["model"]


def test_a_folder_of_other_things_is_left_alone(saved, tmp_path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"holds thesis\.tex and no saved model; choose a folder of its own"):
        sella.load(saved).save_pretrained(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sella.load(saved).save_pretrained(tmp_path / "new" / "folder")
        sella.load(tmp_path / "new" / "folder")
