"""What the stages of a recipe took: time and memory, as their manifests tell."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from sellarec_lab.runtime import Artifact


def memory_table(stages: Mapping[str, Artifact]) -> pd.DataFrame:
    """Seconds and peak memory of every stage: DataFrame ``finished, seconds, peak_gb`` indexed by stage.

    The last row adds the seconds of the finished stages and takes the largest peak. ``peak_gb`` is the resident size
    of the whole process in GiB while the stage ran; a manifest that does not tell, and an unfinished stage, give NaN.

    Args:
        stages: from `sella.stage_artifacts`.

    Raises:
        ValueError: no stage.
    """
    if not stages:
        raise ValueError("stages is empty: expected artifacts by the name of their stage; a text prompt has none")
    rows = []
    for stage, artifact in stages.items():
        told = artifact.manifest if artifact.finished else {}
        rows.append((stage, artifact.finished, told.get("seconds"), told.get("peak_gb")))
    table = pd.DataFrame(rows, columns=["stage", "finished", "seconds", "peak_gb"]).set_index("stage")
    table = table.astype({"seconds": float, "peak_gb": float})
    table.loc["all"] = [bool(table["finished"].all()), table["seconds"].sum(), table["peak_gb"].max()]
    return table
