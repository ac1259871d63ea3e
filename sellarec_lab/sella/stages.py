"""The stages of SeLLa-Rec (arXiv 2504.10107), each resumable: its result lies in an `Artifact` keyed by its inputs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import nn
from tqdm.auto import tqdm

from sellarec_lab import alignment, collab, config, llm, prompts, runtime, semantics, training
from sellarec_lab.alignment import Aligned, Head
from sellarec_lab.collab import MatrixFactorisation, Vectors
from sellarec_lab.config import Preset
from sellarec_lab.projector import HybridProjector, SoftPrompt
from sellarec_lab.runtime import Artifact
from sellarec_lab.sella.answers import train_on_answers
from sellarec_lab.sella.recipes import Recipe
from sellarec_lab.sella.recommender import Codes, Memory, Recommender


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
    with artifact.claim() as missing:
        if not missing:
            return artifact.path("model")
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


def _tune_artifact(cfg: Preset, data) -> Artifact:
    parts = {"prompt": _tree(cfg.prompt), "lora": _tree(cfg.lora), "tuning": _tree(cfg.tuning)}
    return _artifact(cfg, data, "tuning", **_backbone_inputs(cfg, data), **parts)


def tune(cfg: Preset, data) -> Artifact:
    """Stage 1: LoRA on text-only prompts. Leaves ``adapter/`` and ``history.json``."""
    artifact = _tune_artifact(cfg, data)
    with artifact.claim() as missing:
        if not missing:
            return artifact
        lm = load_backbone(cfg, data)
        torch.manual_seed(cfg.seed)
        llm.attach(lm, cfg.lora, cfg.backbone.gradient_checkpointing)
        history = train_on_answers(cfg, data, lm, cfg.tuning, artifact, "stage 1, task tuning")
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


def collab_artifact(cfg: Preset, data, kind: str = "collab") -> Artifact:
    """The artifact of a collaborative model, finished or not; ``kind`` is the preset's field that describes it."""
    return _artifact(cfg, data, kind, collab=_tree(getattr(cfg, kind)))


def train_collab(cfg: Preset, data, kind: str = "collab") -> nn.Module:
    """A collaborative model alone: "collab" (matrix factorisation, also the vectors of a CoLLM-like recipe),
    "lightgcn", "sasrec", "din" or "codes"."""
    artifact, settings = collab_artifact(cfg, data, kind), getattr(cfg, kind)
    path = artifact.path("model.safetensors")
    with artifact.claim() as missing:
        if missing:
            model, history = collab.train(settings, data, cfg.seed)
            runtime.save_tensors(path, model.state_dict())
            _finish(artifact, history)
    model = collab.new(settings, data, cfg.seed)
    model.load_state_dict(runtime.load_tensors(path)[0])
    return model.eval()


def distil(cfg: Preset, data) -> torch.Tensor:
    """Stage 2a: item semantics [n_items + 1, width] from the tuned language model."""
    upstream = _tune_artifact(cfg, data)
    artifact = _artifact(cfg, data, "semantics", tuning=upstream.key)
    path = artifact.path("semantics.safetensors")
    with artifact.claim() as missing:
        if missing:
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
    with artifact.claim() as missing:
        if missing:
            aligned, mf, history = _align(cfg, data, artifact)
            parts = {"users": aligned.vectors.users, "items": aligned.vectors.items, "semantics": aligned.semantics}
            runtime.save_tensors(path, parts | {f"head.{n}": t for n, t in aligned.head.state_dict().items()})
            runtime.save_tensors(artifact.path("mf.safetensors"), mf.state_dict())
            _finish(artifact, history)
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
    artifact = _align_artifact(cfg, data)
    if not artifact.path("snapshots.safetensors").is_file():
        _align(cfg, data, artifact)
    return alignment.Snapshots(**runtime.load_tensors(artifact.path("snapshots.safetensors"))[0])


def aligned_model(cfg: Preset, data) -> MatrixFactorisation:
    """The collaborative model that the alignment leaves, as a rating model of its own."""
    align(cfg, data)
    model = collab.new(cfg.collab, data, cfg.seed)
    model.load_state_dict(runtime.load_tensors(_align_artifact(cfg, data).path("mf.safetensors"))[0])
    return model.eval()


def new_projector(
    cfg: Preset, data, recipe: Recipe, words: torch.Tensor, own: Vectors | None = None
) -> HybridProjector | SoftPrompt:
    """What fills a recipe's soft tokens, as stage 3 starts it; ``words`` are the backbone's word embeddings
    [V, width], ``own`` are collaborative tables that were made elsewhere (see `inject`)."""
    cfg = recipe.applied(cfg)
    torch.manual_seed(cfg.seed)
    if recipe.slots == ("prompt",):
        return SoftPrompt(words, prompts.PROMPT_TOKENS)
    if recipe.vectors == "aligned" and own is None:
        aligned = align(cfg, data)
        vectors, table, head = aligned.vectors, aligned.semantics, aligned.head
    else:
        vectors, table, head = own or train_collab(cfg, data).vectors(), semantics.centre(distil(cfg, data)), None
    if head is None or not recipe.warm_start:
        head = Head(vectors.users.shape[1], cfg.alignment.hidden, table.shape[1])
    projector = HybridProjector(vectors, table, head, taste="taste" in recipe.slots)
    if recipe.warm_start:
        projector.start_warm_at_identity()
    if cfg.injection.norm == "words":
        projector.match_norms(words, _bags(cfg, data) if projector.taste is not None else None)
    return projector


