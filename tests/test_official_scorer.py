"""The replay of the released scorer: wrong pairings derived by hand, and the counts of MovieLens-1M."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from official_scorer import replay

from sellarec_lab import collab, data, metrics

ML1M = Path(os.environ.get("SELLAREC_DATA", Path(__file__).parents[2] / "shared" / "data")) / "ml-1m" / "ml-1m.zip"
TITLES = ["", "Alien", "No Way Out", "Nosferatu", "Yes, Madam", "House of Yes, The", "No"]


def rows(histories, labels=(1, 0, 1, 0), scores=(0.6, 0.5, 0.2, 0.9), users=(1, 1, 2, 2)) -> pd.DataFrame:
    return pd.DataFrame({"user_id": users, "history": histories, "label": labels, "score": scores})


def test_without_such_titles_it_is_the_plain_metric():
    rng = np.random.default_rng(0)
    frame = rows([(1, 3, 5)] * 300, rng.integers(0, 2, 300), rng.normal(size=300), rng.integers(0, 20, 300))
    got = replay(frame, TITLES, batch_size=7)
    assert got.auc == metrics.auc(frame["label"], frame["score"])
    assert got.uauc == metrics.uauc(frame["user_id"], frame["label"], frame["score"])
    assert got.users == len(metrics.scorable_users(frame["user_id"], frame["label"]))
    assert got[3:] == (300, 300, 0, -1)


def test_one_extra_word_shifts_the_rest_of_its_batch():
    """Batch 1 reads Yes No [No] a0 Yes [No] a1: a title and an instruction are taken for answers, both with label 0.

    Left are labels 0 0 1 0 and scores 0 −∞ 0.2 0.9: user 1 drops out, and user 2 is the wrong way round.
    """
    frame = rows([(2,), (1,), (1,), (1,)])
    assert replay(frame, TITLES, batch_size=2) == (2 / 3, 0, 1, 4, 4, 2, 0)
    assert replay(frame, TITLES, batch_size=1) == (1 / 3, 0, 1, 4, 4, 1, 0)  # [No] | a1 | a2 | a3
    low = frame.assign(score=[1, 1, -0.5, 0.9])  # now it matters whether the title's No is foreseen
    assert replay(low, TITLES, batch_size=2).auc == pytest.approx(1 / 3)
    assert replay(low, TITLES, batch_size=2, certainty=np.inf).auc == pytest.approx(2 / 3)


def test_three_extra_words_shift_users_to_the_end_of_the_file():
    """Batch 1 reads Yes No [No] No No [a0] Yes No [a1]: three outputs for two rows, so a2 lands on row 3."""
    frame = rows([(2, 6, 2), (1,), (1,), (1,)])
    got = replay(frame, TITLES, batch_size=2)  # labels 0 1 0 1 0, scores 0 0.6 0.5 0.2 0.9, users 1 1 2 2
    assert got == (pytest.approx(3 / 6), 0.5, 2, 5, 4, 4, 0)
    cut = replay(frame, TITLES, batch_size=2, cut=True)
    assert cut == (0.75, *got[1:])


def test_a_title_that_begins_with_yes_counts_as_a_like():
    frame = rows([(4,), (1,), (1,), (1,)])  # labels 1 0 1 0, scores ∞ −∞ 0.2 0.9
    assert replay(frame, TITLES, batch_size=2, certainty=np.inf)[:3] == (0.75, 0.5, 2)


def test_the_title_of_the_target_does_not_count():
    frame = rows([(1,)] * 4).assign(item_id=2)
    assert replay(frame, TITLES).wrong == 0


def test_only_the_last_ten_titles_are_in_the_prompt_and_empty_histories_in_no_file():
    frame = rows([(2, *[1] * 10), (1,), (1,), (1,)])
    assert replay(frame, TITLES, batch_size=1).wrong == 0
    assert replay(rows([(2, *[1] * 9), (1,), (1,), (1,)]), TITLES, batch_size=1).wrong == 1
    none = pd.concat([rows([(), (), (), ()]), frame])
    assert replay(none, TITLES) == replay(frame, TITLES)


@pytest.mark.parametrize(
    ("frame", "batch_size", "says"),
    [
        (rows([(1,)] * 4).drop(columns="history"), 2, r"lacks \['history'\]"),
        (rows([(1,)] * 4), 0, "batch_size is 0"),
        (rows([(9,)] * 4), 2, "from 9 to 9, titles from 0 to 6"),
        (rows([(1,)] * 4, scores=[np.nan, 1, 2, 3]), 2, "NaN"),
        (rows([(1,)] * 4, users=[1, 2, 3, 4]), 2, "at least one user"),
        (rows([()] * 4), 2, "at least one user"),
    ],
)
def test_replay_refuses(frame, batch_size, says):
    with pytest.raises(ValueError, match=says):
        replay(frame, TITLES, batch_size)


@pytest.mark.skipif(not ML1M.is_file(), reason=f"MovieLens-1M is not at {ML1M}; set SELLAREC_DATA")
def test_movielens_counts_come_out_as_known():
    films = data.load("ml-1m", ML1M)
    scored = collab.mean_scores(films.train, films.test, strength=5.0)
    filtered = scored[scored["history"].map(len) > 0]
    columns = filtered["user_id"], filtered["label"], filtered["score"]
    assert metrics.auc(*columns[1:]) == pytest.approx(0.7321, abs=5e-5)
    assert metrics.uauc(*columns) == pytest.approx(0.6823, abs=5e-5)
    assert len(metrics.scorable_users(*columns[:2])) == 222
    no_way_out = films.titles.index("No Way Out (1987)")
    assert filtered["history"].map(lambda items: no_way_out in items[-10:]).sum() == 50
    for batch_size, users, outputs, values in (
        (5, 250, 7279, (0.7348, 0.6972)), (16, 242, 7284, (0.7358, 0.7229)), (32, 241, 7284, (0.7371, 0.7248)),
    ):  # fmt: skip
        got = replay(scored, films.titles, batch_size)
        assert got[2:5] == (users, outputs, 7269)
        assert got[:2] == pytest.approx(values, abs=5e-5)
        assert got.first_wrong == 598
