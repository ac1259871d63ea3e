"""The toy bench: data whose answer is known by construction, and a preset that runs all stages on it in seconds."""

from pathlib import Path

import numpy as np
import pandas as pd

from sellarec_lab import config, data

GENRES = ("crime", "comedy")


def toy_data() -> data.Interactions:
    """24 users x 16 items; even users like even items."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(24):
        for moment, item in enumerate(rng.permutation(16)[:12]):
            rows.append((f"u{user}", f"i{item}", int(user % 2 == item % 2), moment * 100 + user))
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "label", "timestamp"])
    items = pd.DataFrame({"item_id": [f"i{i}" for i in range(16)], "title": [f"Film number {i}" for i in range(16)]})
    items["genres"] = [GENRES[i % 2] for i in range(16)]
    return data.from_frames(table, items, name="toy")


def toy_preset(backbone: Path | str, artifacts: Path | str) -> config.Preset:
    """Small in all that takes time; ``backbone`` is a folder with a language model."""
    loop = config.LoopConfig(batch_size=32, epochs=1, evaluations=1)
    cf = config.LoopConfig(learning_rate=1e-2, batch_size=64, epochs=3, evaluations=1)
    return config.preset(
        "tiny", artifacts=str(artifacts), backbone__name=str(backbone), tuning__loop=loop, injection__loop=loop,
        mf__loop=cf, alignment__loop=cf, mf__dim=4, alignment__hidden=8, lora__r=4,
    )  # fmt: skip
