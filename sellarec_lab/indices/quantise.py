"""Vectors to codes, level by level: each level quantises what the levels before have left.

Residual k-means needs no training. RQ-VAE (arXiv 2107.03312, 2311.09049) learns a space in which that works better: an
encoder, the codebooks, and a decoder that must rebuild the vector.
"""

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans
from torch import nn

from sellarec_lab import runtime, training
from sellarec_lab.config import IndexConfig
from sellarec_lab.indices.assign import balanced
from sellarec_lab.training import Batches


class Quantised(NamedTuple):
    """Codes [B, levels], the sum of the chosen vectors [B, d], and what each level had to quantise [B, levels, d]."""

    codes: torch.Tensor
    vectors: torch.Tensor
    residuals: torch.Tensor


def quantise(vectors: torch.Tensor, codebooks: torch.Tensor, last=None) -> Quantised:
    """r_0 = z; c_l = argmin_k |r_l - v_lk|^2; r_{l+1} = r_l - v_{l, c_l}. ``codebooks`` [levels, K, d].

    ``last``: another way to choose the codes of the last level, from its distances [B, K].
    """
    left, codes, residuals = vectors, [], []
    for level, book in enumerate(codebooks):
        distances = squared_distances(left, book)
        choose = last if last is not None and level == len(codebooks) - 1 else lambda d: d.argmin(1)
        chosen = choose(distances)
        codes.append(chosen)
        residuals.append(left)
        left = left - book[chosen]
    return Quantised(torch.stack(codes, 1), vectors - left, torch.stack(residuals, 1))


def squared_distances(rows: torch.Tensor, book: torch.Tensor) -> torch.Tensor:
    """[B, d] and [K, d] to [B, K]."""
    return rows.square().sum(1, keepdim=True) - 2 * rows @ book.T + book.square().sum(1)


def kmeans_codebooks(vectors: torch.Tensor, levels: int, codes: int, seed: int) -> torch.Tensor:
    """k-means on the whole table at each level, on what is left of it: [levels, K, d], float32."""
    left, books = vectors.float().cpu(), []
    for level in range(levels):
        distinct = len(np.unique(left.numpy(), axis=0))
        fit = KMeans(min(codes, distinct), n_init=1, random_state=seed + level).fit(left.numpy())
        book = torch.from_numpy(fit.cluster_centers_).float()
        books.append(F.pad(book, (0, 0, 0, codes - len(book)), value=1e4))  # codes beyond the rows: nobody's nearest
        left = left - books[-1][squared_distances(left, books[-1]).argmin(1)]
    return torch.stack(books)


def _mlp(widths: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
        nn.init.xavier_normal_(layers[-2].weight)
        nn.init.zeros_(layers[-2].bias)
    return nn.Sequential(*layers[:-1])


class RQVAE(nn.Module):
    """Encoder, residual codebooks, decoder (arXiv 2311.09049, equations 1 to 6)."""

    def __init__(self, width: int, settings: IndexConfig):
        super().__init__()
        widths = [width, *settings.hidden, settings.width]
        self.encoder, self.decoder, self.settings = _mlp(widths), _mlp(widths[::-1]), settings
        self.codebooks = nn.Parameter(torch.zeros(settings.levels, settings.codes, settings.width))

    def chosen(self, distances: torch.Tensor) -> torch.Tensor:
        """Codes of the last level while training: in balance, so that none is left to a few items."""
        if not (self.training and self.settings.balanced):
            return distances.argmin(1)
        return balanced(distances.detach(), self.settings.epsilon, self.settings.iterations)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """|x - x^|^2 + mean over levels of |sg(r) - v|^2 + beta |r - sg(v)|^2, as means over all entries."""
        z = self.encoder(vectors)
        with torch.no_grad():
            found = quantise(z, self.codebooks, self.chosen)
        left, book_loss, commitment = z, 0.0, 0.0
        for level, book in enumerate(self.codebooks):
            vector = book[found.codes[:, level]]
            book_loss = book_loss + F.mse_loss(vector, left.detach())
            commitment = commitment + F.mse_loss(left, vector.detach())
            left = left - vector.detach()
        straight = z + (found.vectors - z).detach()  # straight-through
        rebuilt = F.mse_loss(self.decoder(straight), vectors)
        return rebuilt + (book_loss + self.settings.beta * commitment) / len(self.codebooks)


def train_rqvae(
    vectors: torch.Tensor, settings: IndexConfig, seed: int = 0, checkpoint: Path | None = None
) -> tuple[RQVAE, training.History]:
    """RQ-VAE on item vectors [n, d]; codebooks start at k-means of the whole encoded table, not of one batch."""
    with runtime.seeded(seed, "rq-vae"):
        model = RQVAE(vectors.shape[1], settings)
    with torch.no_grad():
        start = kmeans_codebooks(model.encoder(vectors), settings.levels, settings.codes, seed)
        model.codebooks.copy_(start.clamp(max=1e2))
    rows, size = vectors.to(runtime.device().value), settings.loop.batch_size

    def batches(epoch: int) -> Batches:
        order = np.random.default_rng([seed, epoch]).permutation(len(rows))
        return Batches([order[i : i + size] for i in range(0, len(order), size)], lambda some: rows[some])

    history = training.fit(
        model, batches, settings.loop, label="RQ-VAE", seed=seed, checkpoint=checkpoint,
        monitor=training.Monitor("error", "lower"), validate=lambda: {"error": reconstruction(model, rows)},
    )  # fmt: skip
    return model.cpu().eval(), history


@torch.no_grad()
def reconstruction(model: RQVAE, vectors: torch.Tensor) -> float:
    """Mean squared error of the rebuilt vectors, as a share of their variance: 0 is perfect, 1 is their mean."""
    was_training = model.training
    model.eval()
    rebuilt = model.decoder(quantise(model.encoder(vectors), model.codebooks).vectors)
    model.train(was_training)
    return float((rebuilt - vectors).square().mean() / (vectors - vectors.mean(0)).square().mean())
