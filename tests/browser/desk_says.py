"""What a bench says of itself in the browser: the step that was done, and the answers in its strip."""

from __future__ import annotations

import re


def step(desk, said: str) -> None:
    """Wait until the bench says what was done; ``said`` is a pattern for its beginning."""
    desk.get_by_text(re.compile(f"^{said}")).first.wait_for()


def chances(desk) -> list[str]:
    """P(Yes) of each model that is shown, as it stands there."""
    return re.findall(r"P\(Yes\) = (\d\.\d+)", desk.inner_text())
