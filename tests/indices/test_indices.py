import dataclasses
import subprocess
import sys

import pytest
import torch
from planted import RQVAE, hierarchy, same_partition

from sellarec_lab import config, indices, runtime
from sellarec_lab.config import IndexConfig

CONFIG = IndexConfig(levels=3, codes=16)


def test_the_contract():
    vectors, _, _ = hierarchy()
    codes = indices.build(vectors, config.preset("tiny", indices__codes=16))
    assert codes.shape == (129, 3) and codes.dtype == torch.int64
    assert codes[0].tolist() == [-1, -1, -1] and codes[1:].min() == 0 and codes[1:].max() < 16
    assert len(codes[1:].unique(dim=0)) == 128  # repair="exact"
    assert indices.report(codes)["value"].isna().sum() == 0


def test_collisions_are_counted():
    vectors, _, part = hierarchy(noise=0.0)  # 16 distinct vectors, 8 items each
    fitted = indices.fit(vectors, dataclasses.replace(CONFIG, repair="none"))
    assert fitted.shared == 128 and same_partition(fitted.codes[1:] @ torch.tensor([256, 16, 1]), part[1:])
    assert indices.fit(vectors, dataclasses.replace(CONFIG, repair="sinkhorn")).shared == 128
    repaired = indices.fit(vectors, CONFIG)
    assert repaired.shared == 0 and same_partition(repaired.codes[1:, :2] @ torch.tensor([16, 1]), part[1:])


def test_errors_are_shares_of_the_variance():
    torch.manual_seed(0)
    vectors = torch.randn(51, 4)
    fitted = indices.fit(vectors, CONFIG)
    rows = vectors[1:]
    rebuilt = indices.code_vectors(fitted.codes[1:], fitted.codebooks).cumsum(0)
    expected = [float((rows - r).square().sum() / (rows - rows.mean(0)).square().sum()) for r in rebuilt]
    assert fitted.errors.tolist() == pytest.approx(expected, rel=1e-5)
    assert expected[0] > expected[1] > expected[2] and fitted.history is None
    assert indices.fit(torch.ones(9, 4), CONFIG).errors.tolist() == [0, 0, 0]


def test_items_that_are_left_out_have_no_index_and_no_say():
    vectors, _, _ = hierarchy()
    warm = torch.arange(1, 100)
    codes = indices.build(vectors, CONFIG, items=warm)
    spoiled = vectors.clone()
    spoiled[100:] = float("nan")
    assert torch.equal(indices.build(spoiled, CONFIG, items=warm.tolist()), codes)
    assert (codes[100:] == -1).all() and (codes[1:100] >= 0).all()
    assert torch.equal(indices.build(vectors[:100], CONFIG), codes[:100])


def test_the_seed_is_the_presets_unless_told():
    torch.manual_seed(0)
    vectors = torch.randn(200, 6)
    cfg = config.preset("tiny", seed=3)
    own = indices.build(vectors, cfg)
    assert torch.equal(own, indices.build(vectors, cfg.indices, seed=3))
    assert torch.equal(indices.build(vectors, cfg, seed=0), indices.build(vectors, cfg.indices))
    assert not torch.equal(own, indices.build(vectors, cfg, seed=0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize(
    "settings", [CONFIG, dataclasses.replace(RQVAE, loop=dataclasses.replace(RQVAE.loop, epochs=2))]
)
def test_any_float_is_computed_in_float32(dtype, settings):
    vectors = hierarchy()[0].to(dtype)
    fitted = indices.fit(vectors, settings)
    assert fitted.codebooks.dtype == fitted.errors.dtype == torch.float32
    assert torch.equal(fitted.codes, indices.build(vectors.float(), settings))


PROCESS = """
import torch, sys
sys.path[:0] = {path}
from planted import RQVAE, hierarchy
from sellarec_lab import indices, runtime
import dataclasses
settings = dataclasses.replace(RQVAE, loop=dataclasses.replace(RQVAE.loop, epochs=4))
print(runtime.tensor_digest(indices.fit(hierarchy()[0], settings, seed=7).codebooks))
"""


def test_another_process_finds_the_same():
    settings = dataclasses.replace(RQVAE, loop=dataclasses.replace(RQVAE.loop, epochs=4))
    here = indices.fit(hierarchy()[0], settings, seed=7)
    command = [sys.executable, "-c", PROCESS.format(path=sys.path)]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    assert there == runtime.tensor_digest(here.codebooks)


@pytest.mark.parametrize(
    "vectors, message",
    [
        (torch.ones(5, 3).long(), "expected a torch tensor of floats, got torch.int64"),
        ([[0.0], [1.0]], "expected a torch tensor of floats, got list"),
        (torch.ones(5), r"expected \[n_items \+ 1, d\], row 0 being padding, got shape \[5\]"),
        (torch.ones(1, 3), r"got shape \[1, 3\]"),
        (torch.tensor([[0.0], [1.0], [float("nan")], [1.0]]), "item 2 and 0 more: expected numbers that are finite"),
        (torch.tensor([[0.0], [1e300]]).double() * 1e300, "item 1 and 0 more"),
    ],
)
def test_vectors_that_cannot_be_are_refused(vectors, message):
    with pytest.raises(ValueError, match=message):
        indices.build(vectors, CONFIG)


@pytest.mark.parametrize("items, found", [([], "none"), ([0, 1], "0 to 1"), ([4, 5, 2], "2 to 5")])
def test_items_that_are_none_are_refused(items, found):
    with pytest.raises(ValueError, match=f"items: expected ids from 1 to 4, .*got {found}"):
        indices.build(torch.rand(5, 2), CONFIG, items=items)


@pytest.mark.parametrize(
    "field, value, message",
    [
        ("method", "vq", "method: expected 'kmeans' or 'rqvae', got 'vq'"),
        ("repair", "hungarian", "repair: expected 'exact', 'sinkhorn' or 'none'"),
        ("levels", 27, "levels: expected at most 26, got 27"),
        ("codes", 0, "codes: expected at least 1, got 0"),
        ("rounds", -1, "rounds: expected at least 1"),
        ("hidden", (64, 0), "hidden: expected at least 1, got 0"),
        ("beta", -0.1, "beta: expected at least 0"),
        ("epsilon", 0.0, "epsilon: expected more than 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(field, value, message):
    with pytest.raises(ValueError, match=message):
        config.preset("tiny", **{f"indices__{field}": value})
