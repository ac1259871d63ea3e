import numpy as np
import pytest
import torch
from planted import hierarchy

from sellarec_lab import indices
from sellarec_lab.config import IndexConfig


def values(report):
    return {(row.measure, row.level): row.value for row in report.itertuples()}


def test_collisions_by_construction():
    codes = torch.tensor([[-1, -1], [0, 0], [0, 0], [0, 0], [1, 2], [1, 2], [1, 3], [-1, -1]])
    found = values(indices.report(codes))
    assert found["items", 0] == 6 and found["distinct indices", 0] == 3
    assert found["share not their own", 0] == pytest.approx(5 / 6) and found["largest group", 0] == 3
    assert [found[f"items in groups of {size}", 0] for size in (1, 2, 3)] == [1, 2, 3]
    assert found["codes in use", 1] == 2 and found["codes in use", 2] == 3
    assert found["perplexity", 1] == pytest.approx(2.0)
    assert found["perplexity", 2] == pytest.approx(np.exp(-(np.log(1 / 2) / 2 + np.log(1 / 3) / 3 + np.log(1 / 6) / 6)))


def test_meaning_beside_its_controls():
    vectors, group, _ = hierarchy()
    fitted = indices.fit(vectors, IndexConfig(levels=3, codes=4, repair="none"))
    found = values(indices.report(fitted.codes, vectors, np.array(list("abcde"))[group], fitted=fitted))
    assert found["purity", 1] == 1.0 and 0.25 <= found["purity, shuffled", 1] < 0.4
    assert found["neighbours that share a prefix", 1] == 1.0
    assert found["all pairs that share a prefix", 1] == pytest.approx(31 / 127)
    assert found["dead codes", 1] == 0
    assert found["reconstruction error", 3] == pytest.approx(float(fitted.errors[2]))


def test_chance_is_what_unrelated_vectors_reach():
    torch.manual_seed(0)
    codes = torch.cat([torch.full((1, 2), -1), torch.randint(0, 4, (600, 2))])
    found = values(indices.report(codes, torch.randn(601, 8)))
    for level in (1, 2):
        chance = found["all pairs that share a prefix", level]
        assert found["neighbours that share a prefix", level] == pytest.approx(chance, abs=0.02)


def test_popularity_of_codes():
    codes = torch.tensor([[-1, -1], [0, 0], [0, 1], [1, 0], [1, 1]])
    found = values(indices.report(codes, popularity=[99, 0, 1, 0, 3]))
    assert found["share of the busiest code", 1] == 0.75 and found["gini of popularity", 1] == pytest.approx(0.25)
    assert found["share of the busiest code", 2] == 1.0 and found["gini of popularity", 2] == pytest.approx(0.5)
    even = values(indices.report(codes, popularity=[0, 2, 2, 2, 2]))
    assert even["gini of popularity", 1] == pytest.approx(0.0)


def test_tables_of_another_length_and_empty_indices_are_refused():
    codes = torch.tensor([[-1], [0], [1]])
    with pytest.raises(ValueError, match="categories: expected 3 rows, as codes have, padding first, got 2"):
        indices.report(codes, categories=["a", "b"])
    with pytest.raises(ValueError, match="expected at least one item with an index"):
        indices.report(torch.full((3, 2), -1))
    with pytest.raises(ValueError, match="popularity: expected counts from 0 on, some above it"):
        indices.report(codes, popularity=[0, 0, 0])


def test_the_category_control_counts_within_a_category():
    codes = indices.category_codes(["", "war", "art", "war", None, *["war"] * 3], codes=2)
    assert codes.dtype == torch.int64
    assert codes.tolist() == [
        [-1, -1, -1, -1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1], [-1, -1, -1, -1], [1, 0, 1, 0], [1, 0, 1, 1],
        [1, 1, 0, 0],
    ]  # fmt: skip
    assert indices.category_codes([0, 5, 5], codes=4).tolist() == [[-1, -1], [0, 0], [0, 1]]
    with pytest.raises(ValueError, match="codes is 1, expected at least 2"):
        indices.category_codes([0, 1], codes=1)
