"""Decoders by definition and beside PyKEEN's, and the two losses by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from toy_triples import WAYS, each, pykeen, small, untrained

from sellarec_lab.config import TripleConfig
from sellarec_lab.kg import TripleModel, decoders
from sellarec_lab.kg.triples import Drawn, SelfAdversarial, Softmax, Told


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm": 3}, "norm: expected at most 2, got 3"),
        ({"dropout": 1.0}, "dropout: expected less than 1, got 1.0"),
        ({"temperature": -1.0}, "temperature: expected at least 0, got -1.0"),
        ({"negatives": 4, "smoothing": 0.1}, "smoothing is of the softmax over all entities"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TripleConfig(**changes)


def test_an_image_too_narrow_for_the_filters_is_refused() -> None:
    with pytest.raises(ValueError, match="image at least 3 wide, and dim 4 gives 2"):
        untrained(small("conve", dim=4))
