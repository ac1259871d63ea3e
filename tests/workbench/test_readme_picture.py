"""The README's picture of the bench shows what its caption says."""

from __future__ import annotations

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
    assert "SeLLa-Rec changes by -0.500, LLM tuned on text (TALLRec) by +0.250" in told[1]
    assert "of 7 users the one worth most to SeLLa-Rec](docs/counterfactual.png)" in told[1]
