"""MovieLens-1M, read once."""

from __future__ import annotations

import pytest
from by_hand import ML1M

from sellarec_lab import data as D


@pytest.fixture(scope="session")
def ml1m() -> D.Interactions:
    return D.load("ml-1m", ML1M)
