"""How fast links are learned and ranked: this lab beside PyKEEN, one machine, the same settings, in turns.

    python docs/links.py [FB15k-237.tar.gz] [--asked 500] [--rounds 3] [--dim 128] [--batch 256]

DistMult learns by the softmax over all entities, TransE by the self-adversarial loss with 32 negatives a triple; in
PyKEEN these are the loops called LCWA and sLCWA. An epoch is one of a graph cut to few triples, with all its entities;
ours clips gradients as well, which fails in PyKEEN 1.11.1. Then both rank the same test triples from both sides,
filtered, on the same weights: that they find the same is checked first. Prints the seconds of each and their ratio,
median and range. Without a path the archive is sought in SELLAREC_DATA, the folder that the tests read.

Part of PyKEEN's time is what the system takes to hand out [B, N, d] numbers anew each step, more on some machines than
on others; with MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=100000000000 before the command they are kept (glibc).
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from turns import in_turns, ratio

try:  # before the lab: PyKEEN lists optimisers by name, and stumbles over the second Adam that bitsandbytes brings
    from pykeen.evaluation import RankBasedEvaluator
    from pykeen.losses import CrossEntropyLoss, NSSALoss
    from pykeen.models import ERModel
    from pykeen.training import LCWATrainingLoop, SLCWATrainingLoop
    from pykeen.triples import CoreTriplesFactory
except ModuleNotFoundError:
    CoreTriplesFactory = None

from sellarec_lab import data, kg, runtime, training
from sellarec_lab.config import LoopConfig, TripleConfig
from sellarec_lab.kg.triple_learning import loss_and_batches

ARCHIVE = "FB15k-237.tar.gz"
RATE, NEGATIVES, MARGIN = 1e-3, 32, 9.0
TRIPLES = {"distmult": 1280, "transe": 12800}  # of train; twice as many rows with the inverse ones
EVALUATED = 32  # questions at once: what PyKEEN takes on a CPU, where more run out of memory
METRIC = "both.realistic.inverse_harmonic_mean_rank"


def settings_of(decoder: str, dim: int, batch: int) -> TripleConfig:
    """What both sides train."""
    loop = LoopConfig(learning_rate=RATE, batch_size=batch, epochs=1, weight_decay=0.0, warmup=0.0, schedule="constant")
    drawn = {"negatives": NEGATIVES, "own_negatives": True, "margin": MARGIN} if decoder == "transe" else {}
    return TripleConfig(decoder=decoder, dim=dim, dropout=0.0, loop=loop, **drawn)


def facts(graph: kg.Graph) -> CoreTriplesFactory:
    """The train triples as PyKEEN takes them."""
    return CoreTriplesFactory(graph.train, graph.n_entities, graph.n_relations, create_inverse_triples=True)


def twin(model: kg.TripleModel, graph: kg.Graph) -> nn.Module:
    """PyKEEN's model with the weights of ours; there relation r is 2 r, and its inverse 2 r + 1."""
    settings = model.settings
    loss = NSSALoss(margin=MARGIN, adversarial_temperature=settings.temperature)
    shape = {"shape": settings.dim}
    theirs = ERModel(
        triples_factory=facts(graph), interaction=settings.decoder, random_seed=0,
        loss=loss if settings.negatives else CrossEntropyLoss(),
        interaction_kwargs={"p": settings.norm} if settings.decoder == "transe" else None,
        entity_representations_kwargs=shape, relation_representations_kwargs=shape,
    )  # fmt: skip
    relations = model.relations.weight.unflatten(0, (2, -1)).transpose(0, 1).flatten(0, 1)
    theirs.entity_representations[0]._embeddings.weight.data.copy_(model.entities.weight)
    theirs.relation_representations[0]._embeddings.weight.data.copy_(relations)
    return theirs


def our_epoch(model: kg.TripleModel, graph: kg.Graph) -> None:
    training.fit(*loss_and_batches(model, graph), model.settings.loop, label=model.settings.decoder)


def their_epoch(model: nn.Module, graph: kg.Graph, settings: TripleConfig) -> None:
    optimizer, known = torch.optim.Adam(model.parameters(), lr=RATE), facts(graph)  # no decay: as AdamW
    kind, drawn = LCWATrainingLoop, {}
    if settings.negatives:
        kind, drawn = SLCWATrainingLoop, {"negative_sampler_kwargs": {"num_negs_per_pos": NEGATIVES}}
    kind(model=model, triples_factory=known, optimizer=optimizer, **drawn).train(
        known, num_epochs=1, batch_size=settings.loop.batch_size, use_tqdm=False, use_tqdm_batch=False,
    )  # fmt: skip


def our_mrr(model: kg.TripleModel, graph: kg.Graph, asked: int) -> float:
    """Of the first test triples."""
    table = kg.queries(graph)
    table = table[np.tile(np.arange(len(graph.test)) < asked, 2)]
    return kg.quality(kg.TripleGraphModel(model, graph).rank(table))["mrr"]


def their_mrr(model: nn.Module, graph: kg.Graph, asked: int) -> float:
    train, valid, test = (torch.from_numpy(graph.split(part)) for part in ("train", "valid", "test"))
    others = [train, valid, test[asked:]]
    found = RankBasedEvaluator(filtered=True).evaluate(
        model.eval(), test[:asked], batch_size=EVALUATED, additional_filter_triples=others, use_tqdm=False
    )
    return found.get_metric(METRIC)


def compare(what: str, rounds: int, **ways: Callable[[], object]) -> None:
    """Time the ways in turns and print the first one's advantage."""
    seconds = in_turns(rounds, ways)
    told = ", ".join(f"{name} {statistics.median(took):.2f} s" for name, took in seconds.items())
    print(f"{what:<24} {told}; {ratio(*seconds.values())}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", nargs="?", default=(data.at_hand("kg") or Path("data/kg")) / ARCHIVE)
    for name, default in (("asked", 500), ("rounds", 3), ("dim", 128), ("batch", 256)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    if CoreTriplesFactory is None:
        return print("links: not compared, PyKEEN is not installed; pip install pykeen")
    if not Path(args.archive).is_file():
        return print(
            f"links: not compared, {args.archive} is no file; give the path of {ARCHIVE}, or set SELLAREC_DATA"
        )
    graph = kg.load("fb15k-237", args.archive)["fb15k-237"]
    print(f"{runtime.device()}; {graph!r}")
    shuffled = np.random.default_rng(0).permutation(graph.train)
    for decoder, triples in TRIPLES.items():
        part = replace(graph, train=shuffled[:triples])
        settings = settings_of(decoder, args.dim, args.batch)
        ours = kg.TripleModel(graph.n_entities, graph.n_relations, settings)
        theirs = twin(ours, graph)
        found = our_mrr(ours, graph, args.asked), their_mrr(theirs, graph, args.asked)
        print(f"{decoder}: untrained, the same weights: MRR {found[0]:.6f} and {found[1]:.6f}")
        compare(
            f"{decoder}, ranking", args.rounds, ours=lambda m=ours: our_mrr(m, graph, args.asked),
            PyKEEN=lambda m=theirs: their_mrr(m, graph, args.asked),
        )  # fmt: skip
        compare(
            f"{decoder}, {triples} triples", args.rounds, ours=lambda m=ours, g=part: our_epoch(m, g),
            PyKEEN=lambda m=theirs, g=part, s=settings: their_epoch(m, g, s),
        )  # fmt: skip


if __name__ == "__main__":
    main()
