"""Decoders by definition and beside PyKEEN's, ranks by definition, losses by hand, and graphs that each must learn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab import config, kg
from sellarec_lab.config import LoopConfig, TripleConfig
from sellarec_lab.kg import decoders
from sellarec_lab.kg.triple_learning import train_triples, triple_stage
from sellarec_lab.kg.triples import Drawn, SelfAdversarial, Softmax, Told, TripleGraphModel, TripleModel

WAYS = [("transe", 1), ("transe", 2), ("distmult", 2), ("rotate", 1), ("rotate", 2), ("conve", 2)]
each = pytest.mark.parametrize(("name", "norm"), WAYS)


def small(name: str, norm: int = 2, **changes: object) -> TripleConfig:
    return TripleConfig(decoder=name, norm=norm, **{"dim": 12, "dropout": 0.0} | changes)


def untrained(settings: TripleConfig, n_entities: int = 50, n_relations: int = 3) -> TripleModel:
    torch.manual_seed(0)
    model = TripleModel(n_entities, n_relations, settings).eval()
    if model.weight is not None:
        nn.init.normal_(model.weight)
    return model


@pytest.fixture(scope="module")
def knotted() -> kg.Graph:
    """50 entities, 3 relations, 300 random triples."""
    rng = np.random.default_rng(0)
    rows = np.unique(np.stack([rng.integers(n, size=400) for n in (50, 3, 50)], axis=1), axis=0)
    rows = rng.permutation(rows)[:300]
    names = tuple(map(str, range(50)))
    return kg.Graph("knotted", names, ("a", "b", "c"), rows[:200], rows[200:250], rows[250:])


def kinds() -> kg.Graph:
    """40 entities of 5 kinds; each relation leads a kind to a hub of its own, so two facts tell all the others."""
    return planted([(i, r, 40 + 5 * r + i % 5) for i in range(40) for r in range(6)])


def ring() -> kg.Graph:
    """30 entities on a ring, and relations that go some places on."""
    return planted([(i, r, (i + step) % 30) for i in range(30) for r, step in enumerate((1, 2, 3, 5))])


def grid() -> kg.Graph:
    """7 x 7 places, and relations that go right, down, and both."""
    steps = ((0, 1), (1, 0), (1, 1), (2, 0), (0, 2))
    places = [(x, y, r, x + dx, y + dy) for x in range(7) for y in range(7) for r, (dx, dy) in enumerate(steps)]
    return planted([(7 * x + y, r, 7 * u + v) for x, y, r, u, v in places if max(u, v) < 7])


def mirrors() -> kg.Graph:
    """32 entities, and relations that flip some of an entity's five bits: each is its own inverse."""
    return planted([(i, r, i ^ mask) for i in range(32) for r, mask in enumerate((1, 2, 4, 8, 16, 7, 25))])


def planted(rows: list[tuple[int, int, int]]) -> kg.Graph:
    """A graph of the triples; a tenth is held out for valid, another for test."""
    table = np.random.default_rng(0).permutation(np.array(rows))
    entities, relations = (tuple(map(str, range(1 + table[:, place].max()))) for place in ([0, 2], 1))
    cut = len(table) // 10
    return kg.Graph("planted", entities, relations, table[2 * cut :], table[:cut], table[cut : 2 * cut])


def by_definition(name: str, norm: int, h: np.ndarray, r: np.ndarray, t: np.ndarray) -> float:
    """One score of three vectors."""
    if name == "distmult":
        return sum(a * b * c for a, b, c in zip(h, r, t))
    if name == "rotate":
        (a, b), (c, d) = np.split(h, 2), np.split(t, 2)
        apart = np.abs((a + 1j * b) * np.exp(1j * r) - (c + 1j * d))
    else:
        apart = np.abs(h + r - t)
    return -apart.sum() if norm == 1 else -np.sqrt((apart**2).sum())


