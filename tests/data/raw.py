"""Amazon's raw layout in miniature."""

from __future__ import annotations

import gzip
import json
from pathlib import Path


def review(user: str, item: str, time: int, stars: float = 5.0, **more: object) -> dict:
    return {"overall": stars, "reviewerID": user, "asin": item, "unixReviewTime": time} | more


def write(path: Path, records: list[dict | str | bytes], dump=json.dumps) -> Path:
    """One object a line; text and bytes stand as they are; gzip if the name says so."""
    lines = [r if isinstance(r, bytes) else (r if isinstance(r, str) else dump(r)).encode() for r in records]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path
