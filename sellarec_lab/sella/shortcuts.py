"""Each stage of SeLLa-Rec in one line, for notebooks: what is missing is made, and the result comes back."""

import torch

from sellarec_lab import alignment, collab, llm, runtime, semantics, training
from sellarec_lab.alignment import Aligned, Snapshots
from sellarec_lab.collab import MatrixFactorisation, Vectors
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions, both_classes
from sellarec_lab.projector import Projector
from sellarec_lab.runtime import Stage
from sellarec_lab.sella.injection import starting_projector
from sellarec_lab.sella.pipeline import Pipeline
from sellarec_lab.sella.recipes import Recipe, recipe
from sellarec_lab.sella.recommender import Recommender


def train(cfg: Preset, data: Interactions, recipe_name: str = "sella") -> Recommender:
    """Run every stage that a recipe needs, resuming what is there, and return the recommender."""
    return inject(cfg, data, recipe(recipe_name))


def inject(cfg: Preset, data: Interactions, method: Recipe, own: Vectors | None = None) -> Recommender:
    """The recommender of a recipe of your own, or with collaborative tables of your own; see `Pipeline`.

    Raises:
        DataError: train or valid with one label alone.
    """
    pipeline = Pipeline(cfg, data, method, own)
    both_classes(data)
    return pipeline.recommender.value()


def tune(cfg: Preset, data: Interactions) -> Stage:
    """Stage 1, finished: task tuning. Its folder holds ``adapter/`` and ``history.json``."""
    return Pipeline(cfg, data).tuning.made()


def tuned(cfg: Preset, data: Interactions) -> llm.LanguageModel:
    """The backbone with stage 1's adapter, frozen."""
    return llm.stored(cfg, data, tune(cfg, data).value())


def distil(cfg: Preset, data: Interactions) -> torch.Tensor:
    """Stage 2a: item semantics [n_items + 1, width] from the tuned language model."""
    return Pipeline(cfg, data).semantics.value()


def align(cfg: Preset, data: Interactions) -> Aligned:
    """Stage 2b: collaborative tables, semantic table and head, aligned."""
    return Pipeline(cfg, data).alignment.value()


def snapshots(cfg: Preset, data: Interactions) -> Snapshots:
    """Where the tokens stood during stage 2b. First the vectors of matrix factorisation alone, as `starting_head` sees
    them; the alignment itself starts from a collaborative model that knows nothing."""
    walk = alignment.load_snapshots(Pipeline(cfg, data).alignment.made())
    return walk.starting_from(train_collab(cfg, data).vectors(), starting_head(cfg, data))


def starting_head(cfg: Preset, data: Interactions) -> alignment.Head:
    """The head that stage 2b starts with; nobody has trained it."""
    table = semantics.centre(distil(cfg, data))
    return alignment.start(cfg.mf, cfg.alignment, data, table, cfg.seed)[1].head


def aligned_model(cfg: Preset, data: Interactions) -> MatrixFactorisation:
    """The collaborative model that the alignment leaves, as a rating model of its own."""
    model = collab.new(cfg.mf, data, cfg.seed)
    tensors, _ = runtime.load_tensors(Pipeline(cfg, data).alignment.made().path("mf.safetensors"))
    model.load_state_dict(tensors)
    return model.eval()


def train_collab(cfg: Preset, data: Interactions, name: str = "mf") -> collab.Pointwise:
    """A collaborative model alone; ``name`` is the preset's field that describes it ("mf", "lightgcn" ...)."""
    return collab.stage(cfg, data, name).value()


def new_projector(cfg: Preset, data: Interactions, method: Recipe, words: torch.Tensor) -> Projector:
    """What fills a recipe's soft tokens, as stage 3 starts it; ``words`` are the backbone's embeddings [V, width]."""
    return starting_projector(Pipeline(cfg, data, method), words)


def stages(cfg: Preset, data: Interactions, method: Recipe) -> dict[str, Stage]:
    """The stages of a recipe by name, in order; finished or not."""
    return Pipeline(cfg, data, method).stages()


def histories(cfg: Preset, data: Interactions, method: Recipe) -> dict[str, training.History]:
    """The training `History` of every finished stage of a recipe that has one."""
    found = {name: stage.path("history.json") for name, stage in stages(cfg, data, method).items() if stage.finished}
    return {n: training.History.from_json(p.read_text(encoding="utf-8")) for n, p in found.items() if p.is_file()}
