"""The stages of SeLLa-Rec (arXiv 2504.10107), each resumable: its result lies in an `Artifact` keyed by its inputs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from tqdm.auto import tqdm

from sellarec_lab import alignment, collab, config, llm, prompts, runtime, semantics, training
from sellarec_lab.alignment import Aligned, Head
from sellarec_lab.collab import MatrixFactorisation, Vectors
from sellarec_lab.config import Preset
from sellarec_lab.projector import HybridProjector
from sellarec_lab.runtime import Artifact
from sellarec_lab.sella.recipes import Recipe
from sellarec_lab.sella.recommender import Memory, Recommender


class Tokens(NamedTuple):
    """A split as model input: encoded prompts and labels, in frame order; the ids of the two answer tokens."""

    encoded: list[llm.Encoded]
    labels: list[int]
    answers: tuple[int, int]


def _artifact(cfg: Preset, data, stage: str, **inputs) -> Artifact:
    """The artifact of a stage; every key holds the data's hash and the seed."""
    facts = {"backbone": cfg.backbone.name, "revision": cfg.backbone.revision}
    return Artifact(cfg.artifacts, cfg.name, stage, {"data": data.fingerprint, "seed": cfg.seed, **inputs}, facts)


def _tree(part) -> dict:
    return config.as_dict(part)


def backbone_folder(cfg: Preset, data) -> Path | None:
    """Where a backbone that is pre-trained on the catalogue lies; pre-trains it when it is missing."""
    if cfg.backbone.name != "catalogue":
        return None
    settings = cfg.backbone.pretraining
    artifact = Artifact(cfg.artifacts, cfg.name, "backbone", {"data": data.fingerprint, "pretraining": _tree(settings)})
    if not artifact.finished:
        corpus = llm.CatalogueCorpus(data.items, data.train, settings.seed)
        history = llm.pretrain(settings, corpus.documents, artifact.path("model"))
        runtime.write_text(artifact.path("history.json"), history.to_json())
        artifact.finish(final_loss=history.records[-1]["loss"])
    return artifact.path("model")


def _backbone_inputs(cfg: Preset, data) -> dict:
    on = runtime.device().value
    quantisation = runtime.quantisation(cfg.backbone.quantisation, on).value
    dtype = runtime.dtype(cfg.backbone.dtype, on).value
    weights = ""
    if cfg.backbone.name == "embedded":
        weights = runtime.file_digest(llm.embedded_folder() / "model.safetensors")
    return {"backbone": _tree(cfg.backbone) | {"quantisation": quantisation, "dtype": dtype, "weights": weights}}


def load_backbone(cfg: Preset, data) -> llm.LanguageModel:
    """The backbone without an adapter."""
    return llm.load(cfg.backbone, backbone_folder(cfg, data))


def tokens(cfg: Preset, data, frame, encoder: llm.Encoder, slots: tuple[str, ...] = ()) -> Tokens:
    """Prompts of a frame's rows as model input."""
    template, titles = prompts.TEMPLATES[cfg.prompt.template], data.titles
    rows = zip(frame["user_id"], frame["item_id"], frame["history"], strict=True)
    many = [prompts.build(template, titles, u, i, h, slots, cfg.prompt.history) for u, i, h in rows]
    return Tokens(encoder.encode_many(many), frame["label"].tolist(), encoder.answers(many[0]))


def _train_on_answers(
    cfg: Preset, data, lm, stage: config.TuningConfig | config.InjectionConfig, slots, soft, artifact: Artifact, label
) -> training.History:
    """Optimise the answer's likelihood on train, judged on valid: the loop that stages 1 and 3 share."""
    encoder = llm.Encoder(lm.tokenizer, lm.template)
    train = tokens(cfg, data, data.train, encoder, slots)
    valid = tokens(cfg, data, data.valid, encoder, slots)
    whole = getattr(stage, "loss_on", "answer") == "prompt"
    objective = llm.AnswerLoss(lm, train.answers, soft, whole)

    def batches(epoch: int) -> list[llm.Batch]:
        chosen = llm.shuffled_batches(train.encoded, stage.loop.batch_size, cfg.seed, epoch, stage.loop.rows)
        return _LazyBatches(encoder, train, chosen)

    def validate() -> dict[str, float]:
        scores = llm.score(lm, encoder, valid.encoded, valid.answers, soft)
        return collab.ranking_quality(data.valid.assign(score=scores))

    return training.fit(
        objective, batches, stage.loop, label=label, seed=cfg.seed, validate=validate,
        checkpoint=artifact.path("checkpoint.safetensors"), precision=lm.decisions["dtype"].value,
    )  # fmt: skip


