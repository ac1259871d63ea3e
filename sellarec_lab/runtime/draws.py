"""Random draws: each follows from a seed and a name, and from nothing that was drawn before."""

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextlib.contextmanager
def seeded(seed: int, name: str) -> Iterator[None]:
    """Inside the block torch draws what ``seed`` and ``name`` decide, and nothing that was drawn before; outside, the
    draws go on as if the block had not been."""
    on = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=on):
        torch.manual_seed(int(hashlib.sha256(f"{seed}/{name}".encode()).hexdigest()[:15], 16))
        yield
