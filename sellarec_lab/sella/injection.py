"""Stage 3 of SeLLa-Rec and its relatives: soft tokens enter the prompt, and what fills them learns from the answers."""

from __future__ import annotations

import dataclasses

import torch
from torch import nn
from tqdm.auto import tqdm

from sellarec_lab import config, llm, prompts, runtime, semantics, training
from sellarec_lab.alignment import Head
from sellarec_lab.collab import Vectors
from sellarec_lab.config import Preset
from sellarec_lab.projector import HybridProjector, SoftPrompt
from sellarec_lab.runtime import Artifact
from sellarec_lab.sella.answers import train_on_answers
from sellarec_lab.sella.recipes import Recipe
from sellarec_lab.sella.recommender import Codes, Memory, Recommender
from sellarec_lab.sella.stages import (
    align,
    alignment_artifact,
    backbone_folder,
    backbone_inputs,
    collab_artifact,
    distil,
    finish,
    load_adapted,
    load_backbone,
    stage_artifact,
    train_collab,
    tune,
    tuned,
    tuning_artifact,
)


def new_projector(
    cfg: Preset, data, recipe: Recipe, words: torch.Tensor, own: Vectors | None = None
) -> HybridProjector | SoftPrompt:
    """What fills a recipe's soft tokens, as stage 3 starts it; ``words`` are the backbone's word embeddings
    [V, width], ``own`` are collaborative tables that were made elsewhere (see `inject`)."""
    cfg = recipe.applied(cfg)
    if recipe.slots == ("prompt",):
        with runtime.seeded(cfg.seed, "learned prompt"):
            return SoftPrompt(words, prompts.PROMPT_TOKENS)
    if recipe.aligned and own is None:
        aligned = align(cfg, data)
        vectors, table, head = aligned.vectors, aligned.semantics, aligned.head
    else:
        vectors, table, head = own or train_collab(cfg, data).vectors(), semantics.centre(distil(cfg, data)), None
    if head is None or "head" not in recipe.aligned:
        with runtime.seeded(cfg.seed, "head"):
            head = Head(vectors.users.shape[1], cfg.alignment.hidden, table.shape[1])
    with runtime.seeded(cfg.seed, "semantic map"):
        projector = HybridProjector(vectors, table, head, taste="taste" in recipe.slots)
    if recipe.semantic_map == "identity":
        projector.start_at_identity()
    if cfg.injection.norm == "words":
        projector.match_norms(words, _bags(cfg, data) if projector.taste is not None else None)
    return projector


def _bags(cfg: Preset, data, rows: int = 512) -> torch.Tensor:
    """The histories that prompts of some train rows show, as item ids [rows, H]."""
    some = data.train[data.train["history"].map(len) > 0].head(rows)
    lists = [list(h[-cfg.prompt.history :]) for h in some["history"]]
    return nn.utils.rnn.pad_sequence([torch.tensor(h) for h in lists], batch_first=True)


def _inject_artifact(cfg: Preset, data, recipe: Recipe, own: Vectors | None = None) -> Artifact:
    upstream = {
        "collab": config.as_dict(cfg.collab),
        "alignment": config.as_dict(cfg.alignment),
        **backbone_inputs(cfg, data),
    }
    upstream |= {"tuning": tuning_artifact(cfg, data).key} if recipe.tuned else {"prompt": config.as_dict(cfg.prompt)}
    upstream |= {"codes": config.as_dict(cfg.codes)} if recipe.codes else {}
    upstream |= {"own": [runtime.tensor_digest(table) for table in own]} if own else {}
    told_elsewhere = ("title", "source", "group", "changes")
    machine = {k: v for k, v in config.as_dict(recipe).items() if k not in told_elsewhere}
    return stage_artifact(cfg, data, "injection", **upstream, injection=config.as_dict(cfg.injection), recipe=machine)


def stage_artifacts(cfg: Preset, data, recipe: Recipe) -> dict[str, Artifact]:
    """The artifacts that a recipe rests on, by stage, in order; whether finished or not."""
    cfg = recipe.applied(cfg)
    found = {"tuning": tuning_artifact(cfg, data)} if recipe.tuned else {}
    if recipe.codes:
        found["codes"] = collab_artifact(cfg, data, "codes")
    if recipe.slots and recipe.slots != ("prompt",):
        found["semantics"] = stage_artifact(cfg, data, "semantics", tuning=found["tuning"].key)
        aligned = recipe.aligned
        found |= {"alignment": alignment_artifact(cfg, data)} if aligned else {"collab": collab_artifact(cfg, data)}
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
    folder = backbone_folder(cfg, data)
    backbone = cfg.backbone if folder is None else dataclasses.replace(cfg.backbone, name=str(folder))
    adapter = tune(cfg, data).path("adapter") if recipe.tuned else None
    projector = None
    if recipe.slots or recipe.codes:
        artifact = _inject_artifact(cfg, data, recipe, own)
        with artifact.claim() as missing:
            if missing:
                _train_injection(cfg, data, recipe, artifact, codes, own)
        if "lora" in _parts(cfg, recipe):
            adapter = artifact.path("adapter")
    lm = load_adapted(cfg, data, adapter)
    if recipe.slots:
        projector = new_projector(cfg, data, recipe, lm.word_embeddings, own).to(lm.device)
        projector.load_state_dict(runtime.load_tensors(artifact.path("projector.safetensors"))[0])
        freeze(projector)
    return Recommender(lm, backbone, cfg.prompt, recipe, Memory.of(data, codes), projector)


def _parts(cfg: Preset, recipe: Recipe) -> tuple[str, ...]:
    """What stage 3 trains."""
    return tuple(part for part in cfg.injection.trainable if part not in recipe.frozen)


def _check_own(data, recipe: Recipe, own: Vectors) -> None:
    if not set(recipe.slots) & {"user", "item"}:
        raise ValueError(f"{recipe.title} shows no collaborative token, so own tables would never be read")
    wanted, found = (data.n_users + 1, data.n_items + 1), (len(own.users), len(own.items))
    if wanted != found:
        raise ValueError(f"own tables have {found} rows (users, items), the data needs {wanted}; row 0 is padding")


def _train_injection(cfg: Preset, data, recipe: Recipe, artifact: Artifact, codes, own: Vectors | None) -> None:
    lm, parts = (tuned(cfg, data) if recipe.tuned else load_backbone(cfg, data)), _parts(cfg, recipe)
    projector = new_projector(cfg, data, recipe, lm.word_embeddings, own).to(lm.device) if recipe.slots else None
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
    finish(artifact, history, **facts)


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
