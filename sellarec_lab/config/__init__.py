"""Every setting of the lab as a value: one frozen dataclass a stage, one preset name for the whole tree.

``preset("tiny", seed=1)`` gives a tree and changes a field by name; fields of a stage are reached with a double
underscore, ``preset("tiny", injection__loop__epochs=2)``. Unknown names are refused with the list of known ones.
"""

from sellarec_lab.config.indices import IndexConfig
from sellarec_lab.config.kg import (
    COMBINATIONS,
    DECODERS,
    ENCODERS,
    DistillationConfig,
    KGConfig,
    PathConfig,
    TripleConfig,
)
from sellarec_lab.config.lcrec import TASKS, LCRecConfig
from sellarec_lab.config.loop import LoopConfig
from sellarec_lab.config.presets import PRESETS, Preset, faster, preset
from sellarec_lab.config.settings import (
    ALL_LINEAR,
    AlignmentConfig,
    BackboneConfig,
    CodesConfig,
    DINConfig,
    InjectionConfig,
    LightGCNConfig,
    LoraConfig,
    MFConfig,
    MiniLMConfig,
    NeighboursConfig,
    NextItemConfig,
    PromptConfig,
    RLFMConfig,
    SASRecConfig,
    TuningConfig,
)
from sellarec_lab.config.tree import as_dict, changed, replace

__all__ = [
    "ALL_LINEAR", "COMBINATIONS", "DECODERS", "ENCODERS", "PRESETS", "TASKS", "AlignmentConfig", "BackboneConfig",
    "CodesConfig", "DINConfig", "DistillationConfig", "IndexConfig", "InjectionConfig", "KGConfig", "LCRecConfig",
    "LightGCNConfig", "LoopConfig", "LoraConfig", "MFConfig", "MiniLMConfig", "NeighboursConfig", "NextItemConfig",
    "PathConfig", "Preset", "PromptConfig", "RLFMConfig", "SASRecConfig", "TripleConfig", "TuningConfig", "as_dict",
    "changed", "faster", "preset", "replace",
]  # fmt: skip
