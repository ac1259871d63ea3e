"""The README's picture of the bench shows what its caption says."""

from __future__ import annotations

from types import SimpleNamespace

import pictures
import pytest


def test_the_title_that_is_worth_most_is_dropped_and_told(bench):
    worth = {}
    for user in sorted(bench.found.users)[:5]:
        bench.pick(user)
        told = bench.explanations[bench.shown[0]]
        worth |= {(user, left.item_id): left.score - told.score for left in told.without_titles}
    (user, item), change = max(worth.items(), key=lambda pair: abs(pair[1]))
    moved = pictures.dropped(bench, users=5)
    assert list(moved) == list(bench.shown) and moved[bench.shown[0]] == pytest.approx(change, abs=1e-5)
    assert bench.case.user_id == user and item not in bench.case.history
    assert f"{moved[bench.shown[0]]:+.3f}".replace("-", "−") in bench.to_html().replace("-", "−")


def test_the_caption_takes_the_place_of_the_old_one_and_of_nothing_else():
    page = "a\n![old words](docs/counterfactual.png)\n![map](docs/alignment.png)\n"
    told = pictures.captioned(page, {"sella": -0.5, "tallrec": 0.25}, users=7).splitlines()
    assert told[0] == "a" and told[2] == "![map](docs/alignment.png)"
    assert "SeLLa-Rec's score changes by -0.500, that of LLM tuned on text (TALLRec) by +0.250" in told[1]
    assert "of 7 users the one worth most to SeLLa-Rec](docs/counterfactual.png)" in told[1]


WORTH = {1: {5: 2.0}, 2: {6: 1.0, 7: -3.0}}  # of an item, by user


class Bench:
    """Two people; without item 7 the score of the second would be higher by 3."""

    shown, found = ("sella",), SimpleNamespace(users=[2, 1])

    def pick(self, user):
        left = [SimpleNamespace(item_id=item, score=10 - worth) for item, worth in WORTH[user].items()]
        self.user, self.explanations = user, {"sella": SimpleNamespace(score=10.0, without_titles=left)}

    def drop(self, item):
        self.dropped = item
        self.explanations = {"sella": SimpleNamespace(score=10 - WORTH[self.user][item])}


def test_a_title_that_spoke_against_counts_as_much():
    bench = Bench()
    assert pictures.dropped(bench) == {"sella": 3.0} and (bench.user, bench.dropped) == (2, 7)
    assert pictures.dropped(bench, users=1) == {"sella": -2.0} and bench.user == 1
