"""Stages 1 and 2 of SeLLa-Rec (arXiv 2504.10107), each resumable: results are kept by what went into them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sellarec_lab import alignment, collab, config, llm, prompts, runtime, semantics, training
from sellarec_lab.alignment import Aligned, Head
from sellarec_lab.collab import MatrixFactorisation, Vectors
from sellarec_lab.config import Preset
from sellarec_lab.runtime import Artifact
from sellarec_lab.sella.answers import train_on_answers


def stage_artifact(cfg: Preset, data, stage: str, **inputs) -> Artifact:
    """The artifact of a stage; every key holds the data's hash and the seed."""
    facts = {"backbone": cfg.backbone.name, "revision": cfg.backbone.revision}
    return Artifact(cfg.artifacts, cfg.name, stage, {"data": data.fingerprint, "seed": cfg.seed, **inputs}, facts)


def backbone_folder(cfg: Preset, data) -> Path | None:
    """Where a backbone that is pre-trained on the catalogue lies; pre-trains it when it is missing."""
    if cfg.backbone.name != "catalogue":
        return None
    settings = cfg.backbone.pretraining
    artifact = Artifact(
        cfg.artifacts, cfg.name, "backbone", {"data": data.fingerprint, "pretraining": config.as_dict(settings)}
    )
    with artifact.claim() as missing:
        if not missing:
            return artifact.path("model")
        corpus = llm.CatalogueCorpus(data.items, data.train, settings.seed)
        history = llm.pretrain(settings, corpus.documents, artifact.path("model"))
        runtime.write_text(artifact.path("history.json"), history.to_json())
        artifact.finish(final_loss=history.records[-1]["loss"])
    return artifact.path("model")


def backbone_inputs(cfg: Preset, data) -> dict:
    on = runtime.device().value
    quantisation = runtime.quantisation(cfg.backbone.quantisation, on).value
    dtype = runtime.dtype(cfg.backbone.dtype, on).value
    weights = ""
    if cfg.backbone.name == "embedded":
        weights = runtime.file_digest(llm.embedded_folder() / "model.safetensors")
    return {
        "backbone": config.as_dict(cfg.backbone) | {"quantisation": quantisation, "dtype": dtype, "weights": weights}
    }


def load_backbone(cfg: Preset, data) -> llm.LanguageModel:
    """The backbone without an adapter."""
    return llm.load(cfg.backbone, backbone_folder(cfg, data))


def tuning_artifact(cfg: Preset, data) -> Artifact:
    parts = {
        "prompt": config.as_dict(cfg.prompt),
        "lora": config.as_dict(cfg.lora),
        "tuning": config.as_dict(cfg.tuning),
    }
    return stage_artifact(cfg, data, "tuning", **backbone_inputs(cfg, data), **parts)


def tune(cfg: Preset, data) -> Artifact:
    """Stage 1: LoRA on text-only prompts. Leaves ``adapter/`` and ``history.json``."""
    artifact = tuning_artifact(cfg, data)
    with artifact.claim() as missing:
        if not missing:
            return artifact
        lm = load_backbone(cfg, data)
        with runtime.seeded(cfg.seed, "adapter"):
            llm.attach(lm, cfg.lora, cfg.backbone.gradient_checkpointing)
        history = train_on_answers(cfg, data, lm, cfg.tuning, artifact, "stage 1, task tuning")
        llm.save_adapter(lm, artifact.path("adapter"))
        finish(artifact, history, backbone_commit=getattr(lm.base.config, "_commit_hash", None))
    return artifact


def finish(artifact: Artifact, history: training.History, **facts) -> None:
    runtime.write_text(artifact.path("history.json"), history.to_json())
    artifact.finish(best=history.best, best_step=history.best_step, stopped=history.stopped, **facts)


def tuned(cfg: Preset, data) -> llm.LanguageModel:
    """The backbone with stage 1's adapter, frozen."""
    return load_adapted(cfg, data, tune(cfg, data).path("adapter"))


def load_adapted(cfg: Preset, data, adapter: Path | None) -> llm.LanguageModel:
    """The backbone with a saved adapter, if there is one, frozen."""
    lm = load_backbone(cfg, data)
    if adapter is not None:
        llm.load_adapter(lm, adapter)
        llm.set_trainable(lm, False)
        lm.model.eval()
    return lm


