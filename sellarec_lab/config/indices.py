"""Item indices (LC-Rec, arXiv 2311.09049): how vectors become codes, and what is done where two items share them."""

from dataclasses import dataclass

from sellarec_lab.config.loop import LoopConfig, require


@dataclass(frozen=True)
class IndexConfig:
    """An index is ``levels`` codes, each one of ``codes``. The first line decides whether anything is trained."""

    method: str = "kmeans"  # residual k-means, no training; or "rqvae", the paper's
    levels: int = 3
    codes: int = 32  # at each level
    repair: str = "exact"  # of shared indices: "exact" leaves none, "sinkhorn" is the paper's export, or "none"
    hidden: tuple[int, ...] = (128, 64)  # RQ-VAE: inner widths of the encoder; the decoder has them the other way round
    width: int = 32  # of the space that is quantised
    beta: float = 0.25  # weight of the commitment beside the codebook's own loss
    uniform: bool = True  # in training, items share out the codes of the last level evenly (uniform semantic mapping)
    epsilon: float = 0.003  # Sinkhorn's entropy, for distances scaled to [-1, 1]
    iterations: int = 50  # of Sinkhorn
    rounds: int = 20  # of the repair "sinkhorn"; what still shares an index afterwards is kept
    loop: LoopConfig = LoopConfig(
        learning_rate=1e-3, batch_size=1024, epochs=500, weight_decay=1e-4, warmup=0.005, evaluations=1, patience=500
    )

    def __post_init__(self):
        require(self.method in ("kmeans", "rqvae"), f"index method is 'kmeans' or 'rqvae', got {self.method!r}")
        known = self.repair in ("exact", "sinkhorn", "none")
        require(known, f"index repair is 'exact', 'sinkhorn' or 'none', got {self.repair!r}")
        require(1 <= self.levels <= 26, f"levels is 1 to 26, a letter each, got {self.levels}")
        for name in ("codes", "width", "iterations", "rounds"):
            value = getattr(self, name)
            require(value > 0, f"{name} must be positive, got {value}")
        require(all(width > 0 for width in self.hidden), f"hidden widths must be positive, got {self.hidden}")
        require(self.beta >= 0, f"beta must not be negative, got {self.beta}")
        require(self.epsilon > 0, f"epsilon must be positive, got {self.epsilon}")
