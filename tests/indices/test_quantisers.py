import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from planted import RQVAE, hierarchy, same_partition
from vector_quantize_pytorch import ResidualVQ

from sellarec_lab import config, indices
from sellarec_lab.indices import quantise, residual_kmeans, rqvae


def reference(codebooks, **settings):
    """The library's quantiser with our codebooks [L, K, w]."""
    levels, codes, width = codebooks.shape
    library = ResidualVQ(dim=width, num_quantizers=levels, codebook_size=codes, **settings)
    for layer, codebook in zip(library.layers, codebooks):
        layer._codebook.embed.data.copy_(codebook[None])
        layer._codebook.initted.fill_(True)
    return library


def test_codes_and_sums_are_the_librarys():
    torch.manual_seed(0)
    points, codebooks = torch.randn(500, 12), torch.randn(4, 16, 12) / torch.arange(1, 5)[:, None, None]
    rebuilt, codes, _ = reference(codebooks).eval()(points[None])
    ours = quantise(points, codebooks).codes
    assert torch.equal(ours, codes[0])
    torch.testing.assert_close(indices.code_vectors(ours, codebooks).sum(0), rebuilt[0])


def test_the_distances_are_those_of_the_last_level():
    torch.manual_seed(0)
    points, codebooks = torch.randn(9, 3), torch.randn(3, 5, 3)
    codes, distances = quantise(points, codebooks)
    left = points - indices.code_vectors(codes, codebooks)[:2].sum(0)
    torch.testing.assert_close(distances, ((left[:, None] - codebooks[2]) ** 2).sum(-1))
    assert torch.equal(codes[:, 2], distances.argmin(1))


def test_an_items_codes_depend_on_no_other_item():
    torch.manual_seed(0)
    points, codebooks = torch.randn(200, 12), torch.randn(3, 16, 12)
    codes, distances = quantise(points, codebooks)
    for chosen in (slice(3, 4), slice(10, 90)):
        alone = quantise(points[chosen], codebooks)
        assert torch.equal(alone.codes, codes[chosen]) and torch.equal(alone.distances, distances[chosen])


def test_kmeans_finds_the_planted_levels():
    vectors, group, part = hierarchy()
    codes = quantise(vectors[1:], residual_kmeans(vectors[1:], 2, 4)).codes
    assert same_partition(codes[:, 0], group[1:])
    finer = quantise(vectors[1:], residual_kmeans(vectors[1:], 1, 16)).codes
    assert same_partition(finer[:, 0], part[1:])


def test_kmeans_follows_from_its_seed_and_from_nothing_else():
    torch.manual_seed(0)
    points = torch.randn(300, 6)
    first = residual_kmeans(points, 3, 8, seed=5)
    chance = torch.get_rng_state()
    np.random.seed(1)
    assert torch.equal(residual_kmeans(points, 3, 8, seed=5), first)
    assert torch.equal(chance, torch.get_rng_state())
    assert not torch.equal(residual_kmeans(points, 3, 8, seed=6), first)


@pytest.mark.filterwarnings("error")
def test_fewer_distinct_residuals_than_codes():
    torch.manual_seed(0)
    points = torch.randn(3, 5)[torch.arange(30) % 3]
    codebooks = residual_kmeans(points, 3, 8)
    assert codebooks.shape == (3, 8, 5) and codebooks.isfinite().all()
    codes = quantise(points, codebooks).codes
    assert same_partition(codes[:, 0], torch.arange(30) % 3)
    torch.testing.assert_close(indices.code_vectors(codes, codebooks).sum(0), points)


# ------------------------------------------------------------------------------------------ RQ-VAE


def test_the_loss_by_hand():
    torch.manual_seed(0)
    settings = dataclasses.replace(RQVAE, uniform=False, beta=0.3)
    model = rqvae.RQVAE(6, settings)
    torch.nn.init.normal_(model.codebooks)
    vectors = torch.randn(10, 6)
    z, residual, middle, quantisation = model.encoder(vectors), model.encoder(vectors), 0.0, 0.0
    for codebook in model.codebooks:
        chosen = codebook[torch.cdist(residual, codebook).argmin(1)]
        quantisation += F.mse_loss(chosen, residual.detach()) + 0.3 * F.mse_loss(residual, chosen.detach())
        residual, middle = residual - chosen.detach(), middle + chosen
    expected = F.mse_loss(model.decoder(z + (middle - z).detach()), vectors) + quantisation / 2
    torch.testing.assert_close(model(vectors), expected)
    parameters = list(model.parameters())
    gradients = (torch.autograd.grad(loss, parameters) for loss in (model(vectors), expected))
    torch.testing.assert_close(*gradients)