def collab_artifact(cfg: Preset, data, kind: str = "collab") -> Artifact:
    """The artifact of a collaborative model, finished or not; ``kind`` is the preset's field that describes it."""
    return stage_artifact(cfg, data, kind, collab=config.as_dict(getattr(cfg, kind)))


def train_collab(cfg: Preset, data, kind: str = "collab") -> nn.Module:
    """A collaborative model alone: "collab" (matrix factorisation, also the vectors of a CoLLM-like recipe),
    "lightgcn", "sasrec", "din" or "codes"."""
    artifact, settings = collab_artifact(cfg, data, kind), getattr(cfg, kind)
    path = artifact.path("model.safetensors")
    with artifact.claim() as missing:
        if missing:
            model, history = collab.train(settings, data, cfg.seed)
            runtime.save_tensors(path, model.state_dict())
            finish(artifact, history)
    model = collab.new(settings, data, cfg.seed)
    model.load_state_dict(runtime.load_tensors(path)[0])
    return model.eval()


def distil(cfg: Preset, data) -> torch.Tensor:
    """Stage 2a: item semantics [n_items + 1, width] from the tuned language model."""
    upstream = tuning_artifact(cfg, data)
    artifact = stage_artifact(cfg, data, "semantics", tuning=upstream.key)
    path = artifact.path("semantics.safetensors")
    with artifact.claim() as missing:
        if missing:
            lm = tuned(cfg, data)
            describe = prompts.TEMPLATES[cfg.prompt.template].describe
            vectors = semantics.distil(lm, llm.Encoder(lm.tokenizer, lm.template), data.titles, describe)
            runtime.save_tensors(path, {"semantics": vectors})
            artifact.finish(**semantics.spread(vectors))
    return runtime.load_tensors(path)[0]["semantics"]


def alignment_artifact(cfg: Preset, data) -> Artifact:
    upstream = tuning_artifact(cfg, data)
    return stage_artifact(
        cfg,
        data,
        "alignment",
        tuning=upstream.key,
        collab=config.as_dict(cfg.collab),
        alignment=config.as_dict(cfg.alignment),
    )


def align(cfg: Preset, data) -> Aligned:
    """Stage 2b: collaborative tables, semantic table and head, aligned."""
    artifact = alignment_artifact(cfg, data)
    path = artifact.path("aligned.safetensors")
    with artifact.claim() as missing:
        if missing:
            aligned, mf, history = _align(cfg, data, artifact)
            parts = {"users": aligned.vectors.users, "items": aligned.vectors.items, "semantics": aligned.semantics}
            runtime.save_tensors(path, parts | {f"head.{n}": t for n, t in aligned.head.state_dict().items()})
            runtime.save_tensors(artifact.path("mf.safetensors"), mf.state_dict())
            finish(artifact, history)
    tensors, _ = runtime.load_tensors(path)
    head = Head(tensors["users"].shape[1], cfg.alignment.hidden, tensors["semantics"].shape[1])
    head.load_state_dict({n.removeprefix("head."): t for n, t in tensors.items() if n.startswith("head.")})
    return Aligned(Vectors(tensors["users"], tensors["items"]), tensors["semantics"], head)


def _align(cfg: Preset, data, artifact: Artifact) -> tuple[Aligned, MatrixFactorisation, training.History]:
    """Train stage 2b; leaves its snapshots in the artifact."""
    table, recorder = semantics.centre(distil(cfg, data)), alignment.Recorder()
    aligned, mf, history = alignment.align(cfg.collab, cfg.alignment, data, table, cfg.seed, recorder=recorder)
    runtime.save_tensors(artifact.path("snapshots.safetensors"), recorder.finish(aligned, history)._asdict())
    return aligned, mf, history


def snapshots(cfg: Preset, data) -> alignment.Snapshots:
    """Where the tokens stood during stage 2b; where they are missing, it is trained once more, the same way."""
    align(cfg, data)
    artifact = alignment_artifact(cfg, data)
    if not artifact.path("snapshots.safetensors").is_file():
        _align(cfg, data, artifact)
    return alignment.Snapshots(**runtime.load_tensors(artifact.path("snapshots.safetensors"))[0])


def aligned_model(cfg: Preset, data) -> MatrixFactorisation:
    """The collaborative model that the alignment leaves, as a rating model of its own."""
    align(cfg, data)
    model = collab.new(cfg.collab, data, cfg.seed)
    model.load_state_dict(runtime.load_tensors(alignment_artifact(cfg, data).path("mf.safetensors"))[0])
    return model.eval()
