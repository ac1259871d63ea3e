"""Multi-hop questions over a graph with gaps: the second task that a trained model's vectors serve.

A question is an entity and a chain of relations, as in "which genres have the films of this one's director?"; its
answers are all entities that the chain leads to. Questions whose answers follow from train are learned; asked are those
with an answer that hangs on a fact held out, and for those answers alone (incomplete graphs, as in EmbedKGQA, ACL
2020). The questions are made by rule and have no words. What reads them is this project's choice.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn

from sellarec_lab import metrics, runtime, training
from sellarec_lab.config import LoopConfig
from sellarec_lab.kg.graph import Graph
from sellarec_lab.training import Batches

LOOP = LoopConfig(learning_rate=3e-3, batch_size=128, epochs=30, weight_decay=0.0, evaluations=1, patience=6)
_CHAINS = 300  # most chains of relations
_WIDEST = 30  # most answers of a question


def questions(graph: Graph, hops: int = 2, most: int = 4000, seed: int = 0) -> pd.DataFrame:
    """Questions of a graph: ``topic``; ``chain``, the relations (from n_relations on: inverse); ``known``, the answers
    that train tells; ``answers``, those that hang on held-out facts; ``split``: test where there are such, the others
    train and, one in ten, valid.

    A topic is no answer to its own question, and questions with more than 30 answers are not asked. At most ``most``
    questions with a held-out answer, and three times as many without.
    """
    rng = np.random.default_rng([seed, hops])
    told, full = (_steps(graph, part) for part in (graph.train, graph.triples))
    rows = pd.concat([_of_chain(chain, told, full) for chain in _chains(graph, hops, rng)], ignore_index=True)
    asked = rows["answers"].map(len) > 0
    plain = ~asked & (rows["known"].map(len) > 0)
    some = [rows[asked].sample(min(most, asked.sum()), random_state=rng)]
    some.append(rows[plain].sample(min(3 * most, plain.sum()), random_state=rng))
    table = pd.concat(some, ignore_index=True)
    split = np.where(rng.random(len(table)) < 0.1, "valid", "train")
    return table.assign(split=np.where(table["answers"].map(len) > 0, "test", split))


def _chains(graph: Graph, hops: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Chains that somebody can walk, drawn by walking: most of all that can be put together lead nowhere."""
    facts = graph.with_inverses(graph.triples)
    facts = facts[np.argsort(facts[:, 0], kind="stable")]
    first, last = (np.searchsorted(facts[:, 0], np.arange(graph.n_entities), side) for side in ("left", "right"))
    here = facts[rng.integers(len(facts), size=4 * _CHAINS)]
    walked = [here[:, 1]]
    for _ in range(hops - 1):
        stands = here[:, 2]
        here = facts[rng.integers(first[stands], last[stands])]
        walked.append(here[:, 1])
    found = np.unique(np.stack(walked, axis=1), axis=0)
    return [tuple(chain) for chain in rng.permutation(found)[:_CHAINS].tolist()]


def _steps(graph: Graph, triples: np.ndarray) -> list[sparse.csr_array]:
    """Relation, either way -> who leads to whom, [n_entities, n_entities]."""
    head, relation, tail = graph.with_inverses(triples).T
    shape = (graph.n_entities, graph.n_entities)
    of = [relation == number for number in range(2 * graph.n_relations)]
    return [sparse.csr_array((np.ones(o.sum()), (head[o], tail[o])), shape=shape) for o in of]


def _of_chain(chain: tuple[int, ...], told: list[sparse.csr_array], full: list[sparse.csr_array]) -> pd.DataFrame:
    """A question for every entity that the chain leads somewhere from."""
    known, true = (_followed(chain, steps) for steps in (told, full))
    many = np.diff(true.indptr)
    topics = np.flatnonzero((many > 0) & (many <= _WIDEST))
    rows = [(known.indices[known.indptr[t] : known.indptr[t + 1]], true.indices[true.indptr[t] : true.indptr[t + 1]])
            for t in topics]  # fmt: skip
    return pd.DataFrame({
        "topic": topics, "chain": [chain] * len(topics), "known": [tuple(k.tolist()) for k, _ in rows],
        "answers": [tuple(np.setdiff1d(t, k).tolist()) for k, t in rows],
    })  # fmt: skip


