"""SeLLa-Rec from top to bottom (arXiv 2504.10107), as stages; its relatives leave some of them out."""

import functools
from dataclasses import dataclass
from pathlib import Path

import torch

from sellarec_lab import alignment, collab, config, llm, runtime, semantics
from sellarec_lab.collab import Vectors
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions
from sellarec_lab.prompts import template
from sellarec_lab.runtime import Stage
from sellarec_lab.sella.graph import graph_tables
from sellarec_lab.sella.injection import check_own, inject, recommender, text_writer
from sellarec_lab.sella.learning import learn_answers
from sellarec_lab.sella.recipes import SELLA, Recipe
from sellarec_lab.sella.recommender import Recommender

_LEARNING = ("sellarec_lab.sella.learning", "sellarec_lab.llm.stored")
_INJECTION = ("sellarec_lab.sella.injection", *_LEARNING)


@dataclass(eq=False)
class Pipeline:
    """The stages of a recipe on a data set. ``own`` are collaborative tables from any trainer, in the place of the
    recipe's (``collab.from_vectors(users, items).vectors()``), with a head that starts random.

    Raises:
        ValueError: own tables of another size than the data, or for a recipe that has no collaborative token.
    """

    cfg: Preset
    data: Interactions
    recipe: Recipe = SELLA
    own: Vectors | None = None

    def __post_init__(self):
        runtime.expect(self.cfg, self.data)
        self.cfg = self.recipe.applied(self.cfg)
        if self.own is not None:
            check_own(self.data, self.recipe, self.own)

    def _stage(self, name: str, parts: tuple[str, ...], make, read, *upstream: Stage, code=(), **inputs) -> Stage:
        """``parts`` are the preset's fields that decide the result."""
        settings = {part: config.as_dict(getattr(self.cfg, part)) for part in parts}
        settings |= {"template": config.as_dict(template(self.cfg.prompt.template))} if "prompt" in parts else {}
        return runtime.stage(self.cfg, self.data, name, settings | inputs, make, read, *upstream, code=code)

    # ---- stage 1

    @functools.cached_property
    def tuning(self) -> Stage:
        """Task tuning: LoRA on text-only prompts. Its value is the adapter's folder."""
        below, parts = llm.pretraining(self.cfg, self.data), ("prompt", "lora", "tuning", "valid_rows")
        backbone = llm.inputs(self.cfg)
        return self._stage("tuning", parts, self._tune, _adapter, *below, code=_LEARNING, **backbone)

    def _tune(self, stage: Stage) -> dict:
        lm, text = llm.stored(self.cfg, self.data), text_writer(self)
        with runtime.seeded(self.cfg.seed, "adapter"):
            llm.attach(lm, self.cfg.lora, self.cfg.backbone.gradient_checkpointing)
        history = learn_answers(self.cfg, self.data, lm, text, self.cfg.tuning, stage, "stage 1, task tuning")
        llm.save_adapter(lm, _adapter(stage))
        return history.keep(stage.path("history.json"))

    # ---- stage 2

    @functools.cached_property
    def semantics(self) -> Stage:
        """Distillation: what the tuned model says of every item, [n_items + 1, width]."""
        code = ("sellarec_lab.semantics", "sellarec_lab.llm.stored")
        return self._stage("semantics", (), self._distil, _semantics, self.tuning, code=code)

    def _distil(self, stage: Stage) -> dict:
        lm = llm.stored(self.cfg, self.data, self.tuning.value())
        vectors = semantics.distil(lm, text_writer(self))
        runtime.save_tensors(stage.path("semantics.safetensors"), {"semantics": vectors})
        return semantics.spread(vectors)

    @functools.cached_property
    def alignment(self) -> Stage:
        """Alignment: collaborative tables, semantics and head, pulled towards each other; see `Aligned`."""
        code = ("sellarec_lab.alignment", "sellarec_lab.semantics")
        return self._stage("alignment", ("mf", "alignment"), self._align, alignment.load, self.semantics, code=code)

    def _align(self, stage: Stage) -> dict:
        table, recorder, cfg = semantics.centre(self.semantics.value()), alignment.Recorder(), self.cfg
        checkpoint = stage.path("checkpoint.safetensors")
        aligned, mf, history = alignment.align(cfg.mf, cfg.alignment, self.data, table, cfg.seed, checkpoint, recorder)
        alignment.keep(stage, aligned, mf, recorder.finish(aligned, history))
        return history.keep(stage.path("history.json"))

    @property
    def tables(self) -> Stage:
        """Collaborative vectors: of the alignment, or of matrix factorisation alone; or what a graph makes of them."""
        made = self.alignment if self.recipe.aligned else collab.stage(self.cfg, self.data, "mf")
        return graph_tables(self, made) if self.recipe.graph else made

    @functools.cached_property
    def codes(self) -> Stage:
        """Binary codes, for recipes that tell them as text."""
        return collab.stage(self.cfg, self.data, "codes")

    # ---- stage 3

    @functools.cached_property
    def injection(self) -> Stage:
        """Injection: soft tokens enter the prompt, and what fills them learns from the answers."""
        own = [runtime.tensor_digest(table) for table in self.own or ()]
        inputs = {"recipe": self.recipe.machine(), "own": own, **llm.inputs(self.cfg)}
        parts = ("prompt", "injection", "valid_rows", *(["alignment"] if self.recipe.collaborative else []))
        return self._stage("injection", parts, self._inject, _adapter, *self._below(), code=_INJECTION, **inputs)

    def _inject(self, stage: Stage) -> dict:
        return inject(self, stage)

    @functools.cached_property
    def recommender(self) -> Stage:
        """The recommender that the stages leave; nothing is left to make."""
        last = [self.injection] if self.recipe.slots or self.recipe.codes else []
        code, inputs = ("sellarec_lab.sella.recommender",), {"recipe": self.recipe.machine(), **llm.inputs(self.cfg)}
        below = (*self._below(), *last)
        return self._stage("recommender", ("prompt",), runtime.nothing, self._recommender, *below, code=code, **inputs)

    def _recommender(self, stage: Stage) -> Recommender:
        return recommender(self, stage)

    def _below(self) -> list[Stage]:
        """The stages that stage 3 rests on, in order."""
        found = [self.tuning] if self.recipe.tuned else [*llm.pretraining(self.cfg, self.data)]
        if self.recipe.collaborative:
            found += [self.semantics] if self.own else [self.semantics, self.tables]
        return found + ([self.codes] if self.recipe.codes else [])

    def stages(self) -> dict[str, Stage]:
        """All stages by name, in order; the value of the last is the `Recommender`."""
        return {stage.name: stage for stage in (*self.recommender.upstream, self.recommender)}


def _adapter(stage: Stage) -> Path:
    return stage.path("adapter")


def _semantics(stage: Stage) -> torch.Tensor:
    return runtime.load_tensors(stage.path("semantics.safetensors"))[0]["semantics"]
