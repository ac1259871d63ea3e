"""Recipes: an ablation differs by what its title names, and a recipe that can't work is refused when it is made."""

import dataclasses

import pytest

from sellarec_lab import config, data, sella, workbench
from sellarec_lab.sella import recipes
from sellarec_lab.sella.recipes import SELLA, Recipe

CHANGES = {  # what each ablation's title names, and nothing else
    "sella-no-alignment": {"aligned": ()},
    "sella-random-projector": {"aligned": ("tables",)},
    "sella-random-map": {"semantic_map": "random"},
    "sella-no-warm": {"slots": ("user", "item")},
    "sella-no-ids": {"slots": ("warm",)},
    "sella-frozen-semantics": {"frozen": ("semantics",), "changes": (("alignment__semantics_move", False),)},
    "sella-frozen-tables": {"frozen": ("tables",)},
    "sella-frozen-lora": {"frozen": ("lora",)},
    "sella-no-bias": {"changes": (("mf__biases", False),)},
    "sella-rince": {"changes": (("alignment__loss", "rince"),)},
    "sella-whole-loss": {
        "changes": (
            ("tuning__branches", 1),
            ("tuning__loss_on", "prompt"),
            ("injection__branches", 1),
            ("injection__loss_on", "prompt"),
        )
    },
    "sella-full-precision": {"changes": (("backbone__quantisation", "none"),)},
}


@pytest.fixture
def untold(toy_cfg, toy):
    """A preset that stops early, and data that it can be trained on."""
    small = config.LoopConfig(batch_size=32, epochs=1, evaluations=1, rows=32)
    return config.changed(toy_cfg, {"tuning__loop": small, "injection__loop": small}), toy


def test_every_ablation_differs_from_sella_by_what_its_title_names():
    ablations = {name: recipe for name, recipe in sella.RECIPES.items() if recipe.group == "ablation"}
    assert ablations.keys() == CHANGES.keys()
    told = {"title", "group", "source"}
    for name, recipe in ablations.items():
        pairs = [(f.name, getattr(recipe, f.name), getattr(SELLA, f.name)) for f in dataclasses.fields(Recipe)]
        assert {n: new for n, new, old in pairs if new != old and n not in told} == CHANGES[name], name


def test_controls_differ_by_what_stands_for_an_item():
    found = {name: recipe for name, recipe in sella.RECIPES.items() if "prompt__titles" in dict(recipe.changes)}
    assert {name for name, recipe in found.items() if recipe.group == "control"} == {
        "zero-shot-numbers", "tallrec-numbers", "zero-shot-shuffled", "tallrec-shuffled",
    }  # fmt: skip
    for name, recipe in found.items():
        plain, _, titles = name.rpartition("-")
        same = dataclasses.replace(recipe, **{f: getattr(sella.recipe(plain), f) for f in ("title", "group", "source")})
        assert dataclasses.replace(same, changes=sella.recipe(plain).changes) == sella.recipe(plain)
        assert dict(recipe.changes)["prompt__titles"] == titles


@pytest.mark.parametrize("titles", ["numbers", "genres"])
def test_what_stands_for_an_item_reaches_prompts_saved_models_and_the_stages_keys(untold, titles, tmp_path):
    cfg, toy = untold
    changed = config.replace(cfg, "prompt__titles", titles)
    model, shown = sella.train(changed, toy), data.shown_titles(toy, titles)
    prompt = model.prompts(toy.test)[0]
    assert shown[toy.test["item_id"].iloc[0]] in prompt.text and toy.titles[1] not in shown
    assert shown[3] in model.writer.describe(3).text
    model.save_pretrained(tmp_path / "saved")
    assert sella.load(tmp_path / "saved").prompts(toy.test)[0].text == prompt.text
    case = workbench.open({"it": model}, toy).case
    assert shown[case.item_id] in case.prompt(model).text
    keys = [[stage.key for stage in sella.Pipeline(c, toy).stages().values()] for c in (cfg, changed)]
    assert not set(keys[0]) & set(keys[1])


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"slots": ("user", "genre")}, "nothing fills a 'genre' token; known kinds: user, item, warm, taste, prompt"),
        ({"slots": ("user", "user")}, "stands in slots twice"),
        ({"slots": ("user",), "aligned": ("head",)}, "a head without the tables"),
        ({"slots": ("user",), "aligned": ("everything",)}, "aligned takes 'tables' and 'head'"),
        ({"slots": ("warm",), "semantic_map": "zero"}, "semantic_map is 'identity' or 'random', got 'zero'"),
        ({"slots": ("user",), "tuned": False, "frozen": ("lora",)}, "semantics that stage 1's model tells"),
        ({"aligned": ("tables",)}, "nothing in the prompt would use what stage 2b aligned"),
        ({"slots": ("prompt",), "tuned": False}, "no adapter to train without stage 1; put 'lora' into frozen"),
        ({"codes": True, "frozen": ("lora",)}, "stage 3 would train nothing"),
        ({"slots": ("user",), "head": "svd"}, "head is 'random' or 'procrustes', got 'svd'"),
        ({"slots": ("warm",), "head": "procrustes"}, "nothing would start so"),
        ({"slots": ("user",), "aligned": ("tables", "head"), "head": "procrustes"}, "nothing would start so"),
        ({"frozen": ("head",)}, "frozen names parts of stage 3: projector, tables, semantics, lora"),
        ({"group": "mine"}, "group is one of paper, control, ablation, beyond, got 'mine'"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused_with_the_reason(fields, reason):
    with pytest.raises(ValueError, match=f"recipe 'x': .*{reason}"):
        Recipe("x", **fields)


def test_a_recipe_changes_the_preset_once_however_often_it_is_applied():
    cfg = config.preset("tiny")
    assert SELLA.applied(cfg) == cfg
    for recipe in sella.RECIPES.values():
        assert recipe.applied(recipe.applied(cfg)) == recipe.applied(cfg)
    assert sella.recipe("soft-prompt").applied(cfg).injection.loop.learning_rate == 0.05


@pytest.mark.parametrize("name", config.PRESETS)
def test_every_recipe_suits_every_preset(name):
    for recipe in sella.RECIPES.values():
        cfg = recipe.applied(config.preset(name))
        assert recipe.applied(cfg) == cfg
    whole = sella.recipe("sella-whole-loss").applied(config.preset(name))
    assert (whole.tuning.loss_on, whole.injection.loss_on) == ("prompt", "prompt")


def test_recipes_of_the_older_format_are_still_read():
    """They had one field for the head and the map of <Warm_ID>."""
    old = {
        "title": "SeLLa-Rec",
        "slots": ["user", "item", "warm"],
        "vectors": "aligned",
        "warm_start": True,
        "rate": 1.0,
    }
    assert recipes.from_json(old) == Recipe(
        "SeLLa-Rec", ("user", "item", "warm"), aligned=("tables", "head"), semantic_map="identity"
    )
    plain = recipes.from_json(old | {"vectors": "mf", "warm_start": False, "slots": ["user", "item"]})
    assert plain.aligned == () and plain.semantic_map == "random"