def test_the_quantisers_loss_is_the_librarys():
    """The library's own loss, commitment alone, at every level."""
    torch.manual_seed(0)
    vectors, codebooks = torch.randn(40, 6), torch.randn(2, 8, 6)
    library = reference(codebooks, commitment_weight=1.0, learnable_codebook=True, ema_update=False).train()
    _, codes, losses = library(vectors[None], freeze_codebook=True)
    chosen = indices.code_vectors(codes[0], codebooks)
    before = vectors - (chosen.cumsum(0) - chosen)
    torch.testing.assert_close(losses.flatten(), (before - chosen).square().mean((1, 2)))


def test_the_network_is_the_papers():
    model = rqvae.RQVAE(4096, config.preset("paper").indices)
    widths = [4096, 2048, 1024, 512, 256, 128, 64, 32]
    linear = [layer for layer in model.encoder if isinstance(layer, torch.nn.Linear)]
    assert [layer.in_features for layer in linear] == widths[:-1] and linear[-1].out_features == 32
    assert [layer.out_features for layer in model.decoder if isinstance(layer, torch.nn.Linear)] == widths[-2::-1]
    assert isinstance(model.encoder[-2], torch.nn.ReLU) and isinstance(model.decoder[-1], torch.nn.Linear)
    assert float(linear[0].weight.std()) == pytest.approx((2 / (4096 + 2048)) ** 0.5, rel=0.01)
    assert not linear[0].bias.any() and model.codebooks.shape == (4, 256, 32)


def test_codebooks_start_where_kmeans_puts_them_on_all_items():
    vectors, _, _ = hierarchy()
    torch.manual_seed(0)
    model = rqvae.RQVAE(16, RQVAE)
    model.start(vectors[1:], seed=3)
    assert torch.equal(model.codebooks, residual_kmeans(model.encoder(vectors[1:]), 2, 8, seed=3))


def test_rqvae_recovers_the_planted_hierarchy():
    vectors, group, part = hierarchy()
    settings = dataclasses.replace(RQVAE, codes=4, loop=dataclasses.replace(RQVAE.loop, epochs=300))
    fitted = indices.fit(vectors, settings)
    assert same_partition(fitted.codes[1:, 0], group[1:])
    purity = indices.report(fitted.codes, categories=part).set_index(["measure", "level"])["value"]["purity"]
    assert purity[1] == 0.25 and purity[2] > 0.9
    assert fitted.errors[0] < 0.1 and fitted.errors[1] < fitted.errors[0]
    assert fitted.history.best < fitted.history.records[0]["error"] / 5


def test_uniform_mapping_fills_the_last_level_while_training():
    torch.manual_seed(0)
    model = rqvae.RQVAE(6, RQVAE)
    torch.nn.init.normal_(model.codebooks)
    with torch.no_grad():
        model.codebooks[1, 1:] += 50.0  # all items are nearest to code 0
        z = model.encoder(torch.randn(64, 6))
    assert quantise(z, model.codebooks).codes[:, 1].unique().tolist() == [0]
    shared_out = quantise(z, model.codebooks, model._share_out).codes
    assert torch.equal(shared_out[:, 0], quantise(z, model.codebooks).codes[:, 0])
    assert (shared_out[:, 1].bincount(minlength=8) > 0).all()


def test_batches_are_equal_and_hold_every_item_once():
    table = torch.arange(130.0)[:, None]
    batches = rqvae._batches(table, 64, seed=0)
    rows = [batches(0).make(rows) for rows in batches(0).rows]
    assert [len(part) for part in rows] == [44, 43, 43]
    assert torch.equal(torch.cat(rows).sort(0).values, table)
    assert not torch.equal(torch.cat(rows), torch.cat([batches(1).make(rows) for rows in batches(1).rows]))


def test_a_killed_run_resumes_to_the_same_codebooks(tmp_path, monkeypatch):
    vectors, _, _ = hierarchy()
    settings = dataclasses.replace(RQVAE, loop=dataclasses.replace(RQVAE.loop, epochs=8, checkpoint_seconds=0.0))
    whole = indices.fit(vectors, settings, seed=2)
    checkpoint, measure, validations = tmp_path / "part.safetensors", rqvae.RQVAE.measure, iter(range(5))

    def dying(model, table):
        if next(validations, None) is None:
            raise KeyboardInterrupt
        return measure(model, table)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(rqvae.RQVAE, "measure", dying)
        indices.fit(vectors, settings, seed=2, checkpoint=checkpoint)
    assert checkpoint.is_file()
    torch.manual_seed(99)
    resumed = indices.fit(vectors, settings, seed=2, checkpoint=checkpoint)
    assert torch.equal(resumed.codebooks, whole.codebooks) and torch.equal(resumed.codes, whole.codes)
    assert len(resumed.history.records) == 8 and not checkpoint.exists()
