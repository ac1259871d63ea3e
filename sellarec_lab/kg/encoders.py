"""What reads a path e0, r0, e1, ...: recurrent, recurrent with skips (RSN), or a causal Transformer.

One interface: elements [B, T, d] to states [B, T, d]; the state at t knows elements 0 to t and tells element t + 1. The
three are those that arXiv 2306.02679 compares; sizes are this project's.
"""

import torch
from torch import nn

from sellarec_lab.config import PathConfig

LONGEST = 32  # elements of a path


class Recurrent(nn.Module):
    """LSTM layers."""

    def __init__(self, settings: PathConfig):
        super().__init__()
        between = settings.dropout if settings.layers > 1 else 0.0
        self.lstm = nn.LSTM(settings.dim, settings.dim, settings.layers, batch_first=True, dropout=between)
        self.norm = nn.LayerNorm(settings.dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self._read(x))

    def _read(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


class Skipping(Recurrent):
    """RSN (arXiv 1905.04914): behind a relation the state is S1 h_t + S2 x_{t-1}, so that a triple's subject stands
    beside its relation when the object is told, however long the path."""

    def __init__(self, settings: PathConfig):
        super().__init__(settings)
        self.state = nn.Linear(settings.dim, settings.dim, bias=False)
        self.subject = nn.Linear(settings.dim, settings.dim, bias=False)

    def _read(self, x: torch.Tensor) -> torch.Tensor:
        states = super()._read(x)
        skipped = self.state(states[:, 1::2]) + self.subject(x[:, 0:-1:2])  # behind relations, at odd places
        out = states.clone()
        out[:, 1::2] = skipped
        return out


class Transformer(nn.Module):
    """Causal self-attention over the elements and their places."""

    def __init__(self, settings: PathConfig):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            settings.dim, settings.heads, 4 * settings.dim, settings.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.places = nn.Parameter(0.02 * torch.randn(LONGEST, settings.dim))
        self.layers = nn.TransformerEncoder(layer, settings.layers, nn.LayerNorm(settings.dim), False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device, dtype=x.dtype)
        return self.layers(x + self.places[: x.shape[1]], mask=mask, is_causal=True)


KINDS: dict[str, type[nn.Module]] = {"recurrent": Recurrent, "skipping": Skipping, "transformer": Transformer}


def encoder(settings: PathConfig) -> nn.Module:
    """The encoder that the settings name."""
    return KINDS[settings.encoder](settings)
