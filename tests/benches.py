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


def toy_graphs(folder: Path) -> Path:
    """A graph of the toy's items in the layout of the embedded world, its kinds linked to an archive's."""
    films = "".join(f"film i{i}\tis\t{GENRES[i % 2]}\t{'valid' if i % 8 == 7 else 'train'}\n" for i in range(16))
    told = [(f"r{i}\tis\ta:{GENRES[i % 2]}", f"r{i}\tfrom\ta:era {i % 3}") for i in range(16)]
    archive = "".join(f"{fact}\ttrain\n" for facts in told for fact in facts)
    links = "".join(f"{genre}\ta:{genre}\n" for genre in GENRES)
    (folder / "graphs").mkdir(parents=True, exist_ok=True)
    for name, text in (("catalogue", films), ("archive", archive), ("links", links)):
        (folder / "graphs" / f"{name}.tsv").write_text(text)
    return folder


def toy_preset(backbone: Path | str, artifacts: Path | str) -> config.Preset:
    """Small in all that takes time; ``backbone`` is a folder with a language model."""
    loop = config.LoopConfig(batch_size=32, epochs=1, evaluations=1)
    cf = config.LoopConfig(learning_rate=1e-2, batch_size=64, epochs=3, evaluations=1)
    return config.preset(
        "tiny", artifacts=str(artifacts), backbone__name=str(backbone), tuning__loop=loop, injection__loop=loop,
        mf__loop=cf, alignment__loop=cf, mf__dim=4, alignment__hidden=12, lora__r=4,
        kg__root=str(toy_graphs(Path(artifacts) / "toy")), kg__teacher__loop__epochs=1, kg__student__loop__epochs=1,
    )  # fmt: skip


def ring() -> data.Interactions:
    """40 users who walk round a ring of 12 items: after item i comes item i + 1."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{(start + step) % 12}", 1, step, "train" if step < 7 else "valid" if step == 7 else "test")
        for user, start in enumerate(rng.integers(0, 12, 40))
        for step in range(9)
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "label", "timestamp", "split"])
    items = pd.DataFrame({"item_id": [f"i{i}" for i in range(12)], "title": [f"Film number {i}" for i in range(12)]})
    items["kind"], items["description"] = [f"colour {i % 3}" for i in range(12)], "A film."
    return data.from_frames(table, items, name="ring")


def next_preset(backbone: Path | str, artifacts: Path | str, **changes: object) -> config.Preset:
    """LC-Rec small in all that takes time."""
    loop = config.LoopConfig(learning_rate=1e-2, batch_size=32, epochs=60, evaluations=1, patience=60)
    small = {
        "indices": config.IndexConfig(levels=2, codes=6), "lcrec__loop": loop, "lcrec__lora": config.LoraConfig(
            r=8, dropout=0.0, targets=("q_proj", "k_proj", "v_proj", "o_proj")
        ),
        "lcrec__history": 6, "lcrec__beams": 6, "lcrec__decoder": config.MiniLMConfig(hidden_size=32, layers=2),
    }  # fmt: skip
    return config.preset("tiny", artifacts=str(artifacts), backbone__name=str(backbone), **small | changes)
