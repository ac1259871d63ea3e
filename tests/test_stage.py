"""A stage is made once, from what it rests on, by one process; changed settings, data or code make it anew."""

import ast
import dataclasses
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sellarec_lab import config, prompts, runtime, sella
from sellarec_lab.runtime import Stage, code

ROOT = Path(__file__).parents[1]


def counting(tmp_path, name, *upstream, **inputs):
    """A stage that notes in a file how often it was made."""

    def make(stage):
        with stage.path("made").open("a") as file:
            file.write("x")
        return {"answer": 42}

    return Stage(name, inputs, make, lambda s: s.path("made").read_text(), upstream, place=(str(tmp_path), "p"))


def test_a_stage_is_made_once_and_its_manifest_tells_how(tmp_path):
    low = counting(tmp_path, "low", rate=1)
    high = counting(tmp_path, "high", low)
    assert not low.finished and high.value() == "x" and low.finished
    assert high.value() == low.value() == "x"
    note = high.manifest
    assert note["answer"] == 42 and note["upstream"] == [["low", low.key]] and note["libraries"]["torch"]
    assert {"preset", "commit", "seconds", "peak_gb", "inputs"} <= note.keys()


def test_keys_follow_from_name_inputs_and_what_is_below(tmp_path):
    low = counting(tmp_path, "low", rate=1)
    keys = {
        counting(tmp_path, "high", low).key,
        counting(tmp_path, "other", low).key,
        counting(tmp_path, "high", low, rate=2).key,
        counting(tmp_path, "high", counting(tmp_path, "low", rate=2)).key,
        counting(tmp_path, "high").key,
    }
    assert len(keys) == 5 and counting(tmp_path, "high", low).key in keys


def test_what_a_stage_rests_on_comes_in_the_order_of_making_each_once(tmp_path):
    a = counting(tmp_path, "a")
    b, c = counting(tmp_path, "b", a), counting(tmp_path, "c", a)
    d = counting(tmp_path, "d", b, c)
    assert [stage.name for stage in d.line] == ["a", "b", "c", "d"]
    assert [stage.name for stage in runtime.together([b, d])] == ["a", "b", "c", "d"]
    d.made()
    assert runtime.costs([b, d])["seconds"] == pytest.approx(sum(s.manifest["seconds"] for s in d.line))


def test_what_made_the_stages_is_told_each_different_thing_once(tmp_path, monkeypatch):
    a, module = counting(tmp_path, "a"), sys.modules["sellarec_lab.runtime.stage"]
    monkeypatch.setattr(module, "hardware", lambda: "a card")
    monkeypatch.setattr(module, "commit", lambda: "1a2b")
    a.made()
    monkeypatch.setattr(module, "hardware", lambda: "cpu")
    above, waiting = counting(tmp_path, "b", a), counting(tmp_path, "c", a)
    above.made()
    told = runtime.births([above, waiting])
    assert (told["device"], told["commit"]) == ("a card, cpu", "1a2b") and told["torch"] == torch.__version__
    note = json.loads(a.path("manifest.json").read_text())
    del note["device"], note["libraries"]["torch"]
    a.path("manifest.json").write_text(json.dumps(note))
    assert runtime.births([a])["device"] == runtime.births([a])["torch"] == "", "an older manifest tells less"


def test_a_stage_that_failed_is_made_again(tmp_path):
    tries = []

    def make(stage):
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("no luck")

    stage = Stage("x", {}, make, lambda s: "fine", place=(str(tmp_path), "p"))
    with pytest.raises(RuntimeError, match="no luck"):
        stage.value()
    assert not stage.finished and stage.value() == "fine" and len(tries) == 2


def _slow(stage):
    with stage.path("made").open("a") as file:
        file.write("x")
    time.sleep(0.5)


def _make_slowly(folder):
    Stage("slow", {}, _slow, lambda s: None, place=(folder, "p")).made()


