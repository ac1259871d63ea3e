"""Ranks by definition and beside PyKEEN's, and graphs that each decoder must learn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from toy_triples import each, grid, kinds, mirrors, pykeen, ring, small, untrained

from sellarec_lab import config, kg
from sellarec_lab.config import LoopConfig, TripleConfig
from sellarec_lab.kg import TripleGraphModel, TripleModel, train_triples, triple_stage


@pytest.fixture(scope="module")
def knotted() -> kg.Graph:
    """50 entities, 3 relations, 300 random triples."""
    rng = np.random.default_rng(0)
    rows = np.unique(np.stack([rng.integers(n, size=400) for n in (50, 3, 50)], axis=1), axis=0)
    rows = rng.permutation(rows)[:300]
    names = tuple(map(str, range(50)))
    return kg.Graph("knotted", names, ("a", "b", "c"), rows[:200], rows[200:250], rows[250:])


class Rounded(TripleGraphModel):
    """Scores cut to few values, so that many tie."""

    def score_entities(self, heads: torch.Tensor, relations: torch.Tensor) -> torch.Tensor:
        return (8 * super().score_entities(heads, relations)).round()


def exhaustive(known: TripleGraphModel) -> pd.DataFrame:
    """Each test triple from both sides, every entity of every question looked at."""
    graph, rows = known.graph, []
    true = {tuple(map(int, triple)) for triple in graph.triples}
    for side in ("tail", "head"):
        for h, r, t in graph.test.tolist():
            asked = (h, r) if side == "tail" else (t, r + graph.n_relations)
            right = t if side == "tail" else h
            scores = known.score_entities(*(torch.tensor([x]) for x in asked))[0].tolist()
            better = equal = many = 0
            for other in range(graph.n_entities):
                if other != right and ((h, r, other) if side == "tail" else (other, r, t)) in true:
                    continue
                many += 1
                better += scores[other] > scores[right]
                equal += other != right and scores[other] == scores[right]
            best, worst = 1 + better, 1 + better + equal
            rows.append((right, (best + worst) / 2, many, best, worst, side))
    return pd.DataFrame(rows, columns=["target", "rank", "candidates", "best", "worst", "side"])


@each
def test_ranks_are_those_of_an_exhaustive_search(knotted: kg.Graph, name: str, norm: int) -> None:
    known = Rounded(untrained(small(name, norm)), knotted)
    ranks, expected = known.rank(kg.queries(knotted)), exhaustive(known)
    assert (expected["worst"] > expected["best"]).mean() > 0.2
    assert len(ranks) == 100 and ranks[list(expected)].to_numpy().tolist() == expected.to_numpy().tolist()


def copied(model: TripleModel, graph: kg.Graph) -> nn.Module:
    """PyKEEN's model with our weights; there the inverse of relation r is 2 r + 1, and r itself 2 r."""
    models, triples = pykeen("models"), pykeen("triples")
    facts = triples.CoreTriplesFactory(graph.train, graph.n_entities, graph.n_relations, create_inverse_triples=True)
    theirs = models.ERModel(
        triples_factory=facts, interaction=model.settings.decoder, random_seed=0,
        interaction_kwargs={"p": 2} if model.settings.decoder == "transe" else None,
        entity_representations_kwargs={"shape": model.settings.dim},
        relation_representations_kwargs={"shape": model.settings.dim},
    )  # fmt: skip
    told = model.relations.weight.unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1)
    for table, values in (
        (theirs.entity_representations, model.entities.weight),
        (theirs.relation_representations, told),
    ):
        table[0]._embeddings.weight.data.copy_(values)
    return theirs.eval()


@pytest.mark.parametrize(("name", "ties"), [("distmult", True), ("distmult", False), ("transe", True)])
def test_filtered_ranks_equal_pykeens(knotted: kg.Graph, name: str, ties: bool) -> None:
    model = untrained(small(name))
    if ties:  # whole numbers: sums are exact in any order
        for table in (model.entities, model.relations):
            nn.init.normal_(table.weight).data.sign_()
    known, evaluator = TripleGraphModel(model, knotted), pykeen("evaluation").RankBasedEvaluator(filtered=True)
    asked, *others = (torch.from_numpy(knotted.split(part)) for part in ("test", "train", "valid"))
    found = evaluator.evaluate(
        copied(model, knotted), asked, batch_size=16, additional_filter_triples=others, use_tqdm=False
    )
    ranks = known.rank(kg.queries(knotted))
    assert (ranks["worst"] > ranks["best"]).any() == ties
    for side, table in (("both", ranks), *ranks.groupby("side")):
        for kind, column in (("optimistic", "best"), ("pessimistic", "worst"), ("realistic", "rank")):
            assert table[column].mean() == pytest.approx(
                found.get_metric(f"{side}.{kind}.arithmetic_mean_rank"), rel=1e-6
            )