class _LazyBatches:
    """Batches that are padded when they are asked for; an epoch of ready tensors would fill the memory."""

    def __init__(self, encoder: llm.Encoder, rows: Tokens, chosen):
        self.encoder, self.rows, self.chosen = encoder, rows, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return _LazyBatches(self.encoder, self.rows, self.chosen[index])
        chosen = self.chosen[index]
        return self.encoder.collate([self.rows.encoded[i] for i in chosen], [self.rows.labels[i] for i in chosen])


def _tune_artifact(cfg: Preset, data) -> Artifact:
    parts = {"prompt": _tree(cfg.prompt), "lora": _tree(cfg.lora), "tuning": _tree(cfg.tuning)}
    return _artifact(cfg, data, "tuning", **_backbone_inputs(cfg, data), **parts)


def tune(cfg: Preset, data) -> Artifact:
    """Stage 1: LoRA on text-only prompts. Leaves ``adapter/`` and ``history.json``."""
    artifact = _tune_artifact(cfg, data)
    if not artifact.finished:
        lm = load_backbone(cfg, data)
        torch.manual_seed(cfg.seed)
        llm.attach(lm, cfg.lora, cfg.backbone.gradient_checkpointing)
        history = _train_on_answers(cfg, data, lm, cfg.tuning, (), None, artifact, "stage 1, task tuning")
        llm.save_adapter(lm, artifact.path("adapter"))
        _finish(artifact, history, backbone_commit=getattr(lm.base.config, "_commit_hash", None))
    return artifact


def _finish(artifact: Artifact, history: training.History, **facts) -> None:
    runtime.write_text(artifact.path("history.json"), history.to_json())
    artifact.finish(best=history.best, best_step=history.best_step, stopped=history.stopped, **facts)


def tuned(cfg: Preset, data) -> llm.LanguageModel:
    """The backbone with stage 1's adapter, frozen."""
    artifact = tune(cfg, data)
    lm = load_backbone(cfg, data)
    llm.load_adapter(lm, artifact.path("adapter"))
    llm.set_trainable(lm, False)
    lm.model.eval()
    return lm


def collab_artifact(cfg: Preset, data) -> Artifact:
    """The artifact of matrix factorisation alone, finished or not."""
    return _artifact(cfg, data, "collab", collab=_tree(cfg.collab))


def train_collab(cfg: Preset, data) -> MatrixFactorisation:
    """Matrix factorisation alone: the collaborative baseline, and the vectors of a CoLLM-like recipe."""
    artifact = collab_artifact(cfg, data)
    path = artifact.path("model.safetensors")
    if not artifact.finished:
        model, history = collab.train_mf(cfg.collab, data, cfg.seed)
        runtime.save_tensors(path, model.state_dict())
        _finish(artifact, history)
    model = MatrixFactorisation(data.n_users, data.n_items, cfg.collab.dim, cfg.collab.biases)
    model.load_state_dict(runtime.load_tensors(path)[0])
    return model.eval()


def distil(cfg: Preset, data) -> torch.Tensor:
    """Stage 2a: item semantics [n_items + 1, width] from the tuned language model."""
    upstream = _tune_artifact(cfg, data)
    artifact = _artifact(cfg, data, "semantics", tuning=upstream.key)
    path = artifact.path("semantics.safetensors")
    if not artifact.finished:
        lm = tuned(cfg, data)
        describe = prompts.TEMPLATES[cfg.prompt.template].describe
        vectors = semantics.distil(lm, llm.Encoder(lm.tokenizer, lm.template), data.titles, describe)
        runtime.save_tensors(path, {"semantics": vectors})
        artifact.finish(**semantics.spread(vectors))
    return runtime.load_tensors(path)[0]["semantics"]


def _align_artifact(cfg: Preset, data) -> Artifact:
    upstream = _tune_artifact(cfg, data)
    return _artifact(
        cfg, data, "alignment", tuning=upstream.key, collab=_tree(cfg.collab), alignment=_tree(cfg.alignment)
    )


def align(cfg: Preset, data) -> Aligned:
    """Stage 2b: collaborative tables, semantic table and head, aligned."""
    artifact = _align_artifact(cfg, data)
    path = artifact.path("aligned.safetensors")
    if not artifact.finished:
        table = semantics.centre(distil(cfg, data))
        aligned, _, history = alignment.align(cfg.collab, cfg.alignment, data, table, cfg.seed)
        parts = {"users": aligned.vectors.users, "items": aligned.vectors.items, "semantics": aligned.semantics}
        runtime.save_tensors(path, parts | {f"head.{n}": t for n, t in aligned.head.state_dict().items()})
        _finish(artifact, history)
    tensors, _ = runtime.load_tensors(path)
    head = Head(tensors["users"].shape[1], cfg.alignment.hidden, tensors["semantics"].shape[1])
    head.load_state_dict({n.removeprefix("head."): t for n, t in tensors.items() if n.startswith("head.")})
    return Aligned(Vectors(tensors["users"], tensors["items"]), tensors["semantics"], head)


