"""A loss for the beginnings of indices: a beam that drops the right one at its first token never finds it again."""

from dataclasses import dataclass

import torch

from sellarec_lab import llm
from sellarec_lab.llm.encode import Batch


@dataclass(frozen=True, eq=False)
class PrefixLoss(llm.TextLoss):
    """Cross-entropy, plus ``weight`` times a weighted mean over the lengths t = 1 .. L - 1 of the loss that the first t
    tokens of an index have, a mean over them; what is worst weighs most (APAO pointwise, arXiv 2603.02730: weights in
    proportion to the losses, without gradient). No forward pass is added.

    ``level`` [vocabulary] is the place of each token in an index, from 0; -1 for all other tokens.
    """

    level: torch.Tensor
    weight: float

    def __call__(self, lm: llm.LanguageModel, hidden: torch.Tensor, batch: Batch) -> torch.Tensor:
        losses, ids = self.by_token(lm, hidden, batch)
        level = self.level.to(ids.device)[ids]
        depth = int(self.level.max()) + 1
        here = torch.nn.functional.one_hot(level[level >= 0], depth).to(losses)  # [M, L]
        means = (here * losses[level >= 0][:, None]).sum(0) / here.sum(0).clamp(min=1)  # of each level [L]
        prefixes = (means.cumsum(0) / torch.arange(1, depth + 1, device=means.device))[:-1]
        shares = prefixes.detach() / prefixes.detach().sum().clamp(min=torch.finfo(means.dtype).tiny)
        return losses.mean() + self.weight * (shares * prefixes).sum()
