"""Item indices (LC-Rec, arXiv 2311.09049): how vectors become codes, and what is done where two items share them."""

from typing import Annotated, Literal

from pydantic import Field

from sellarec_lab.config.checked import Count, Positive, Weight, Widths, settings
from sellarec_lab.config.loop import LoopConfig


@settings
class IndexConfig:
    """An index is ``levels`` codes, each one of ``codes``. The first line decides whether anything is trained."""

    method: Literal["kmeans", "rqvae"] = "kmeans"  # residual k-means, no training; or "rqvae", the paper's
    levels: Annotated[int, Field(ge=1, le=26)] = 3  # a letter each
    codes: Count = 32  # at each level
    repair: Literal["exact", "sinkhorn", "none"] = (
        "exact"  # of shared indices: "exact" leaves none, "sinkhorn" is the paper's export, or "none"
    )
    hidden: Widths = (128, 64)  # RQ-VAE: inner widths of the encoder; the decoder has them the other way round
    width: Count = 32  # of the space that is quantised
    beta: Weight = 0.25  # weight of the commitment beside the codebook's own loss
    uniform: bool = True  # in training, items share out the codes of the last level evenly (uniform semantic mapping)
    epsilon: Positive = 0.003  # Sinkhorn's entropy, for distances scaled to [-1, 1]
    iterations: Count = 50  # of Sinkhorn
    rounds: Count = 20  # of the repair "sinkhorn"; what still shares an index afterwards is kept
    loop: LoopConfig = LoopConfig(
        learning_rate=1e-3, batch_size=1024, epochs=500, weight_decay=1e-4, warmup=0.005, evaluations=1, patience=500
    )