def _followed(chain: tuple[int, ...], steps: list[sparse.csr_array]) -> sparse.csr_array:
    way = steps[chain[0]]
    for relation in chain[1:]:
        way = way @ steps[relation]
    way = way.tocoo()
    elsewhere = way.row != way.col
    return sparse.csr_array((way.data[elsewhere], (way.row[elsewhere], way.col[elsewhere])), shape=way.shape)


class Reader(nn.Module):
    """A question to logits over entities: a GRU reads the chain, an MLP joins it with the topic, and the result is
    compared with entity vectors, which stay as they are; ``forward`` is the cross-entropy with all answers alike."""

    def __init__(self, vectors: torch.Tensor, n_relations: int):
        super().__init__()
        width = vectors.shape[1]
        self.register_buffer("vectors", F.normalize(vectors, dim=1) * width**0.5)
        self.relations = nn.Embedding(2 * n_relations, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.join = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def score(self, topics: torch.Tensor, chains: torch.Tensor) -> torch.Tensor:
        """Topics [B] and chains [B, hops] to logits [B, n_entities]."""
        asked, topic = self.gru(self.relations(chains))[1][0], self.vectors[topics]
        return self.join(torch.cat([topic, asked, topic * asked], dim=1)) @ self.vectors.T

    def forward(self, batch: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
        topics, chains, answers = batch
        return F.cross_entropy(self.score(topics, chains), answers / answers.sum(1, keepdim=True))


def learn_to_answer(
    vectors: torch.Tensor, graph: Graph, asked: pd.DataFrame, loop: LoopConfig = LOOP, seed: int = 0,
    checkpoint: Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Train a `Reader` on entity vectors [n_entities, d] and rank the held-out answers.

    Returns:
        `Ranks` of test's answers among all entities, every other answer left out.
    """
    with runtime.seeded(seed, "reader of questions"):
        reader = Reader(vectors, graph.n_relations)
    valid, monitor = asked[asked["split"] == "valid"], training.Monitor("mrr")
    training.fit(
        reader, _batches(asked[asked["split"] == "train"], graph.n_entities, loop, seed), loop, label="questions",
        seed=seed, validate=lambda: {"mrr": metrics.value(_ranks(reader, valid, "known"), "mrr")}, monitor=monitor,
        checkpoint=checkpoint,
    )  # fmt: skip
    return _ranks(reader, asked[asked["split"] == "test"], "answers")


def _batches(rows: pd.DataFrame, n_entities: int, loop: LoopConfig, seed: int) -> Callable[[int], Batches]:
    topics, chains = torch.tensor(rows["topic"].to_numpy()), torch.tensor(rows["chain"].tolist())
    row = np.repeat(np.arange(len(rows)), rows["known"].map(len))
    answers = sparse.csr_array((np.ones(len(row)), (row, np.concatenate(rows["known"].to_numpy()))),
                               shape=(len(rows), n_entities), dtype=np.float32)  # fmt: skip
    on = runtime.device().value

    def make(some: np.ndarray) -> tuple[torch.Tensor, ...]:
        given = torch.from_numpy(some)
        parts = topics[given], chains[given], torch.from_numpy(answers[some].toarray())
        return tuple(part.to(on) for part in parts)

    def batches(epoch: int) -> Batches:
        order = np.random.default_rng([seed, epoch]).permutation(len(rows))
        return Batches([order[i : i + loop.batch_size] for i in range(0, len(order), loop.batch_size)], make)

    return batches


@torch.no_grad()
def _ranks(reader: Reader, rows: pd.DataFrame, wanted: str) -> pd.DataFrame:
    on = reader.vectors.device
    topics, chains = torch.tensor(rows["topic"].to_numpy()).to(on), torch.tensor(rows["chain"].tolist()).to(on)
    scores = reader.score(topics, chains).float().cpu().numpy()
    others = rows["known"].tolist() if wanted == "answers" else None
    return metrics.rank_targets(scores, rows[wanted].tolist(), excluded=others, filtered=True)
