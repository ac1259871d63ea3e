"""Attention weights of one prompt, from the place that predicts the answer."""

import torch

from sellarec_lab.llm.backbone import LanguageModel
from sellarec_lab.llm.encode import Encoded, Encoder
from sellarec_lab.llm.score import SoftTokens, splice


@torch.no_grad()
def last_attention(
    lm: LanguageModel, encoder: Encoder, encoded: Encoded, soft: SoftTokens | None = None
) -> torch.Tensor:
    """How the last position spreads its attention over the L tokens: float32 [layers, heads, L], on the CPU.

    Fast attention kernels keep no weights, so this one forward runs with the plain implementation; the model's own
    is put back, also after an error.

    Raises:
        ValueError: the backbone has layers without attention weights.
    """
    lm.model.eval()
    batch = encoder.collate([encoded]).to(lm.device)
    usual = lm.base.config._attn_implementation
    lm.base.set_attn_implementation("eager")
    try:
        out = lm.base.base_model(
            inputs_embeds=splice(lm, batch, soft), attention_mask=batch.mask, output_attentions=True
        )
    finally:
        lm.base.set_attn_implementation(usual)
    maps = out.attentions or (None,)  # of each layer [1, heads, L, L]
    missing = [i for i, layer in enumerate(maps) if layer is None]
    if missing:
        raise ValueError(f"{lm.name}: layers {missing} of {len(maps)} give no attention weights; choose a transformer")
    return torch.stack([layer[0, :, -1].float().cpu() for layer in maps])
