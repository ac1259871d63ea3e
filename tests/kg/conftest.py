"""DBP-5L's layout, small, on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from toy_graphs import dbp5l_files, written


@pytest.fixture
def dbp5l(tmp_path: Path) -> Path:
    return written(tmp_path / "open" / "DBP-5L", dbp5l_files())