def test_two_processes_never_make_the_same_stage(tmp_path):
    workers = [multiprocessing.get_context("fork").Process(target=_make_slowly, args=(str(tmp_path),)) for _ in "ab"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ((made,),) = [list(folder.glob("made")) for folder in (tmp_path / "p" / "slow").iterdir()]
    assert made.read_text() == "x"


# ---- the code is part of the key

_KEYS = """
import json, pathlib, re, sys, types
from sellarec_lab import config, sella
from sellarec_lab.runtime import code

def keys():
    for known in (code.code_digest, code._read, code._file):
        known.cache_clear()  # a new process would read the files anew
    data = types.SimpleNamespace(fingerprint="f", titles=[""], n_users=1, n_items=1)
    return {name: stage.key for name, stage in sella.Pipeline(config.preset("tiny"), data).stages().items()}

found = [keys()]
for edits in json.loads(sys.argv[1]):
    for file, pattern, new in edits:
        path = pathlib.Path("sellarec_lab", file)
        changed, often = re.subn(pattern, new, path.read_text(), count=1)
        assert often == 1, (file, pattern)
        path.write_text(changed)
    found.append(keys())
print("KEYS" + json.dumps(found))
"""
_COMMENT = ("alignment.py", r"    return F\.cross_entropy\(", "    # a comment\n    return F.cross_entropy(")
_DOCSTRING = ("alignment.py", r'"""InfoNCE with cosine', '"""InfoNCE, with cosine')
_ALIGNMENT = ("alignment.py", r"/ temperature\n", "/ (2 * temperature)\n")
_SCORE = ("llm/score.py", r"both\[:, 0\] - both\[:, 1\]", "both[:, 1] - both[:, 0]")


def keys_after(folder: Path, *edits: list[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Keys of SeLLa-Rec's stages by the code in a folder, as it lies there and after each group of edits."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", _KEYS, json.dumps(edits)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    line = next((row for row in done.stdout.splitlines() if row.startswith("KEYS")), None)
    assert line, done.stderr
    return json.loads(line.removeprefix("KEYS"))


def test_changed_code_makes_its_stage_anew_and_a_changed_comment_does_not(tmp_path):
    shutil.copytree(ROOT / "sellarec_lab", tmp_path / "sellarec_lab", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data" / "tiny", tmp_path / "data" / "tiny")
    before, told, after, last = keys_after(tmp_path, [_COMMENT, _DOCSTRING], [_ALIGNMENT], [_SCORE])
    assert list(before) == ["tuning", "semantics", "alignment", "injection", "recommender"]
    assert told == before
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"alignment", "injection", "recommender"}  # what was made before the alignment stays
    assert all(last[name] != after[name] for name in before)


def test_every_python_finds_the_same_key(monkeypatch):
    """A newer one knows fields of a syntax tree that older code leaves empty, and has other instructions."""
    tree = ast.parse("def f(x: int) -> int:\n    return [x, 1.5, 'a', None]")
    before = code._told(tree)
    for node in ast.walk(tree):
        node._fields = (*node._fields, "later", "none")
        node.later, node.none = [], None
    assert code._told(tree) == before and "1.5" in before and "'a'" in before and "Constant()" in before
    monkeypatch.setattr(code, "_instructions", None)
    slots = {name: runtime.function_digest(kind.slots) for name, kind in prompts.KINDS.items()}
    assert len(set(slots.values())) == len(slots)


def test_a_function_of_ones_own_is_part_of_the_key(tmp_path):
    def stage(make):
        return Stage("own", {}, make, lambda s: None, place=(str(tmp_path), "p"))

    def one(stage):
        """Says one."""
        return {"said": 1}

    def same(stage):
        return {"said": 1}  # one, in other words

    def two(stage):
        return {"said": 2}

    same.__name__ = "one"
    assert stage(one).key != stage(two).key
    assert runtime.function_digest(one) == runtime.function_digest(one)


def test_keys_are_the_same_in_another_process():
    """A function without source of its own, with another inside it, once had its place in memory in the key."""
    script = (
        "from sellarec_lab import prompts, runtime; "
        "print([runtime.function_digest(kind.slots) for kind in prompts.KINDS.values()])"
    )
    here = [runtime.function_digest(kind.slots) for kind in prompts.KINDS.values()]
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == str(here)


def test_an_untuned_recipe_rests_on_the_pre_training_of_its_backbone(toy):
    cfg = config.preset("ml-1m-cpu")
    line = [stage.name for stage in sella.Pipeline(cfg, toy, sella.recipe("zero-shot")).recommender.line]
    assert line == ["backbone", "recommender"]


def test_one_place_claims_makes_and_finishes():
    """What would have to be kept in step must not exist twice."""
    text = {str(file): file.read_text() for file in (ROOT / "sellarec_lab").rglob("*.py")}
    for sign in ("FileLock(", '"manifest.json")', "PeakMemory()"):
        assert sorted(Path(f).name for f, t in text.items() if sign in t) == ["stage.py"], sign
    assert [Path(f).name for f, t in text.items() if "Prompt(segments" in t] == ["writer.py"]
    pipeline = ROOT / "sellarec_lab" / "sella" / "pipeline.py"
    assert len(pipeline.read_text().splitlines()) <= 150


def test_the_pipeline_tells_what_each_recipe_rests_on(toy_cfg, toy):
    rests = {name: list(sella.Pipeline(toy_cfg, toy, r).stages()) for name, r in sella.RECIPES.items()}
    assert rests["zero-shot"] == ["recommender"]
    assert rests["tallrec"] == ["tuning", "recommender"]
    assert rests["collm"] == ["tuning", "semantics", "mf", "injection", "recommender"]
    assert rests["sella"] == ["tuning", "semantics", "alignment", "injection", "recommender"]
    assert rests["binllm"] == ["tuning", "codes", "injection", "recommender"]
    assert rests["soft-prompt"] == ["injection", "recommender"]


def test_a_changed_template_or_token_of_ones_own_makes_new_stages(toy_cfg, toy, monkeypatch):
    def keys():
        return {name: stage.key for name, stage in sella.Pipeline(toy_cfg, toy).stages().items()}

    before, template = keys(), prompts.TEMPLATES["tiny"]
    monkeypatch.setitem(prompts.TEMPLATES, "tiny", dataclasses.replace(template, joiner="; "))
    assert not set(keys().values()) & set(before.values())
    monkeypatch.setitem(prompts.TEMPLATES, "tiny", template)
    other = prompts.KINDS["item"]._replace(slots=lambda row: (prompts.Slot("item", row.user_id),))
    monkeypatch.setitem(prompts.KINDS, "item", other)
    changed = {name for name, key in keys().items() if key != before[name]}
    assert changed == {"injection", "recommender"}


def test_changed_weights_of_a_backbone_make_new_stages(toy_cfg, toy, lm_folder, tmp_path):
    folder = tmp_path / "lm"
    shutil.copytree(lm_folder, folder)
    cfg = dataclasses.replace(toy_cfg, backbone=dataclasses.replace(toy_cfg.backbone, name=str(folder)))
    before = sella.Pipeline(cfg, toy).tuning.key
    tensors, _ = runtime.load_tensors(folder / "model.safetensors")
    first = next(iter(tensors))
    runtime.save_tensors(folder / "model.safetensors", tensors | {first: tensors[first] + 1})
    assert sella.Pipeline(cfg, toy).tuning.key != before
    assert json.loads((folder / "config.json").read_text())["model_type"] == "qwen2"


def _hold(stage, entered):
    with stage._locked():
        entered.set()
        time.sleep(1.5)


def test_who_waits_says_for_whom(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.modules["sellarec_lab.runtime.stage"], "_PATIENCE", 0.1)
    stage, context = counting(tmp_path, "held"), multiprocessing.get_context("fork")
    stage.folder.mkdir(parents=True)
    entered = context.Event()
    other = context.Process(target=_hold, args=(stage, entered))
    other.start()
    assert entered.wait(20)
    assert stage.value() == "x"
    other.join()
    assert re.search(rf"is being made by process {other.pid} on .*; waiting for it", capsys.readouterr().err)
    assert not stage.path(".holder").exists()


def of_files(tmp_path, content=b"right"):
    """A stage with two files, one in a folder."""
    made = []

    def make(stage):
        made.append(1)
        (stage.folder / "inner").mkdir(exist_ok=True)
        stage.path("a.txt").write_bytes(content)
        runtime.save_tensors(stage.path("inner/b.safetensors"), {"x": torch.ones(3)})

    return Stage("files", {}, make, lambda s: s.path("a.txt").read_bytes(), place=(str(tmp_path), "p")), made


@pytest.mark.parametrize(
    "spoil, says",
    [
        (lambda s: s.path("a.txt").write_bytes(b"wrong"), r"a\.txt was changed"),
        (lambda s: s.path("a.txt").write_bytes(b""), r"a\.txt was changed"),
        (lambda s: s.path("inner/b.safetensors").unlink(), r"inner/b\.safetensors is missing"),
        (
            lambda s: runtime.save_tensors(s.path("inner/b.safetensors"), {"x": torch.full((3,), torch.nan)}),
            "was changed",
        ),
        (lambda s: s.path("manifest.json").write_text("{"), r"manifest\.json: expected a whole json file"),
        (lambda s: s.path("manifest.json").write_text("[]"), r"manifest\.json: expected an object"),
        (lambda s: s.path("manifest.json").write_text('{"key": "other"}'), r"of another stage \(other\)"),
    ],
)
def test_a_result_that_was_changed_is_said_and_made_anew(tmp_path, capsys, spoil, says):
    stage, made = of_files(tmp_path)
    assert stage.value() == b"right" and stage.finished and len(made) == 1
    spoil(stage)
    assert stage.value() == b"right" and len(made) == 2 and stage.finished
    assert re.search(f"{says}.*; it is made anew", capsys.readouterr().err)


def test_results_are_as_readable_as_the_umask_says(tmp_path):
    old = os.umask(0o027)
    try:
        stage, _ = of_files(tmp_path)
        stage.made()
    finally:
        os.umask(old)
    assert {oct(path.stat().st_mode & 0o777) for path in stage.folder.rglob("*.*") if path.is_file()} >= {"0o640"}
    assert oct(stage.path("inner/b.safetensors").stat().st_mode & 0o777) == "0o640"


def test_results_of_older_versions_are_read_as_they_are(tmp_path):
    stage, made = of_files(tmp_path)
    stage.made()
    told = json.loads(stage.path("manifest.json").read_text())
    del told["sha256"]
    stage.path("manifest.json").write_text(json.dumps(told))
    assert stage.finished and len(made) == 1
