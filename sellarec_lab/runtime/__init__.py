"""Where and how things run, decided once and said aloud; random draws; files; and stages, whose results are kept."""

from sellarec_lab.runtime import stopping
from sellarec_lab.runtime.code import code_digest, function_digest
from sellarec_lab.runtime.decisions import (
    LIBRARIES,
    Decision,
    commit,
    describe,
    device,
    dtype,
    quantisation,
    versions,
    workers,
)
from sellarec_lab.runtime.draws import seed_everything, seeded
from sellarec_lab.runtime.files import (
    artifacts_folder,
    digest,
    file_digest,
    load_frame,
    load_tensors,
    read_json,
    save_frame,
    save_tensors,
    tensor_digest,
    write_text,
)
from sellarec_lab.runtime.pool import at_once, at_work
from sellarec_lab.runtime.processes import agree, is_main, wait
from sellarec_lab.runtime.saved import believed, look_at, saving
from sellarec_lab.runtime.stage import BORN_WITH, PeakMemory, Stage, births, costs, expect, nothing, stage, together

__all__ = [
    "BORN_WITH", "LIBRARIES", "Decision", "PeakMemory", "Stage", "agree", "artifacts_folder", "at_once", "at_work",
    "believed", "births", "code_digest", "commit", "costs", "describe", "device", "digest", "dtype", "expect",
    "file_digest", "function_digest", "is_main", "load_frame", "load_tensors", "look_at", "nothing",
    "quantisation", "read_json", "save_frame", "save_tensors", "saving", "seed_everything", "seeded", "stage",
    "stopping", "tensor_digest", "together", "versions", "wait", "workers", "write_text",
]  # fmt: skip
