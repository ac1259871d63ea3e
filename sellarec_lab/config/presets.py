"""The tree that holds all settings, and the presets: one name for the whole tree."""

import dataclasses
from dataclasses import field
from typing import Any

from sellarec_lab.config.checked import Amount, Count, Folder, settings
from sellarec_lab.config.indices import IndexConfig
from sellarec_lab.config.kg import KGConfig, PathConfig, TripleConfig
from sellarec_lab.config.lcrec import LCRecConfig
from sellarec_lab.config.loop import LoopConfig
from sellarec_lab.config.settings import (
    CF_LOOP,
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
from sellarec_lab.config.tree import replace


@settings
class Preset:
    """The whole tree. One object describes a run; its hash is part of every artifact's key."""

    name: Folder  # of the folder that its artifacts lie in, too
    dataset: str
    seed: Amount = 0
    valid_rows: Count | None = None  # of users drawn once, that judge stages 1 and 3 and every method; None: all
    rank_users: Amount = 100  # for whom the table of all methods ranks the whole catalogue; 0: for nobody
    backbone: BackboneConfig = BackboneConfig()
    prompt: PromptConfig = PromptConfig()
    lora: LoraConfig = LoraConfig()
    mf: MFConfig = MFConfig()
    mf_plain: MFConfig = MFConfig(biases=False)  # matrix factorisation as the papers of this family train it
    lightgcn: LightGCNConfig = LightGCNConfig()
    sasrec: SASRecConfig = SASRecConfig()
    din: DINConfig = DINConfig()
    codes: CodesConfig = CodesConfig()
    rlfm: RLFMConfig = RLFMConfig()
    tuning: TuningConfig = TuningConfig()
    alignment: AlignmentConfig = AlignmentConfig()
    injection: InjectionConfig = InjectionConfig()
    indices: IndexConfig = IndexConfig()
    lcrec: LCRecConfig = LCRecConfig()
    next_item: NextItemConfig = NextItemConfig()
    neighbours: NeighboursConfig = NeighboursConfig()
    kg: KGConfig = KGConfig()
    artifacts: str = field(default="artifacts", metadata={"location": True})


def _loop(base: LoopConfig, **changes: Any) -> LoopConfig:
    return dataclasses.replace(base, **changes)


def _read_here(vocabulary: int, steps: int) -> BackboneConfig:
    """A mini-LLM that is pre-trained on the catalogue's own text."""
    mini = MiniLMConfig(hidden_size=128, layers=4, vocabulary=vocabulary, steps=steps, batch_size=32)
    return BackboneConfig(name="catalogue", pretraining=mini)


# No dropout in the adapters of small models: it draws a mask for every layer's input, a fifth of a step. Adapters on
# the attention alone: a quarter faster than on all layers, and no worse on valid once soft tokens are there.
_SMALL_LORA = LoraConfig(dropout=0.0, targets=("q_proj", "k_proj", "v_proj", "o_proj"))
# LC-Rec's paper tunes the whole model: here adapters on all its layers. On the attention alone they learn to read
# indices far more slowly.
_WHOLE_LORA = LoraConfig(r=32, alpha=64, dropout=0.0)
# Small graphs: an epoch has few steps. Models of triples: each the best on valid of six settings, three
# rates by two margins or dropouts.
_SMALL_PATHS = LoopConfig(learning_rate=6e-3, batch_size=128, epochs=16, weight_decay=0.0, evaluations=1, patience=5)
_SMALL_TRIPLES = _loop(_SMALL_PATHS, batch_size=64, epochs=40, patience=8, learning_rate=1e-1)
_SMALL_TRANSE = TripleConfig(
    decoder="transe", dropout=0.0, negatives=1024, margin=3.0, loop=_loop(_SMALL_TRIPLES, learning_rate=3e-2)
)
_TINY_KG = KGConfig(
    teacher=PathConfig(dim=64, negatives=0, loop=_SMALL_PATHS),
    student=PathConfig(dim=32, layers=1, negatives=0, dropout=0.3, loop=_loop(_SMALL_PATHS, learning_rate=2e-2)),
    distmult=TripleConfig(dropout=0.5, loop=_SMALL_TRIPLES),
    transe=_SMALL_TRANSE,
    rotate=dataclasses.replace(_SMALL_TRANSE, decoder="rotate", loop=_SMALL_TRIPLES),
)
_TINY = Preset(
    name="tiny",
    dataset="tiny",
    lora=_SMALL_LORA,
    lightgcn=LightGCNConfig(loop=_loop(CF_LOOP, weight_decay=0.3)),
    sasrec=SASRecConfig(dropout=0.2),
    din=DINConfig(loop=_loop(CF_LOOP, weight_decay=0.1)),
    codes=CodesConfig(loop=_loop(CF_LOOP, weight_decay=3.0)),
    indices=IndexConfig(codes=16),
    lcrec=LCRecConfig(lora=_WHOLE_LORA, loop=_loop(LCRecConfig().loop, batch_size=8, epochs=6)),
    next_item=NextItemConfig(dropout=0.2, loop=_loop(NextItemConfig().loop, learning_rate=3e-3, weight_decay=0.0)),
    neighbours=NeighboursConfig(fading=0.5, history=50),
    kg=_TINY_KG,
)
_ML1M_CPU = Preset(
    name="ml-1m-cpu",
    dataset="ml-1m",
    backbone=_read_here(vocabulary=4000, steps=6000),
    prompt=PromptConfig(template="tiny", history=8),
    lora=_SMALL_LORA,
    tuning=TuningConfig(loop=_loop(TuningConfig().loop, epochs=2)),
    mf=MFConfig(dim=16, loop=_loop(CF_LOOP, weight_decay=3.0)),
    mf_plain=MFConfig(dim=16, biases=False, loop=_loop(CF_LOOP, weight_decay=3.0)),
    lightgcn=LightGCNConfig(loop=_loop(CF_LOOP, weight_decay=3.0)),
    sasrec=SASRecConfig(loop=_loop(CF_LOOP, learning_rate=3e-3, weight_decay=5.0)),
    din=DINConfig(dropout=0.2, loop=_loop(CF_LOOP, weight_decay=0.1)),
    codes=CodesConfig(loop=_loop(CF_LOOP, weight_decay=0.3)),
    alignment=AlignmentConfig(loop=_loop(AlignmentConfig().loop, weight_decay=3.0)),
    indices=IndexConfig(codes=64),
    kg=KGConfig(graphs="mkr-movie"),
)
# For some thousands of rows: a smaller mini-LLM, and more epochs since each has few steps.
_OWN_LM = MiniLMConfig(hidden_size=64, layers=4, vocabulary=2000, steps=400, batch_size=32)
_OWN = dataclasses.replace(
    _ML1M_CPU,
    name="own",
    dataset="own",
    backbone=BackboneConfig(name="catalogue", pretraining=_OWN_LM),
    tuning=TuningConfig(loop=_loop(TuningConfig().loop, epochs=4)),
    injection=InjectionConfig(loop=_loop(InjectionConfig().loop, epochs=4)),
    kg=KGConfig(),
)
_SMOLLM2_LM = BackboneConfig(name="smollm2", quantisation="nf4", template="plain")
# Attention-only adapters, a plain prompt of some 70 tokens, and 10,000 of the 34,000 training rows a stage: what a CPU
# can afford. Up to eight candidates behind one history, up to two likes old, run once for what they share.
_SMOLLM2_LOOP = LoopConfig(learning_rate=5e-4, batch_size=32, epochs=1, rows=10_000, evaluations=1)
_SMOLLM2 = dataclasses.replace(
    _ML1M_CPU,
    name="smollm2",
    valid_rows=2000,
    rank_users=0,  # 3,255 prompts a user would be minutes
    backbone=_SMOLLM2_LM,
    prompt=PromptConfig(template="tiny", history=5),
    tuning=TuningConfig(branches=8, older=2, loop=_SMOLLM2_LOOP),
    injection=InjectionConfig(branches=8, older=2, loop=_SMOLLM2_LOOP),
)
_OFFICE = Preset(
    name="office",
    dataset="lc-rec",
    backbone=_read_here(vocabulary=3000, steps=1500),
    indices=IndexConfig(levels=3, codes=64),
    lcrec=LCRecConfig(
        vectors="mean", lora=_WHOLE_LORA, loop=_loop(LCRecConfig().loop, batch_size=16, epochs=10, rows=6000)
    ),
    next_item=NextItemConfig(dropout=0.2, loop=_loop(NextItemConfig().loop, weight_decay=1.0)),
    neighbours=NeighboursConfig(fading=0.5, history=5),
)
_QWEN_LOOP = LoopConfig(learning_rate=2e-4, batch_size=16, micro_batch=8, epochs=1, warmup=0.01)
_T4 = Preset(
    name="t4",
    dataset="ml-1m",
    backbone=BackboneConfig(name="Qwen/Qwen2.5-0.5B-Instruct", quantisation="nf4", gradient_checkpointing=True),
    prompt=PromptConfig(template="paper"),
    lora=LoraConfig(r=16, alpha=32),
    mf=MFConfig(dim=64),
    tuning=TuningConfig(loop=_QWEN_LOOP),
    alignment=AlignmentConfig(hidden=512),
    injection=InjectionConfig(loop=_loop(_QWEN_LOOP, learning_rate=5e-4)),
    indices=IndexConfig(levels=4, codes=64),
)
_PAPER = Preset(
    name="paper",
    dataset="ml-1m",
    backbone=BackboneConfig(name="Qwen/Qwen2-7B", quantisation="nf4", gradient_checkpointing=True, template="chat"),
    prompt=PromptConfig(template="paper"),
    lora=LoraConfig(r=64, alpha=16, dropout=0.05),
    mf=MFConfig(dim=256, biases=False, loop=_loop(MFConfig().loop, epochs=3000, patience=50)),
    tuning=TuningConfig(loop=LoopConfig(learning_rate=8e-5, batch_size=128, micro_batch=8, epochs=1, warmup=0.01)),
    alignment=AlignmentConfig(weight=1.0, hidden=1024, loop=_loop(AlignmentConfig().loop, epochs=3000, patience=50)),
    injection=InjectionConfig(
        trainable=("projector", "tables", "semantics"),
        loop=LoopConfig(learning_rate=2e-4, batch_size=300, micro_batch=5, epochs=1, warmup=0.0),
    ),
    indices=IndexConfig(
        method="rqvae", levels=4, codes=256, repair="sinkhorn", hidden=(2048, 1024, 512, 256, 128, 64),
        loop=_loop(IndexConfig().loop, epochs=10_000, patience=10_000),
    ),
    lcrec=LCRecConfig(
        vectors="mean", lora=LoraConfig(r=8, alpha=32, dropout=0.05),
        loop=LoopConfig(learning_rate=5e-5, batch_size=128, micro_batch=8, epochs=4, warmup=0.01, evaluations=1),
    ),
)  # fmt: skip


def preset(name: str, **changes: Any) -> Preset:
    """Return a preset with fields changed by name.

    Args:
        name: one of `PRESETS`.
        **changes: ``seed=1`` or, for a stage's field, ``injection__loop__epochs=3``.

    Raises:
        ValueError: unknown preset or field; the message lists the known names.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known presets: {', '.join(PRESETS)}")
    tree = PRESETS[name]
    for path, value in changes.items():
        tree = replace(tree, path, value)
    return tree


def faster(cfg: Preset, name: str) -> Preset:
    """The same code in seconds, for checks of the code; its numbers mean nothing."""
    small = ("mf", "mf_plain", "lightgcn", "sasrec", "din", "codes", "alignment", "indices", "next_item")
    cuts = {part: {"loop__epochs": 6} for part in small}
    short = LoopConfig(rows=640, batch_size=64, evaluations=1)
    cuts |= {part: {"loop": short} for part in ("tuning", "injection", "lcrec")}
    cuts["mf"] |= {"dim": 8}
    cuts["kg"] = {f"{part}__loop__epochs": 2 for part in ("teacher", "student", "distmult", "transe", "rotate")}
    cuts["alignment"] |= {"hidden": 32}
    cuts["prompt"] = {"history": 2}
    if cfg.backbone.pretraining is not None:
        cuts["backbone"] = {"pretraining__steps": 200}
    for part, changes in cuts.items():
        for path, value in changes.items():
            cfg = replace(cfg, f"{part}__{path}", value)
    cfg = dataclasses.replace(cfg, rank_users=min(cfg.rank_users, 10))
    return dataclasses.replace(cfg, name=name, dataset="tiny-part" if cfg.dataset == "tiny" else cfg.dataset)


# An epoch is cut, so that the target alone (a tenth of the paths) and a whole linked subgraph are judged equally often.
_DBP5L = Preset(
    name="dbp-5l",
    dataset="dbp-5l",
    kg=KGConfig(
        graphs="dbp-5l",
        teacher=PathConfig(loop=_loop(PathConfig().loop, rows=102_400)),
        student=PathConfig(dim=64, loop=_loop(PathConfig().loop, rows=44_000, epochs=40, patience=6)),
    ),
)


def _alone(name: str, many: int, few: int) -> Preset:
    """Models of triples on one graph: so many epochs for those of distances, so many for DistMult."""
    known = KGConfig()
    longer = {part: _longer(getattr(known, part), many) for part in ("transe", "rotate")}
    return Preset(name=name, dataset=name, kg=KGConfig(graphs=name, distmult=_longer(known.distmult, few), **longer))


def _longer(settings: TripleConfig, epochs: int) -> TripleConfig:
    return dataclasses.replace(settings, loop=_loop(settings.loop, epochs=epochs))


_SCIENTIFIC = dataclasses.replace(_OFFICE, name="scientific", neighbours=NeighboursConfig(fading=0.7, history=5))


def _written_by_smollm2(base: Preset) -> Preset:
    """The same lessons in larger steps, for a GPU of 24 GB: SmolLM2 reads the texts and writes the indices. (128 rows
    at once took 57 GB.)"""
    loop = _loop(base.lcrec.loop, batch_size=128, micro_batch=32, learning_rate=1e-3)
    lcrec = dataclasses.replace(base.lcrec, loop=loop)
    return dataclasses.replace(base, name=f"{base.name}-smollm2", backbone=_SMOLLM2_LM, lcrec=lcrec)


_SMOLLM2_WRITES = (_written_by_smollm2(_OFFICE), _written_by_smollm2(_SCIENTIFIC))
_GRAPHS = (_DBP5L, _alone("fb15k-237", 20, 8), _alone("wn18rr", 40, 8))
PRESETS = {
    p.name: p
    for p in (
        _TINY, faster(_TINY, "fast"), _ML1M_CPU, _OWN, _SMOLLM2, _OFFICE, _SCIENTIFIC, *_SMOLLM2_WRITES, *_GRAPHS, _T4,
        _PAPER,
    )
}  # fmt: skip
