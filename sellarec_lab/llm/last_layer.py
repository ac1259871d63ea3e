"""The last layer where somebody reads it: a score needs one position of a prompt, a text those of its own tokens.

Their keys and values come from all positions, everything else of the layer from those few alone; what comes out is what
the whole layer says there, up to rounding. With four layers that is a fifth of all work.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from transformers import PreTrainedModel

_LAYERS = ("LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "Qwen3DecoderLayer")
_KERNELS = ("sdpa", "eager")  # which take a mask of whom each position sees


class _Sequence(NamedTuple):
    """In the place of a cache: keys and values of the whole sequence, for those few positions that ask."""

    keys: torch.Tensor
    values: torch.Tensor

    def update(self, keys: torch.Tensor, values: torch.Tensor, *_, **__) -> tuple[torch.Tensor, torch.Tensor]:
        return self.keys, self.values


def fits(base: PreTrainedModel) -> bool:
    """Whether `read_at` knows this model's layers, and nobody else has changed how they run: a layer that is
    checkpointed runs twice, one that is spread over devices moves tensors between them."""
    layer = (getattr(base.base_model, "layers", None) or [None])[-1]
    if type(layer).__name__ not in _LAYERS or base.config._attn_implementation not in _KERNELS:
        return False
    return "forward" not in vars(layer) and not (layer.gradient_checkpointing and layer.training)


@contextmanager
def read_at(base: PreTrainedModel, places: torch.Tensor) -> Iterator[None]:
    """Within it the model's last hidden states are those of some positions alone, ``places`` [B, Q]."""
    layer = base.base_model.layers[-1]
    layer.forward = partial(_few, layer, layer.forward, places)
    try:
        yield
    finally:
        del layer.forward


def _few(
    layer: nn.Module, plain, places: torch.Tensor, hidden: torch.Tensor, attention_mask: torch.Tensor | None,
    position_embeddings: tuple[torch.Tensor, torch.Tensor], **kwargs,
) -> torch.Tensor:  # fmt: skip
    """States [B, L, width] below the layer to those above it, [B, Q, width]."""
    order = torch.arange(hidden.shape[1], device=hidden.device)
    sees = order <= places[..., None] if attention_mask is None else _chosen(attention_mask[:, 0], places)
    turns = tuple(turn.expand(len(hidden), -1, -1) for turn in position_embeddings)
    name = "cache" if "cache" in kwargs else "past_key_values"  # until transformers 5.23
    kwargs |= {name: _sequence(layer, hidden, turns), "use_cache": False}
    there = tuple(_chosen(turn, places) for turn in turns)
    return plain(_chosen(hidden, places), attention_mask=sees[:, None], position_embeddings=there, **kwargs)


def _chosen(rows: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Rows [B, L, width] at some positions [B, Q], [B, Q, width]."""
    return rows.gather(1, places[..., None].expand(-1, -1, rows.shape[-1]))


def _sequence(layer: nn.Module, hidden: torch.Tensor, turns: tuple[torch.Tensor, torch.Tensor]) -> _Sequence:
    """The layer's keys and values at all positions, [B, heads, L, size of a head]."""
    attention, normed = layer.self_attn, layer.input_layernorm(hidden)
    shape = (*hidden.shape[:2], -1, attention.head_dim)
    keys, values = attention.k_proj(normed).view(shape), attention.v_proj(normed).view(shape)
    keys = (attention.k_norm(keys) if hasattr(attention, "k_norm") else keys).transpose(1, 2)
    rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb
    return _Sequence(rotate(keys[:, :0], keys, *turns)[1], values.transpose(1, 2))
