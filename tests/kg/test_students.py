"""Teacher and student from end to end on graphs whose rule is known."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from cinemas_by_rule import cinema, cinemas, preset

from sellarec_lab import kg, training
from sellarec_lab.config import ENCODERS, DistillationConfig

NOTHING = DistillationConfig(0.0, 0.0, 0.0)


def mrr(model: kg.GraphModel) -> float:
    """Of the genres that were held out; guessing among four gives 0.52."""
    return kg.quality(model.rank(kg.queries(model.graph)))["tail mrr"]


@pytest.mark.parametrize("name", ENCODERS)
def test_every_encoder_learns_the_rule(name: str, tmp_path) -> None:
    cfg = preset(tmp_path, kg__teacher__encoder=name, kg__background=("there",))
    assert mrr(kg.teach(cfg, cinemas()).taught("there")) > 0.8


def test_what_the_background_knows_reaches_the_student(tmp_path) -> None:
    cfg = preset(tmp_path)
    alone = preset(tmp_path, kg__subgraph=False, kg__distillation=NOTHING, kg__start="random")
    teacher = kg.teach(cfg, cinemas())
    taught, untaught = kg.retrain(cfg, teacher, "here"), kg.Pipeline(alone, cinemas()).model()
    assert mrr(taught) > mrr(untaught) + 0.2
    unlinked = preset(tmp_path, kg__subgraph=False)  # the levels alone, on the target's own triples
    assert mrr(kg.retrain(unlinked, teacher, "here")) > mrr(untaught)


def test_one_teacher_serves_several_targets(tmp_path) -> None:
    cfg = preset(tmp_path, kg__background=("there",))
    teacher = kg.teach(cfg, cinemas())
    for target in ("here", "elsewhere"):
        model = kg.retrain(cfg, teacher, target)
        assert model.graph.name == target and model.entity_vectors().shape == (len(model.graph.entities), 16)
    assert len(list(tmp_path.rglob("kg-teacher/*/manifest.json"))) == 1


def test_two_runs_and_a_resumed_one_are_identical(tmp_path, monkeypatch) -> None:
    graphs = cinemas()
    first = kg.Pipeline(preset(tmp_path / "a"), graphs).student.value()
    again = kg.Pipeline(preset(tmp_path / "b"), graphs).student.value()
    cut = preset(tmp_path / "c", kg__student__loop__checkpoint_seconds=0.0, kg__teacher__loop__checkpoint_seconds=0.0)
    for killed_at in (20, 50):
        with monkeypatch.context() as patched:
            steps, update = iter(range(10**9)), training.loop._Loop._update

            def dying(self, *args, steps=steps, update=update, killed_at=killed_at):
                if next(steps) == killed_at:
                    raise KeyboardInterrupt
                return update(self, *args)

            patched.setattr(training.loop._Loop, "_update", dying)
            with pytest.raises(KeyboardInterrupt):
                kg.Pipeline(cut, graphs).student.value()
    resumed = kg.Pipeline(cut, graphs).student.value()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
        assert torch.equal(tensor, resumed.state_dict()[name]), name


def test_another_seed_is_another_model(tmp_path) -> None:
    first, other = (kg.Pipeline(preset(tmp_path, seed=seed), cinemas()).teacher.value() for seed in (0, 1))
    assert not torch.equal(first.entities.weight, other.entities.weight)


def test_a_saved_student_ranks_as_before(tmp_path) -> None:
    model = kg.Pipeline(preset(tmp_path), cinemas()).model()
    model.save_pretrained(tmp_path / "saved")
    again = kg.load_model(tmp_path / "saved", cinemas()["here"])
    asked = kg.queries(model.graph)
    assert model.rank(asked).equals(again.rank(asked))
    with pytest.raises(ValueError, match="another graph than 'other'"):
        kg.load_model(tmp_path / "saved", cinema("other", 7, 0.5, 0.5))
    with pytest.raises(FileNotFoundError, match=r"no kg_config\.json"):
        kg.load_model(tmp_path, cinemas()["here"])
    told = tmp_path / "saved" / "kg_config.json"
    (tmp_path / "saved" / "card.json").unlink()  # as an older version left it
    for broken in (told.read_text()[:40], "[]", "\udcff"):
        told.write_bytes(broken.encode(errors="surrogateescape"))
        with pytest.warns(UserWarning), pytest.raises(ValueError, match=r"kg_config\.json: expected .*make it again"):
            kg.load_model(tmp_path / "saved", cinemas()["here"])


def test_items_get_the_vectors_of_their_entities() -> None:
    graph = kg.from_triples("films", [("f1", "by", "d"), ("f2", "by", "d")], items={"10": "f1", "20": "f2"})
    net = kg.PathModel(3, 1, dataclasses.replace(preset("x").kg.student))
    model = kg.GraphModel(net, graph, torch.tensor([2, 1, 0]).numpy(), torch.tensor([0]).numpy())
    vectors = model.item_vectors(["20", "99", "10"])
    f1, f2 = graph.entities.index("f1"), graph.entities.index("f2")
    assert torch.equal(vectors[1], net.entities.weight[2 - f2]) and torch.equal(vectors[3], net.entities.weight[2 - f1])
    assert not vectors[0].any() and not vectors[2].any()


def test_manifests_tell_sizes(tmp_path) -> None:
    pipeline = kg.Pipeline(preset(tmp_path), cinemas())
    pipeline.model()
    told = json.loads(pipeline.student.path("manifest.json").read_text())
    assert told["parameters"] < pipeline.teacher.manifest["parameters"] and told["entities"] == len(
        pipeline.subgraph.rows
    )


def test_an_unknown_graph_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="choose one of here, there, elsewhere"):
        cinemas().about("nowhere")
    with pytest.raises(ValueError, match="choose one of here, there, elsewhere"):
        kg.Pipeline(preset(tmp_path, kg__background=("nowhere",)), cinemas())
