"""What comes next: baselines with known answers, SASRec on a ring, and all of them in the one table."""

import dataclasses

import benches
import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import collab, compare, data, metrics
from sellarec_lab.config import LoopConfig, NeighboursConfig, NextItemConfig


@pytest.fixture(scope="module")
def ring():
    return benches.ring()


@pytest.fixture(scope="module")
def sasrec(ring):
    loop = LoopConfig(learning_rate=1e-2, batch_size=20, epochs=30, evaluations=1, patience=30)
    settings = NextItemConfig(dim=16, layers=1, dropout=0.0, history=6, loop=loop)
    return collab.train_next_item(settings, ring)[0]


def test_popularity_counts_train_rows_and_is_the_same_for_everybody(ring):
    scores = collab.PopularNext(ring).score_catalogue([[1], [2, 3]])
    assert scores.shape == (2, 13) and (scores[0] == scores[1]).all() and scores[0, 0] == -np.inf
    assert scores[0, 1:].tolist() == [float((ring.train["item_id"] == i).sum()) for i in range(1, 13)]


def test_neighbours_are_cosines_over_users_faded_by_their_place(ring):
    model = collab.ItemNeighbours(ring, NeighboursConfig(fading=0.5))
    met = np.zeros((41, 13))
    met[ring.train["user_id"], ring.train["item_id"]] = 1
    unit = met / np.maximum(np.linalg.norm(met, axis=0), 1e-12)
    similar = unit.T @ unit
    np.fill_diagonal(similar, 0)
    expected = similar[4] + 0.5 * similar[9]
    np.testing.assert_allclose(model.score_catalogue([[9, 4]])[0, 1:], expected[1:], atol=1e-12)


def test_sasrec_learns_what_follows_and_ranks_it_first(sasrec, ring):
    ranks = sasrec.rank(data.next_items(ring, "test"))
    assert (ranks["rank"] == 1).mean() > 0.9 and (ranks["candidates"] == 12).all()


def test_an_item_that_no_sequence_holds_is_no_candidate_for_any_model(ring):
    """It has no index, so a model that writes could not name it, and the others would rank among more."""
    known = ring.items["external_id"].tolist()
    more = pd.concat([ring.items, pd.DataFrame({"external_id": ["new"], "title": ["New"]}, index=[13])])
    wider = dataclasses.replace(ring, items=more)
    assert wider.n_items == 13 and "new" not in known
    asked = data.next_items(wider, "test")
    assert set(asked["seen"]) == {(13,)} and set(data.next_items(ring, "test")["seen"]) == {()}
    assert (collab.PopularNext(wider).rank(asked)["candidates"] == 12).all()


def test_a_state_does_not_see_what_follows_it(sasrec):
    short, long = torch.tensor([[0, 0, 3, 4]]), torch.tensor([[0, 3, 4, 5]])
    with torch.no_grad():
        before = sasrec.states(short)[0, -1]
        padded = sasrec.states(torch.tensor([[3, 4]]))[0, -1]
        torch.testing.assert_close(before, padded)
        first = sasrec.states(long)[0, 2]
        other = sasrec.states(torch.tensor([[0, 3, 4, 9]]))[0, 2]
    torch.testing.assert_close(first, other)


def test_the_loss_is_cross_entropy_over_the_catalogue_at_every_known_place(sasrec):
    windows = torch.tensor([[0, 2, 5, 7]])
    with torch.no_grad():
        states = sasrec.states(windows[:, :-1])
        logits = states @ sasrec.items.weight.T
        expected = torch.nn.functional.cross_entropy(logits[0, 1:], torch.tensor([5, 7]))
        torch.testing.assert_close(sasrec(windows), expected)


def test_what_is_seen_is_no_candidate_and_equal_scores_share_their_rank(ring):
    class Flat(data.NextItemRanker):
        profiles = data.Profiles.of(ring)

        def score_catalogue(self, histories):
            scores = np.zeros((len(histories), 13))
            scores[:, 0] = -np.inf
            return scores

    asked = pd.DataFrame({"history": [(1,)], "seen": [(1, 2)], "targets": [(5,)]}, index=[3])
    ranks = Flat().rank(asked)
    assert ranks["candidates"].tolist() == [10] and ranks["rank"].tolist() == [5.5]
    assert len(Flat().recommend(3, k=50)) == 12 - len(set(Flat.profiles.seen[3]))


def test_models_of_next_items_stand_in_the_one_table(lm_folder, ring, tmp_path):
    loop = LoopConfig(batch_size=20, epochs=2, evaluations=1)
    cfg = benches.next_preset(lm_folder, tmp_path, lcrec__loop=loop, next_item__loop=loop)
    assert "lcrec" in compare.models_for(ring, "all") and "sella" not in compare.models_for(ring, "all")
    asked = [f"lcrec-template-{number}" for number in range(2, 6)]
    models = ["next-popularity", "item-knn", "sasrec-next", "tiger", "lcrec-seq", "lcrec-sinkhorn", "lcrec", *asked]
    scored = compare.run(cfg, ring, models)
    assert scored.failures == {}
    results, tests = compare.table(cfg, ring, scored, samples=20), compare.paired_tests(scored, "lcrec", samples=20)
    assert set(results["metric"]) == {*compare.LAST_ITEM.metrics, "survived", "exists"}
    assert results["value"].between(0, 1).all()
    seen = results[results["split"] == "decoding"].set_index(["model", "metric"])["value"]
    assert seen["lcrec", "survived"] == 1 and set(seen.index.get_level_values(0)) == {"tiger", *models[4:7]}
    assert set(tests["metric"]) == set(compare.NEXT_METRICS) and len(tests) == 2 * (len(models) - 1)
    cells = compare.cells(cfg, ring, scored)
    text = compare.section(results, tests, cells, "lcrec", "facts")
    told = results[(results["split"] == "test") & (results["metric"] == "hr@10")].set_index("model")["value"]
    assert f"mean ± standard deviation): HR@10 {told[['lcrec', *asked]].mean():.4f}" in text
    generous = results[results["split"] == compare.tables.UNCORRECTED].set_index(["model", "metric"])["value"]
    best = scored["next-popularity"][0].assign(rank=lambda ranks: ranks["best"])
    assert generous["next-popularity", "ndcg@10"] == pytest.approx(metrics.value(best, "ndcg@10"))
    assert metrics.value(best, "ndcg@10") > metrics.value(scored["next-popularity"][0], "ndcg@10") + 1e-3
    assert generous["next-popularity", "hr@10"] >= told["next-popularity"] and ("lcrec", "hr@10") not in generous
    assert (
        "HR@10, ties count as hits" in text
        and "LC-Rec, all tasks minus each" in text
        and "HR@10" in text
        and "nan" not in text
    )
    assert len(compare.summary(results)._repr_html_()) > 100


def test_data_of_ratings_become_sequences_once(toy, ring):
    assert data.as_sequences(ring) is ring
    assert data.as_sequences(toy).test["label"].all()
