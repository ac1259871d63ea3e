"""Stage 3 of SeLLa-Rec and its relatives: what fills the soft tokens, how it learns, and the recommender it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from tqdm.auto import tqdm

from sellarec_lab import llm, projector, runtime, semantics, training
from sellarec_lab.alignment import Aligned, Head, procrustes
from sellarec_lab.collab import Vectors
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions, Profiles, shown_titles
from sellarec_lab.projector import FILLERS, Projector
from sellarec_lab.prompts import PROMPT_TOKENS, CodeWords, Writer
from sellarec_lab.runtime import Stage
from sellarec_lab.sella.learning import learn_answers
from sellarec_lab.sella.recipes import Recipe
from sellarec_lab.sella.recommender import Recommender
from sellarec_lab.training import EmbeddingTable

if TYPE_CHECKING:
    from sellarec_lab.sella.pipeline import Pipeline


def inject(pipeline: Pipeline, stage: Stage) -> dict:
    """Train what fills the soft tokens, and the adapter where it may join in; facts for the manifest."""
    cfg, data, recipe = pipeline.cfg, pipeline.data, pipeline.recipe
    lm = llm.stored(cfg, data, pipeline.tuning.value() if recipe.tuned else None)
    soft = starting_projector(pipeline, lm.word_embeddings) if recipe.slots else None
    trained = tuple(part for part in cfg.injection.trainable if part not in recipe.frozen)
    llm.set_trainable(lm, "lora" in trained)
    if soft is not None:
        soft.set_trainable(trained)
    label = f"stage 3, {recipe.title}"
    history = learn_answers(cfg, data, lm, writer(pipeline), cfg.injection, stage, label, soft)
    if soft is not None:
        soft.save(stage.path("projector.safetensors"))
    if "lora" in trained:
        llm.save_adapter(lm, stage.path("adapter"))
    told = {"guard": guard(pipeline.tuning.manifest["best"], history)} if recipe.tuned else {}
    for fact in told.values():
        tqdm.write(f"{recipe.title}: {fact}")
    return history.keep(stage.path("history.json")) | told


def recommender(pipeline: Pipeline, stage: Stage) -> Recommender:
    """What the stages leave: the last adapter, the projector, and what writes the prompts."""
    cfg, data, recipe = pipeline.cfg, pipeline.data, pipeline.recipe
    adapters = [below.path("adapter") for below in stage.upstream if below.path("adapter").is_dir()]
    lm, soft = llm.stored(cfg, data, adapters[-1] if adapters else None), None
    if recipe.slots:
        soft = projector.load(pipeline.injection.made().path("projector.safetensors")).to(lm.device)
    writes, backbone = writer(pipeline), llm.ready(cfg, data)
    return Recommender(lm, backbone, cfg.prompt, recipe, Profiles.of(data, writes.titles), soft, writes)


def text_writer(pipeline: Pipeline) -> Writer:
    """What writes prompts without soft tokens."""
    prompt = pipeline.cfg.prompt
    return Writer.of(prompt, shown_titles(pipeline.data, prompt.titles))


def writer(pipeline: Pipeline) -> Writer:
    """What writes a recipe's prompts."""
    codes = CodeWords.of(pipeline.codes.value().codes()) if pipeline.recipe.codes else None
    return Writer.of(pipeline.cfg.prompt, text_writer(pipeline).titles, pipeline.recipe.slots, codes)


def starting_projector(pipeline: Pipeline, words: torch.Tensor) -> Projector:
    """What fills a recipe's soft tokens, as stage 3 starts it; ``words`` are the backbone's embeddings [V, width]."""
    given = None
    if pipeline.recipe.collaborative:
        made = pipeline.own or pipeline.tables.value()
        given = made if isinstance(made, Aligned) else None
        if given is None:
            vectors = pipeline.own or made.vectors()
            given = Aligned(vectors, semantics.centre(pipeline.semantics.value()), None)
    return new_projector(pipeline.cfg, pipeline.data, pipeline.recipe, words, given)


def new_projector(
    cfg: Preset, data: Interactions, recipe: Recipe, words: torch.Tensor, given: Aligned | None = None
) -> Projector:
    """What fills a recipe's soft tokens, as stage 3 starts it.

    Args:
        words: the backbone's word embeddings [V, width]; the projector lies on their device.
        given: collaborative tables, item semantics, and the head of stage 2b, or None for one that starts random.
    """
    fillers = {kind: FILLERS[kind] for kind in recipe.slots}
    parts: dict[str, nn.Module] = {}
    if "prompt" in fillers:
        with runtime.seeded(cfg.seed, "learned prompt"):
            parts["prompt"] = projector.learned_prompt(words, PROMPT_TOKENS)
    if given is not None:
        parts |= _collaborative(cfg, recipe, given)
    new = Projector(parts, fillers).to(words.device)
    if cfg.injection.norm == "words":
        new.match_norms(words, _bags(cfg, data) if any(filler.pooled for filler in fillers.values()) else None)
    return new


def _collaborative(cfg: Preset, recipe: Recipe, given: Aligned) -> dict[str, nn.Module]:
    """Tables and maps of users, items and what items mean."""
    (users, items), table, head = given
    if head is None or "head" not in recipe.aligned:
        with runtime.seeded(cfg.seed, "head"):
            head = Head(users.shape[1], cfg.alignment.hidden, table.shape[1])
        if recipe.head == "procrustes":
            head.begin_as(*procrustes(items, table))
    tables = {"users": users, "items": items, "semantics": table}
    parts = {name: EmbeddingTable(values) for name, values in tables.items()} | {"head": head}
    maps = {filler.map for filler in FILLERS.values() if filler.table == "semantics"}
    return parts | {name: _semantic_map(cfg, recipe, table.shape[1]) for name in sorted(maps, reverse=True)}


def _semantic_map(cfg: Preset, recipe: Recipe, width: int) -> nn.Linear:
    with runtime.seeded(cfg.seed, "semantic map"):
        return projector.identity(width) if recipe.semantic_map == "identity" else nn.Linear(width, width)


def _bags(cfg: Preset, data: Interactions, rows: int = 512) -> torch.Tensor:
    """The histories that prompts of some train rows show, as item ids [rows, H]."""
    some = data.train[data.train["history"].map(len) > 0].head(rows)
    lists = [list(h[-cfg.prompt.history :]) for h in some["history"]]
    return nn.utils.rnn.pad_sequence([torch.tensor(h) for h in lists], batch_first=True)


def check_own(data: Interactions, recipe: Recipe, own: Vectors) -> None:
    """Refuse collaborative tables from elsewhere that can't be used.

    Raises:
        ValueError: another size than the data's, or a recipe without a collaborative token.
    """
    if not {"users", "items"} & {FILLERS[kind].table for kind in recipe.slots}:
        raise ValueError(f"{recipe.title} shows no collaborative token, so own tables would never be read")
    wanted, found = (data.n_users + 1, data.n_items + 1), (len(own.users), len(own.items))
    if wanted != found:
        raise ValueError(f"own tables have {found} rows (users, items), the data needs {wanted}; row 0 is padding")


def guard(before: float, history: training.History) -> str:
    """Stage 3 must not fall below stage 1 on valid; if it does, say so where the numbers are kept."""
    if history.best >= before:
        return f"ok: valid AUC {before:.4f} after stage 1, {history.best:.4f} after stage 3"
    return (
        f"stage 3 fell below stage 1 on valid ({history.best:.4f} < {before:.4f}): lower injection.loop.learning_rate, "
        "or check that soft tokens start at the norm of words (injection.norm='words')"
    )
