import dataclasses
import itertools

import ot
import pytest
import torch

from sellarec_lab.config import IndexConfig
from sellarec_lab.indices import Quantised, balanced, sinkhorn
from sellarec_lab.indices.assign import exact, rounds
from sellarec_lab.indices.codes import shared

FEW = IndexConfig(codes=8)


def ours_and_theirs(distances, epsilon, iterations):
    """POT normalises its columns first, so it is given the transposed problem."""
    n_rows, n_columns = distances.shape
    weights = (torch.full((n,), 1 / n, dtype=torch.float64).numpy() for n in (n_columns, n_rows))
    plan = ot.sinkhorn(
        *weights, distances.double().numpy().T, epsilon, method="sinkhorn_log", numItermax=iterations, stopThr=0.0,
        warn=False,
    )  # fmt: skip
    return sinkhorn(distances, epsilon, iterations), torch.from_numpy(plan.T)


@pytest.mark.parametrize("epsilon, iterations", [(1.0, 1), (0.05, 7), (0.003, 50)])
def test_sinkhorn_is_pots(epsilon, iterations):
    torch.manual_seed(0)
    plan, theirs = ours_and_theirs(torch.rand(40, 8) * 2 - 1, epsilon, iterations)
    assert plan.dtype == torch.float64
    torch.testing.assert_close(plan, theirs, rtol=1e-9, atol=1e-14)


def test_sinkhorn_converges_to_the_plan_of_either_order():
    torch.manual_seed(0)
    distances = torch.rand(12, 4)
    plan = sinkhorn(distances, 0.1, 2000)
    torch.testing.assert_close(plan.sum(1), torch.full((12,), 1 / 12).double())
    torch.testing.assert_close(plan.sum(0), torch.full((4,), 1 / 4).double())
    torch.testing.assert_close(plan, sinkhorn(distances.T, 0.1, 2000).T)


def test_sinkhorn_stands_tiny_entropies():
    """Where exp(-D / epsilon) has left the range of doubles long ago."""
    plan = sinkhorn(torch.tensor([[0.0, 1e4], [1e4, 0.0]]), 0.003, 50)
    assert plan.tolist() == [[0.5, 0.0], [0.0, 0.5]]


def test_balanced_sends_as_many_items_to_each_code():
    """All 32 items are nearest to code 0; their second choices are 8 a code, and what is left stays."""
    torch.manual_seed(0)
    points = torch.linspace(0, 1, 32)[torch.randperm(32)][:, None]
    distances = torch.cdist(points, torch.tensor([[0.5], [1.6], [-0.6], [5.0]])).square()
    assert len(distances.argmin(1).unique()) < 4
    assert balanced(distances, 0.003, 500).bincount(minlength=4).tolist() == [8, 8, 8, 8]


def test_balanced_ignores_scale_and_origin():
    torch.manual_seed(0)
    distances = torch.rand(64, 8)
    assert torch.equal(balanced(distances, 0.003, 50), balanced(distances * 512 + 4096, 0.003, 50))


def crowd(n=50, prefixes=4, codes=10, seed=0):
    """Items of a few prefixes, most of them colliding."""
    draw = torch.Generator().manual_seed(seed)
    prefix = torch.randint(prefixes, (n, 2), generator=draw)
    distances = torch.rand(n, codes, generator=draw)
    return Quantised(torch.cat([prefix, distances.argmin(1)[:, None]], dim=1), distances)


def cost(found, codes):
    return float(found.distances.double().gather(1, codes[:, 2:]).sum())


def test_exact_leaves_no_collision_and_moves_nobody_out_of_their_prefix():
    found = crowd()
    codes = exact(found, FEW)
    assert shared(found.codes).any() and not shared(codes).any()
    assert torch.equal(codes[:, :2], found.codes[:, :2])
    prefix = found.codes[:, 0] * 4 + found.codes[:, 1]
    calm = ~torch.isin(prefix, prefix[shared(found.codes)])
    assert calm.any() and torch.equal(codes[calm], found.codes[calm])


def test_exact_is_the_cheapest_of_all_assignments():
    found = crowd(n=5, prefixes=1, codes=6)
    ways = itertools.permutations(range(6), 5)
    best = min(sum(float(found.distances[i, c]) for i, c in enumerate(way)) for way in ways)
    assert cost(found, exact(found, FEW)) == pytest.approx(best, abs=1e-6)


def test_exact_tells_equal_vectors_apart():
    distances = torch.tensor([[1.0, 0.0, 4.0]]).expand(3, 3)
    codes = exact(Quantised(torch.tensor([[0, 1]] * 3), distances), FEW)
    assert sorted(codes[:, 1].tolist()) == [0, 1, 2]


@pytest.mark.parametrize("prefix, named", [([7, 2], "<a_7><b_2>"), ([], r"\(empty\)")])
def test_a_prefix_with_more_items_than_codes_is_named(prefix, named):
    codes = torch.tensor([[*prefix, 0]] * 9)
    with pytest.raises(ValueError, match=rf"prefix {named}: 9 items, expected at most 8.*take more codes or more lev"):
        exact(Quantised(codes, torch.rand(9, 8)), FEW)


def test_the_papers_repair_moves_colliding_items_only():
    found = crowd()
    once, codes = rounds(found, dataclasses.replace(FEW, rounds=1)), rounds(found, FEW)
    alone = ~shared(found.codes)
    assert torch.equal(codes[:, :2], found.codes[:, :2]) and torch.equal(once[alone], found.codes[alone])
    assert shared(codes).sum() < shared(found.codes).sum()
    assert cost(found, codes) > cost(found, exact(found, FEW)) > cost(found, found.codes)


def test_the_papers_repair_keeps_what_it_cannot_tell_apart():
    alike = Quantised(torch.tensor([[3, 1], [3, 1], [0, 0]]), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    codes = rounds(alike, FEW)
    assert shared(codes).tolist() == [True, True, False]