def new_projector(cfg: Preset, data, recipe: Recipe, words: torch.Tensor) -> HybridProjector:
    """The projector as stage 3 starts it; ``words`` are the backbone's word embeddings [V, width]."""
    torch.manual_seed(cfg.seed)
    if recipe.vectors == "aligned":
        aligned = align(cfg, data)
        vectors, table, head = aligned.vectors, aligned.semantics, aligned.head
    else:
        vectors, table, head = train_collab(cfg, data).vectors(), semantics.centre(distil(cfg, data)), None
    if head is None or not recipe.warm_start:
        head = Head(vectors.users.shape[1], cfg.alignment.hidden, table.shape[1])
    projector = HybridProjector(vectors, table, head)
    if recipe.warm_start:
        projector.start_warm_at_identity()
    if cfg.injection.norm == "words":
        projector.match_norms(words)
    return projector


def _inject_artifact(cfg: Preset, data, recipe: Recipe) -> Artifact:
    upstream = {"tuning": _tune_artifact(cfg, data).key, "collab": _tree(cfg.collab), "alignment": _tree(cfg.alignment)}
    machine = {k: v for k, v in _tree(recipe).items() if k not in ("title", "source")}
    return _artifact(cfg, data, "injection", **upstream, injection=_tree(cfg.injection), recipe=machine)


def stage_artifacts(cfg: Preset, data, recipe: Recipe) -> dict[str, Artifact]:
    """The artifacts that a recipe rests on, by stage, in order; whether finished or not."""
    found = {"tuning": _tune_artifact(cfg, data)} if recipe.tuned else {}
    if recipe.slots:
        found["semantics"] = _artifact(cfg, data, "semantics", tuning=found["tuning"].key)
        aligned = recipe.vectors == "aligned"
        found |= {"alignment": _align_artifact(cfg, data)} if aligned else {"collab": collab_artifact(cfg, data)}
        found["injection"] = _inject_artifact(cfg, data, recipe)
    return found


def histories(cfg: Preset, data, recipe: Recipe) -> dict[str, training.History]:
    """The training `History` of every finished stage of a recipe that has one."""
    found = {stage: a.path("history.json") for stage, a in stage_artifacts(cfg, data, recipe).items() if a.finished}
    return {s: training.History.from_json(p.read_text(encoding="utf-8")) for s, p in found.items() if p.is_file()}


def inject(cfg: Preset, data, recipe: Recipe) -> Recommender:
    """Stage 3: train what fills the soft tokens; or nothing, for a recipe without slots."""
    memory = Memory.of(data)
    if not recipe.slots:
        lm = tuned(cfg, data) if recipe.tuned else load_backbone(cfg, data)
        return Recommender(lm, cfg.backbone, cfg.prompt, recipe, memory)
    artifact = _inject_artifact(cfg, data, recipe)
    parts = tuple(part for part in cfg.injection.trainable if part not in recipe.frozen)
    lm = tuned(cfg, data)
    projector = new_projector(cfg, data, recipe, lm.word_embeddings).to(lm.device)
    if not artifact.finished:
        projector.set_trainable(parts)
        llm.set_trainable(lm, "lora" in parts)
        history = _train_on_answers(
            cfg, data, lm, cfg.injection, recipe.slots, projector, artifact, f"stage 3, {recipe.title}"
        )
        runtime.save_tensors(artifact.path("projector.safetensors"), projector.state_dict())
        if "lora" in parts:
            llm.save_adapter(lm, artifact.path("adapter"))
        guard = _guard(tune(cfg, data).manifest["best"], history)
        tqdm.write(f"{recipe.title}: {guard}")
        _finish(artifact, history, guard=guard)
    projector.load_state_dict(runtime.load_tensors(artifact.path("projector.safetensors"))[0])
    if "lora" in parts:
        lm = load_backbone(cfg, data)
        llm.load_adapter(lm, artifact.path("adapter"))
    return Recommender(lm, cfg.backbone, cfg.prompt, recipe, memory, freeze(projector))


def freeze(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False).eval()


def _guard(before: float, history: training.History) -> str:
    """Stage 3 must not fall below stage 1 on valid; if it does, say so where the numbers are kept."""
    if history.best >= before:
        return f"ok: valid AUC {before:.4f} after stage 1, {history.best:.4f} after stage 3"
    return (
        f"stage 3 fell below stage 1 on valid ({history.best:.4f} < {before:.4f}): lower injection.loop.learning_rate, "
        "or check that soft tokens start at the norm of words (injection.norm='words')"
    )
