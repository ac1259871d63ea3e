"""RQ-VAE: an autoencoder whose middle is a sum of code vectors (arXiv 2311.09049, section 3.2)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from sellarec_lab import runtime, training
from sellarec_lab.config import IndexConfig
from sellarec_lab.indices.assign import balanced
from sellarec_lab.indices.codes import shared
from sellarec_lab.indices.quantise import code_vectors, nearest, quantise, residual_kmeans
from sellarec_lab.training import Batches, History, Monitor


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from width to width, ReLU between them; Xavier-normal weights, biases zero."""
    layers = []
    for d_in, d_out in pairwise(widths):
        linear = nn.Linear(d_in, d_out)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class RQVAE(nn.Module):
    """Encoder, codebooks [L, K, w], decoder; ``forward`` is the loss.

    L = MSE(x, x_hat) + mean_l( |sg(r_l) - v_l|^2 + beta |r_l - sg(v_l)|^2 ), all as means over elements, and
    straight-through from the decoder to the encoder. The commitment reaches the encoder from every level; in the
    official code only from the first, since a residual minus a straight-through copy of itself has no gradient.
    """

    whole_batch = True  # the items of a batch share out the codes of the last level

    def __init__(self, d: int, config: IndexConfig):
        super().__init__()
        self.config, widths = config, (d, *config.hidden, config.width)
        self.encoder, self.decoder = mlp(widths), mlp(widths[::-1])
        self.codebooks = nn.Parameter(torch.zeros(config.levels, config.codes, config.width))

    @torch.no_grad()
    def start(self, vectors: torch.Tensor, seed: int) -> None:
        """Put the codebooks where residual k-means puts them on the encoded vectors [n, d], all at once."""
        self.codebooks.copy_(residual_kmeans(self.encoder(vectors), *self.codebooks.shape[:2], seed))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        z = self.encoder(vectors)  # [B, w]
        codes = quantise(z, self.codebooks, self._share_out if self.config.uniform else nearest).codes  # [B, L]
        chosen = code_vectors(codes, self.codebooks)  # [L, B, w]
        before = z - (chosen.cumsum(0) - chosen).detach()  # what each level was given, [L, B, w]
        through = z + (chosen.sum(0) - z).detach()
        reconstruction = F.mse_loss(self.decoder(through), vectors)
        commitment = F.mse_loss(before, chosen.detach())
        return reconstruction + F.mse_loss(chosen, before.detach()) + self.config.beta * commitment

    def _share_out(self, distances: torch.Tensor) -> torch.Tensor:
        return balanced(distances, self.config.epsilon, self.config.iterations)

    @torch.no_grad()
    def measure(self, vectors: torch.Tensor) -> dict[str, float]:
        """Mean squared error of vectors [n, d] rebuilt from their nearest codes, the share of indices that are not
        their item's own, and how many codes nobody uses."""
        codes = quantise(self.encoder(vectors), self.codebooks).codes
        rebuilt = self.decoder(code_vectors(codes, self.codebooks).sum(0))
        used = sum(len(level.unique()) for level in codes.T)
        return {
            "error": float(F.mse_loss(rebuilt, vectors)),
            "shared": float(shared(codes.cpu()).float().mean()),
            "dead": float(self.codebooks[..., 0].numel() - used),
        }


class Trained(NamedTuple):
    """The model in its best state, on the CPU, and what happened."""

    model: RQVAE
    history: History


def train(vectors: torch.Tensor, config: IndexConfig, seed: int = 0, checkpoint: Path | None = None) -> Trained:
    """Fit an RQ-VAE on vectors, float32 [n, d], and keep the state that rebuilds them best from their nearest codes.

    Dead codes are counted in the history, and not revived. ``checkpoint`` as in `training.fit`.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    with runtime.seeded(seed, "RQ-VAE"):
        model = RQVAE(vectors.shape[1], config)
    model.start(vectors, seed)
    table = vectors.to(runtime.device().value)
    history = training.fit(
        model, _batches(table, config.loop.batch_size, seed), config.loop, label="RQ-VAE", seed=seed,
        validate=lambda: model.measure(table), monitor=Monitor("error", "lower"), checkpoint=checkpoint,
    )  # fmt: skip
    return Trained(model.cpu(), history)


def _batches(table: torch.Tensor, most: int, seed: int) -> Callable[[int], Batches]:
    """epoch -> batches of rows [B, d], as equal as can be: a few rows left over can't share out a codebook."""

    def batches(epoch: int) -> Batches:
        order = np.random.default_rng([seed, epoch]).permutation(len(table))
        rows = np.array_split(order, -(-len(order) // most))
        return Batches(rows, lambda rows: table[torch.from_numpy(rows).to(table.device)])

    return batches
