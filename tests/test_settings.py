"""No wrong setting is taken without a word: every field of the tree, and the cases that once were."""

from __future__ import annotations

import dataclasses
import math
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from sellarec_lab import config, kg, lcrec, sella
from sellarec_lab.config.checked import SettingError


def leaves(tree: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field below a tree that is no tree itself."""
    for field in dataclasses.fields(tree):
        value = getattr(tree, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{path}{field.name}__")
        else:
            yield f"{path}{field.name}", value


TREE = config.preset("ml-1m-cpu")
LEAVES = dict(leaves(TREE))
WRONG = {
    bool: ("yes", 1, None),
    int: (1.5, "3", True, -1, math.nan, math.inf, (1,)),
    float: ("0.1", True, None, math.nan, math.inf, -0.5, (0.1,)),
    str: (3, None, b"x", ("x",)),
    tuple: (3, "x", None, (3.5,), ((),)),
    type(None): (),  # may be absent: see below
}


@pytest.mark.parametrize("path", LEAVES)
def test_no_field_takes_what_it_cannot_be(path: str) -> None:
    for value in WRONG[type(LEAVES[path])]:
        with pytest.raises(SettingError, match=f"^{path}: (expected|.*unknown)"):
            config.replace(TREE, path, value)


@pytest.mark.parametrize(
    "path, value, says",
    [
        ("tuning__loop__learning_rate", math.inf, "expected a finite number, got inf"),
        ("mf__loop__weight_decay", math.nan, "expected a finite number, got nan"),
        ("tuning__loop__max_grad_norm", -1.0, "expected more than 0, got -1.0"),
        ("tuning__loop__rows", -5, "expected at least 1, got -5"),
        ("tuning__loop__rows", 0, "expected at least 1, got 0"),
        ("tuning__loop__epochs", 1.5, "expected a whole number, got 1.5"),
        ("tuning__loop__micro_batch", 0, "expected at least 1, got 0"),
        ("tuning__loop__patience", math.nan, "expected a whole number, got nan"),
        ("tuning__loop__schedule", "linear", "expected 'cosine' or 'constant', got 'linear'"),
        ("seed", None, "expected a whole number, got None"),
        ("name", "../../elsewhere", "expected a folder's name of letters"),
        ("name", "", "expected a folder's name"),
        ("seed", -1, "expected at least 0, got -1"),
        ("prompt__history", -1, "expected at least 0, got -1"),
        ("lora__r", 0, "expected at least 1, got 0"),
        ("lora__dropout", 2, "expected less than 1, got 2"),
        ("alignment__temperature", 0.0, "expected more than 0, got 0.0"),
        ("mf__dim", 0, "expected at least 1, got 0"),
        ("injection__norm", "x", "expected 'words' or 'raw', got 'x'"),
        ("injection__trainable", (), "nothing would train"),
        ("injection__trainable", ("all",), r"unknown parts \['all'\]"),
        ("tuning", None, "expected a TuningConfig, got None"),
        ("tuning", TREE.injection, "expected a TuningConfig, got InjectionConfig"),
        ("backbone__name", 7, "expected text, got 7"),
        ("kg__student__dim", 30, "dim must be a multiple of heads, got 30 and 4"),
        ("indices__levels", 27, "expected at most 26, got 27"),
    ],
)
def test_what_was_once_taken_is_refused_with_its_path(path: str, value: Any, says: str) -> None:
    with pytest.raises(SettingError, match=f"^{path}: .*{says}"):
        config.changed(config.preset("tiny"), {path: value})


def test_fields_and_templates_that_are_not_there(toy_cfg, toy) -> None:
    with pytest.raises(SettingError, match="learn_rate: LoopConfig has no such field; known: learning_rate"):
        config.LoopConfig(learn_rate=1.0)
    with pytest.raises(ValueError, match="LoopConfig has no field 'learn_rate'; known fields: learning_rate"):
        config.preset("tiny", tuning__loop__learn_rate=1.0)
    with pytest.raises(ValueError, match="prompt__template: unknown template 'mine'; known: tiny"):
        sella.train(config.changed(toy_cfg, {"prompt__template": "mine"}), toy)


@pytest.mark.parametrize("verb", [sella.train, lcrec.train, kg.teach])
def test_presets_by_name_and_swapped_arguments_are_told_apart(verb, toy_cfg, toy) -> None:
    with pytest.raises(TypeError, match=r"got str; write lab\.preset\('tiny'\)"):
        verb("tiny", toy)
    with pytest.raises(TypeError, match="got Interactions; the preset comes first, the data second"):
        verb(toy, toy_cfg)
    with pytest.raises(TypeError, match=r"got str; write lab\.data\.load\('tiny'\)"):
        verb(toy_cfg, "tiny")


def test_settings_stay_plain_values() -> None:
    """Whole numbers are numbers; json's lists are tuples; a tree can be hashed, copied to a process, told apart."""
    assert config.LoopConfig(learning_rate=1).learning_rate == 1
    assert config.LoraConfig(targets=["q_proj"]).targets == ("q_proj",)
    tree = config.preset("tiny", seed=3)
    assert pickle.loads(pickle.dumps(tree)) == tree and hash(tree) == hash(config.preset("tiny", seed=3))
    assert tree != config.preset("tiny")
    with pytest.raises(dataclasses.FrozenInstanceError):
        tree.seed = 4
    error = pickle.loads(pickle.dumps(SettingError("a__b", "is wrong")))
    assert str(error) == "a__b: is wrong" and error.field == "a__b"


def test_a_tree_as_plain_data_does_not_say_where_files_lie() -> None:
    here, there = (config.preset("tiny", artifacts=folder, kg__root=folder) for folder in ("here", "there"))
    told = config.as_dict(here)
    assert told == config.as_dict(there) and "artifacts" not in told and "root" not in told["kg"]
    assert (
        told["tuning"]["loop"]["epochs"] == here.tuning.loop.epochs and told["seed"] == config.as_dict(here.seed) == 0
    )
    assert config.as_dict(here.lora.targets) == told["lora"]["targets"] == here.lora.targets