def _bags(cfg: Preset, data, rows: int = 512) -> torch.Tensor:
    """The histories that prompts of some train rows show, as item ids [rows, H]."""
    some = data.train[data.train["history"].map(len) > 0].head(rows)
    lists = [list(h[-cfg.prompt.history :]) for h in some["history"]]
    return nn.utils.rnn.pad_sequence([torch.tensor(h) for h in lists], batch_first=True)


def _inject_artifact(cfg: Preset, data, recipe: Recipe, own: Vectors | None = None) -> Artifact:
    upstream = {"collab": _tree(cfg.collab), "alignment": _tree(cfg.alignment), **_backbone_inputs(cfg, data)}
    upstream |= {"tuning": _tune_artifact(cfg, data).key} if recipe.tuned else {"prompt": _tree(cfg.prompt)}
    upstream |= {"codes": _tree(cfg.codes)} if recipe.codes else {}
    upstream |= {"own": [runtime.tensor_digest(table) for table in own]} if own else {}
    machine = {k: v for k, v in _tree(recipe).items() if k not in ("title", "source", "group", "changes")}
    return _artifact(cfg, data, "injection", **upstream, injection=_tree(cfg.injection), recipe=machine)


def stage_artifacts(cfg: Preset, data, recipe: Recipe) -> dict[str, Artifact]:
    """The artifacts that a recipe rests on, by stage, in order; whether finished or not."""
    cfg = recipe.applied(cfg)
    found = {"tuning": _tune_artifact(cfg, data)} if recipe.tuned else {}
    if recipe.codes:
        found["codes"] = collab_artifact(cfg, data, "codes")
    if recipe.slots and recipe.slots != ("prompt",):
        found["semantics"] = _artifact(cfg, data, "semantics", tuning=found["tuning"].key)
        aligned = recipe.vectors == "aligned"
        found |= {"alignment": _align_artifact(cfg, data)} if aligned else {"collab": collab_artifact(cfg, data)}
    if recipe.slots or recipe.codes:
        found["injection"] = _inject_artifact(cfg, data, recipe)
    return found


def histories(cfg: Preset, data, recipe: Recipe) -> dict[str, training.History]:
    """The training `History` of every finished stage of a recipe that has one."""
    found = {stage: a.path("history.json") for stage, a in stage_artifacts(cfg, data, recipe).items() if a.finished}
    return {s: training.History.from_json(p.read_text(encoding="utf-8")) for s, p in found.items() if p.is_file()}


def inject(cfg: Preset, data, recipe: Recipe, own: Vectors | None = None) -> Recommender:
    """Stage 3: train what fills the soft tokens; or nothing, for a recipe that shows text alone.

    ``own`` are collaborative tables from any trainer (``collab.from_vectors(users, items).vectors()``); they stand in
    the place of the recipe's, with a head that starts random.

    Raises:
        ValueError: own tables of another size than the data, or for a recipe that has no collaborative token.
    """
    if own is not None:
        _check_own(data, recipe, own)
    cfg = recipe.applied(cfg)
    codes = Codes.of_model(train_collab(cfg, data, "codes")) if recipe.codes else None
    memory = Memory.of(data, codes)
    lm = tuned(cfg, data) if recipe.tuned else load_backbone(cfg, data)
    folder = backbone_folder(cfg, data)
    backbone = cfg.backbone if folder is None else dataclasses.replace(cfg.backbone, name=str(folder))
    if not (recipe.slots or recipe.codes):
        return Recommender(lm, backbone, cfg.prompt, recipe, memory)
    artifact = _inject_artifact(cfg, data, recipe, own)
    parts = tuple(part for part in cfg.injection.trainable if part not in recipe.frozen)
    projector = new_projector(cfg, data, recipe, lm.word_embeddings, own).to(lm.device) if recipe.slots else None
    with artifact.claim() as missing:
        if missing:
            _train_injection(cfg, data, recipe, artifact, lm, projector, codes, parts)
    if projector is not None:
        projector.load_state_dict(runtime.load_tensors(artifact.path("projector.safetensors"))[0])
        freeze(projector)
    if "lora" in parts:
        lm = load_backbone(cfg, data)
        llm.load_adapter(lm, artifact.path("adapter"))
        llm.set_trainable(lm, False)
        lm.model.eval()
    return Recommender(lm, backbone, cfg.prompt, recipe, memory, projector)


def _check_own(data, recipe: Recipe, own: Vectors) -> None:
    if not set(recipe.slots) & {"user", "item"}:
        raise ValueError(f"{recipe.title} shows no collaborative token, so own tables would never be read")
    wanted, found = (data.n_users + 1, data.n_items + 1), (len(own.users), len(own.items))
    if wanted != found:
        raise ValueError(f"own tables have {found} rows (users, items), the data needs {wanted}; row 0 is padding")


def _train_injection(cfg: Preset, data, recipe: Recipe, artifact: Artifact, lm, projector, codes, parts) -> None:
    if projector is not None:
        projector.set_trainable(parts)
    if recipe.tuned:
        llm.set_trainable(lm, "lora" in parts)
    history = train_on_answers(
        cfg, data, lm, cfg.injection, artifact, f"stage 3, {recipe.title}", recipe.slots, projector, codes
    )
    if projector is not None:
        runtime.save_tensors(artifact.path("projector.safetensors"), projector.state_dict())
    if "lora" in parts:
        llm.save_adapter(lm, artifact.path("adapter"))
    facts = {}
    if recipe.tuned:
        facts["guard"] = _guard(tune(cfg, data).manifest["best"], history)
        tqdm.write(f"{recipe.title}: {facts['guard']}")
    _finish(artifact, history, **facts)


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
