"""How items get their indices (arXiv 2311.09049, section III-B)."""

from dataclasses import dataclass

from sellarec_lab.config.settings import LoopConfig, _require

METHODS = ("kmeans", "rqvae")
REPAIRS = ("exact", "sinkhorn", "none")


@dataclass(frozen=True)
class IndexConfig:
    """From vectors to codes: a quantiser, and what is done where several items get the same codes."""

    method: str = "kmeans"  # residual k-means, which needs no training; or "rqvae", the paper's
    levels: int = 3
    codes: int = 16  # of each level
    repair: str = "exact"  # no collision is left; "sinkhorn": the paper's way, which leaves some; or "none"
    hidden: tuple[int, ...] = (64,)  # widths of the encoder's inner layers; the decoder mirrors them
    width: int = 32  # of the space that is quantised (rqvae)
    beta: float = 0.25  # weight of the commitment term
    epsilon: float = 0.003  # entropy of the balanced assignment, where distances lie in [-1, 1]
    iterations: int = 50  # Sinkhorn steps
    balanced: bool = True  # the last level is assigned in balance while training
    loop: LoopConfig = LoopConfig(learning_rate=1e-3, batch_size=1024, epochs=300, weight_decay=1e-4, evaluations=1)

    def __post_init__(self):
        _require(self.method in METHODS, f"indices.method: {self.method!r} is unknown; known: {', '.join(METHODS)}")
        _require(self.repair in REPAIRS, f"indices.repair: {self.repair!r} is unknown; known: {', '.join(REPAIRS)}")
        _require(1 <= self.levels <= 26, f"indices.levels must be from 1 to 26, one letter each, got {self.levels}")
        _require(self.codes >= 2, f"indices.codes must be at least 2, got {self.codes}")
        _require(self.epsilon > 0, f"indices.epsilon must be positive, got {self.epsilon}")