def convolved(model: TripleModel, h: torch.Tensor, r: torch.Tensor, t: int) -> float:
    """ConvE's score, its filters moved over the image by hand."""
    own = model.decoder
    image = torch.cat([h.reshape(own.height, -1), r.reshape(own.height, -1)])
    image = (image - image.mean()) / (image.var(correction=0) + 1e-5).sqrt()
    filters = zip(own.convolution.weight[:, 0], own.convolution.bias)
    places = [(i, j) for i in range(image.shape[0] - 2) for j in range(image.shape[1] - 2)]
    maps = torch.stack(
        [torch.stack([(image[i : i + 3, j : j + 3] * w).sum() + b for i, j in places]) for w, b in filters]
    )
    maps = (maps - maps.mean(1, keepdim=True)) / (maps.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    x = own.project.weight @ maps.relu().flatten() + own.project.bias
    x = ((x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()).relu()
    return float(x @ model.entities.weight[t] + model.weight[t])


@each
@torch.no_grad()
def test_scores_are_those_of_the_definition(name: str, norm: int) -> None:
    model, heads, relations = untrained(small(name, norm)), torch.arange(7), torch.arange(7) % 6
    scores = model.score(heads, relations)
    assert scores.shape == (7, 50) and scores.dtype == torch.float32
    for row in range(7):
        h, r = model.entities.weight[heads[row]], model.relations.weight[relations[row]]
        for t in (0, 3, 49):
            if name == "conve":
                expected = convolved(model, h, r, t)
            else:
                parts = (x.double().numpy() for x in (h, r, model.entities.weight[t]))
                expected = by_definition(name, norm, *parts)
            assert scores[row, t].item() == pytest.approx(expected, abs=2e-4)


@each
@torch.no_grad()
def test_entities_are_named_for_all_rows_or_for_each(name: str, norm: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, heads, relations = untrained(small(name, norm)), torch.arange(40), torch.arange(40) % 6
    scores, chosen = model.score(heads, relations), torch.tensor([4, 4, 17])
    own = torch.randint(50, (40, 30), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(model.score(heads, relations, chosen), scores[:, chosen], atol=1e-4)
    assert torch.allclose(model.score(heads, relations, own), scores.gather(1, own), atol=1e-4)
    monkeypatch.setattr(decoders, "_AT_ONCE", 900)  # RotatE: few rows at a time
    assert torch.allclose(model.score(heads, relations), scores, atol=1e-4)
    assert torch.allclose(model.score(heads, relations, own), scores.gather(1, own), atol=1e-4)


@each
@torch.no_grad()
def test_half_precision_weights_give_scores_in_float32(name: str, norm: int) -> None:
    model, rows = untrained(small(name, norm)), (torch.arange(5), torch.arange(5))
    exact, scores = model.score(*rows), model.bfloat16().score(*rows)
    assert scores.dtype == torch.float32 and torch.allclose(scores, exact, atol=0.1, rtol=0.1)


def pykeen(module: str) -> ModuleType:
    """A module of PyKEEN's. On import it makes folders at home, and lists all optimisers by name, which fails where
    bitsandbytes has brought a second Adam."""
    resolver = pytest.importorskip("class_resolver").ClassResolver
    register = resolver.register
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setenv("PYSTOW_HOME", folder)
        patch.setattr(resolver, "register", lambda *args, **kw: register(*args, **kw | {"raise_on_conflict": False}))
        return pytest.importorskip(f"pykeen.{module}")


def interaction(name: str, norm: int, model: TripleModel) -> nn.Module:
    """PyKEEN's decoder; ConvE's with our weights, and without normalisation on either side."""
    modules = pykeen("nn.modules")
    if name == "transe":
        return modules.TransEInteraction(p=norm)
    if name != "conve":
        return {"distmult": modules.DistMultInteraction, "rotate": modules.RotatEInteraction}[name]()
    own = model.decoder
    own.before = own.between = own.after = nn.Identity()
    sizes = {"embedding_height": own.height, "embedding_width": own.dim // own.height, "embedding_dim": own.dim}
    theirs = modules.ConvEInteraction(kernel_width=3, kernel_height=3, apply_batch_normalization=False, **sizes)
    for ours, there in ((own.convolution, theirs.hr2d[1]), (own.project, theirs.hr1d[0])):
        there.load_state_dict(ours.state_dict())
    return theirs.eval()


@pytest.mark.parametrize(("name", "norm"), [way for way in WAYS if way != ("rotate", 1)])  # PyKEEN has norm 2 alone
@torch.no_grad()
def test_scores_equal_pykeens(name: str, norm: int) -> None:
    model, heads, relations = untrained(small(name, norm)), torch.arange(9), torch.arange(9) % 6
    theirs = interaction(name, norm, model)
    h, r, t = model.entities.weight[heads][:, None], model.relations.weight[relations][:, None], model.entities.weight
    if name == "rotate":
        h, t = (torch.complex(*x.chunk(2, -1)) for x in (h, t))
        r = torch.polar(torch.ones_like(r), r)
    t = t[None].expand(9, -1, -1)
    expected = theirs(h, r, (t, model.weight[None]) if name == "conve" else t)
    assert torch.allclose(model.score(heads, relations), expected, atol=1e-4)


def test_the_softmax_of_a_question_is_the_mean_over_its_answers() -> None:
    model = untrained(small("distmult", smoothing=0.1))
    heads, relations, tails = torch.tensor([3, 3, 3, 8]), torch.tensor([1, 1, 1, 5]), torch.tensor([4, 9, 20, 11])
    one_by_one = F.cross_entropy(model.score(heads, relations), tails, label_smoothing=0.1, reduction="none")
    told = Told(heads[[0, 3]], relations[[0, 3]], torch.tensor([0, 0, 0, 1]), tails)
    assert torch.allclose(Softmax(model)(told), (one_by_one[:3].mean() + one_by_one[3]) / 2, atol=1e-6)


@pytest.mark.parametrize("own", [False, True])
def test_the_self_adversarial_loss_is_pykeens(own: bool) -> None:
    losses = pykeen("losses")
    model = untrained(small("transe", margin=3.0, temperature=0.7, negatives=5))
    heads, relations, tails = torch.arange(4), torch.arange(4), torch.tensor([9, 8, 7, 6])
    negatives = torch.arange(20).view(4, 5) + 20 if own else torch.arange(5)
    right, wrong = model.score(heads, relations, tails[:, None]), model.score(heads, relations, negatives)
    theirs = losses.NSSALoss(margin=3.0, adversarial_temperature=0.7, reduction="sum")
    expected = theirs.process_slcwa_scores(right, wrong) / 4
    assert torch.allclose(SelfAdversarial(model)(Drawn(heads, relations, tails, negatives)), expected, atol=1e-5)


def test_the_self_adversarial_loss_by_hand() -> None:
    model = untrained(small("transe", margin=2.0, temperature=0.5, negatives=3))
    rows = Drawn(torch.tensor([1]), torch.tensor([4]), torch.tensor([7]), torch.tensor([0, 30, 31]))
    scores = model.score(rows.heads, rows.relations)[0].detach().double().numpy()
    wrong, sigmoid = scores[[0, 30, 31]], lambda x: 1 / (1 + np.exp(-x))
    share = np.exp(0.5 * wrong) / np.exp(0.5 * wrong).sum()
    expected = -np.log(sigmoid(2 + scores[7])) - (share * np.log(sigmoid(-2 - wrong))).sum()
    assert SelfAdversarial(model)(rows).item() == pytest.approx(expected, abs=1e-4)


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
    cfg = config.preset("tiny", artifacts=str(tmp_path), kg__triple=settings)
    stage = triple_stage(cfg, graph)
    known, again = stage.value(), triple_stage(cfg, graph).value()
    asked = kg.queries(graph)
    assert stage.manifest["parameters"] == sum(p.numel() for p in known.model.parameters())
    assert known.rank(asked).equals(again.rank(asked)) and stage.folder.parent.name == "kg-conve"
    other = config.replace(cfg, "kg__triple__smoothing", 0.1)
    assert triple_stage(other, graph).key != stage.key != triple_stage(cfg, grid()).key


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": 3}, "norm is 1 or 2"),
        ({"dropout": 1.0}, "dropout lies from 0"),
        ({"temperature": -1.0}, "temperature must not be negative"),
        ({"negatives": 4, "smoothing": 0.1}, "smoothing is of the softmax over all entities"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TripleConfig(**changes)


def test_an_image_too_narrow_for_the_filters_is_refused() -> None:
    with pytest.raises(ValueError, match="image at least 3 wide, and dim 4 gives 2"):
        untrained(small("conve", dim=4))
