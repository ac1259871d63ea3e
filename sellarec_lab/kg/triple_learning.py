"""Training a model of triples, and the stage that keeps it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from sellarec_lab import config, metrics, runtime, training
from sellarec_lab.config import Preset, TripleConfig
from sellarec_lab.kg.graph import Graph
from sellarec_lab.kg.ranking import queries
from sellarec_lab.kg.triples import Drawn, SelfAdversarial, Softmax, Told, TripleGraphModel, TripleModel
from sellarec_lab.runtime import Stage
from sellarec_lab.training import Batches, History, Monitor, Validation

JUDGE = Monitor("mrr")
_JUDGED = 1000  # so many valid triples judge a state, each from both sides


def train_triples(
    settings: TripleConfig, graph: Graph, seed: int = 0, checkpoint: Path | None = None
) -> tuple[TripleGraphModel, History]:
    """A model of the graph's train triples, stopped by filtered MRR on a fixed sample of valid; in its best state, on
    the CPU. Where valid is empty the last state is kept.

    Args:
        seed, checkpoint: as `training.fit` takes them.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    with runtime.seeded(seed, settings.decoder):
        model = TripleModel(graph.n_entities, graph.n_relations, settings)
    known = TripleGraphModel(model, graph)
    history = training.fit(
        *loss_and_batches(model, graph, seed), settings.loop, label=settings.decoder, seed=seed,
        validate=_judge(known), monitor=JUDGE, checkpoint=checkpoint,
    )  # fmt: skip
    model.cpu().eval()
    return known, history


def loss_and_batches(
    model: TripleModel, graph: Graph, seed: int = 0
) -> tuple[Softmax | SelfAdversarial, Callable[[int], Batches]]:
    """What `training.fit` takes: the loss that the model's settings ask for, and epoch -> its batches of train."""
    loss, batches = (SelfAdversarial, _drawn) if model.settings.negatives else (Softmax, _told)
    return loss(model), batches(graph, model.settings, seed)


def triple_stage(cfg: Preset, graph: Graph, settings: TripleConfig) -> Stage:
    """A model of a graph's triples as a stage; its value is the trained `TripleGraphModel`."""

    def make(stage: Stage) -> dict:
        known, history = train_triples(settings, graph, cfg.seed, stage.path("checkpoint.safetensors"))
        runtime.save_tensors(stage.path("model.safetensors"), known.model.state_dict())
        many = sum(parameter.numel() for parameter in known.model.parameters())
        return history.keep(stage.path("history.json")) | {"parameters": many}

    def read(stage: Stage) -> TripleGraphModel:
        model = TripleModel(graph.n_entities, graph.n_relations, settings)
        model.load_state_dict(runtime.load_tensors(stage.path("model.safetensors"))[0])
        return TripleGraphModel(model.eval(), graph)

    inputs = {"settings": config.as_dict(settings)}
    return runtime.stage(cfg, graph, f"kg-{settings.decoder}", inputs, make, read, code=(__name__,))


def _judge(known: TripleGraphModel) -> Validation | None:
    """MRR on the same valid triples each time, or None without any."""
    asked = queries(known.graph, "valid")
    triples = len(asked) // 2
    chosen = np.random.default_rng(0).permutation(triples)[:_JUDGED]
    asked = asked.iloc[np.concatenate([chosen, chosen + triples])]
    return (lambda: {JUDGE.name: metrics.value(known.rank(asked), JUDGE.name)}) if triples else None


def _told(graph: Graph, settings: TripleConfig, seed: int) -> Callable[[int], Batches]:
    """epoch -> batches of train's questions (head, relation), inverse ones too, each with all its answers."""
    triples, on = np.unique(graph.with_inverses(graph.train), axis=0), runtime.device().value
    asked, first, many = np.unique(triples[:, :2], axis=0, return_index=True, return_counts=True)

    def make(rows: np.ndarray) -> Told:
        answers = np.concatenate([np.arange(first[row], first[row] + many[row]) for row in rows])
        parts = (*asked[rows].T, np.repeat(np.arange(len(rows)), many[rows]), triples[answers, 2])
        return Told(*map(_tensor, parts)).to(on)

    return lambda epoch: Batches(_shuffled(len(asked), settings, [seed, epoch]), make)


def _drawn(graph: Graph, settings: TripleConfig, seed: int) -> Callable[[int], Batches]:
    """epoch -> batches of train's triples, inverse ones too, and entities drawn against them."""
    triples, on = graph.with_inverses(graph.train), runtime.device().value

    def batches(epoch: int) -> Batches:
        def make(rows: np.ndarray) -> Drawn:
            rng = np.random.default_rng([seed, epoch, int(rows[0])])
            many = (len(rows),) * settings.own_negatives + (settings.negatives,)
            parts = (*triples[rows].T, rng.integers(graph.n_entities, size=many))
            return Drawn(*map(_tensor, parts)).to(on)

        return Batches(_shuffled(len(triples), settings, [seed, epoch]), make)

    return batches


def _shuffled(n: int, settings: TripleConfig, seed: list[int]) -> list[np.ndarray]:
    """Numbers below n in steps, at most as many as the loop's ``rows``."""
    order = np.random.default_rng(seed).permutation(n)[: settings.loop.rows]
    size = settings.loop.batch_size
    return [order[i : i + size] for i in range(0, len(order), size)]


def _tensor(numbers: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(numbers))
