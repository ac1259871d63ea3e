"""Questions whose answers are known by following the chain by hand."""

from __future__ import annotations

import torch
from cinemas_by_rule import cinemas

from sellarec_lab import config, kg, metrics


def by_hand(graph: kg.Graph, topic: int, chain: tuple[int, ...], triples) -> set[int]:
    here = {topic}
    facts = graph.with_inverses(triples).tolist()
    for relation in chain:
        here = {t for h, r, t in facts if r == relation and h in here}
    return here - {topic}


def test_answers_are_where_the_chain_leads() -> None:
    graph = cinemas()["there"]
    asked = kg.questions(graph, hops=3, most=200)
    assert len(asked) > 50 and set(asked["split"]) == {"train", "valid", "test"}
    for row in asked.itertuples():
        known, true = (by_hand(graph, row.topic, row.chain, part) for part in (graph.train, graph.triples))
        assert set(row.known) == known and set(row.answers) == true - known
        assert (row.split == "test") == bool(true - known)


def test_no_question_is_asked_twice_and_a_seed_decides() -> None:
    graph = cinemas()["there"]
    first, again, other = (kg.questions(graph, 3, 100, seed) for seed in (0, 0, 1))
    assert not first.duplicated(["topic", "chain"]).any()
    assert first.equals(again) and not first.equals(other)


def test_vectors_that_know_the_rule_answer_better_than_noise() -> None:
    """Each film's vector holds its genre, each genre's its own: "which genre has it?" is then read off."""
    graph = cinemas()["there"]
    asked, width = kg.questions(graph, hops=1, most=200), 12
    torch.manual_seed(0)
    noise = torch.randn(graph.n_entities, width)
    knows = 0.1 * noise
    for head, relation, tail in graph.triples.tolist():
        if graph.relations[relation] == "genre":
            knows[head, tail % 4] = knows[tail, tail % 4] = 3.0
    loop = config.LoopConfig(learning_rate=1e-2, epochs=200, weight_decay=0.0, evaluations=1, patience=200)
    ranks = [kg.learn_to_answer(v, graph, asked, loop) for v in (knows, noise, knows)]
    scores = [metrics.value(table, "mrr") for table in ranks]
    assert scores[0] > scores[1] + 0.3 and ranks[0].equals(ranks[2])


def test_chains_can_be_walked_and_many_relations_are_no_hurdle() -> None:
    """With 500 relations there are a billion chains of three, nearly all of which lead nowhere."""
    facts = [(f"e{i}", f"r{i}", f"e{i + 1}") for i in range(500)]
    graph = kg.from_triples("line", facts[::2] + facts[1::4], facts[3::8], facts[7::8])
    asked = kg.questions(graph, hops=3, most=50)
    assert (asked["split"] == "test").sum() == 50 and asked["chain"].nunique() > 50