LEARN = {
    "transe": {"negatives": 16, "margin": 1.0},
    "distmult": {},
    "rotate": {"negatives": 16, "margin": 3.0, "norm": 1, "own_negatives": True},
    "conve": {},
}


def learning(name: str, epochs: int = 12, **changes: object) -> TripleConfig:
    loop = LoopConfig(
        learning_rate=2e-2, batch_size=8, epochs=epochs, weight_decay=0.0, evaluations=1, patience=99,
        checkpoint_seconds=0.0,
    )  # fmt: skip
    return TripleConfig(decoder=name, **{"dim": 32, "dropout": 0.0, "loop": loop} | LEARN[name] | changes)


@pytest.mark.parametrize(
    ("name", "graph"), [(name, kinds) for name in LEARN] + [("transe", grid), ("distmult", mirrors), ("rotate", ring)]
)
def test_each_decoder_learns_kinds_and_the_pattern_that_it_is_made_for(name: str, graph: Callable) -> None:
    known, history = train_triples(learning(name), graph())
    assert kg.quality(known.rank(kg.queries(known.graph)))["mrr"] > 0.9, history.best
    assert known.entity_vectors().shape == (known.graph.n_entities, 32) and not known.model.training


@pytest.mark.parametrize("name", ["distmult", "transe"])
def test_two_runs_are_the_same_and_so_is_one_that_was_killed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, graph, checkpoint = learning(name, 4, dropout=0.3), kinds(), tmp_path / "checkpoint.safetensors"
    whole, again = (train_triples(settings, graph, seed=1)[0].model.state_dict() for _ in range(2))
    ranked, calls = TripleGraphModel.rank, []

    def dying(self: TripleGraphModel, asked: pd.DataFrame) -> pd.DataFrame:
        calls.append(asked)
        if len(calls) == 3:
            raise Killed
        return ranked(self, asked)

    monkeypatch.setattr(TripleGraphModel, "rank", dying)
    with pytest.raises(Killed):
        train_triples(settings, graph, seed=1, checkpoint=checkpoint)
    assert checkpoint.is_file()
    resumed = train_triples(settings, graph, seed=1, checkpoint=checkpoint)[0].model.state_dict()
    assert len(calls) == 5 and all(asked.equals(calls[0]) for asked in calls)
    for name, value in whole.items():
        assert torch.equal(again[name], value) and torch.equal(resumed[name], value), name


class Killed(Exception):
    """Stands for the end of a process."""


def test_without_valid_triples_the_last_state_is_kept() -> None:
    graph = kinds()
    graph = kg.Graph("all", graph.entities, graph.relations, graph.triples, graph.valid[:0], graph.test[:0])
    _, history = train_triples(learning("distmult", 2), graph)
    assert history.best_step == 0 and "mrr" not in history.frame()


def test_a_nan_is_refused(knotted: kg.Graph) -> None:
    known = TripleGraphModel(untrained(small("distmult")), knotted)
    known.model.entities.weight.data[knotted.test[0, 2], 0] = torch.nan
    with pytest.raises(FloatingPointError, match=r"a score of query \(\d+, \d+\) \(head, relation\) is NaN"):
        known.rank(kg.queries(knotted).iloc[[1]])  # its own entities are sound
    loop = LoopConfig(learning_rate=1e30, batch_size=8, epochs=2, warmup=0.0)
    with pytest.raises(FloatingPointError, match="distmult: the loss is"):
        train_triples(small("distmult", loop=loop), knotted)


def test_a_model_of_another_graph_is_refused(knotted: kg.Graph) -> None:
    with pytest.raises(ValueError, match=r"a model of \(50, 2\) entities and relations is not one of Graph\('knotted'"):
        TripleGraphModel(untrained(small("transe"), n_relations=2), knotted)


def test_a_stage_keeps_the_model(tmp_path: Path) -> None:
    graph, settings = kinds(), learning("conve", 2)
    cfg = config.preset("tiny", artifacts=str(tmp_path))
    stage = triple_stage(cfg, graph, settings)
    known, again = stage.value(), triple_stage(cfg, graph, settings).value()
    asked = kg.queries(graph)
    assert stage.manifest["parameters"] == sum(p.numel() for p in known.model.parameters())
    assert known.rank(asked).equals(again.rank(asked)) and stage.folder.parent.name == "kg-conve"
    other = config.replace(settings, "smoothing", 0.1)
    assert triple_stage(cfg, graph, other).key != stage.key != triple_stage(cfg, grid(), settings).key
