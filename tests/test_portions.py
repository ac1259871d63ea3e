"""Many prompts are read in portions: little is padded, families stay whole, the cache holds what a layer makes."""

from __future__ import annotations

import numpy as np
import pytest

from sellarec_lab import llm
from sellarec_lab.llm.score import _together
from sellarec_lab.prompts import TEMPLATES, Writer


@pytest.mark.parametrize("positions", [None, 6, 20, 45])
def test_rows_are_read_in_portions_that_the_cache_holds(positions) -> None:
    lengths = np.array([7, 3, 9, 9, 2, 5, 4, 4, 1])
    parts = llm.by_length(lengths, 4, positions)
    assert sorted(np.concatenate(parts)) == list(range(9)) and max(map(len, parts)) <= 4
    assert (np.diff(lengths[np.concatenate(parts)]) <= 0).all()
    for part in parts[:-1]:
        room = np.inf if positions is None else positions
        assert len(part) == 1 or len(part) * lengths[part].max() <= room
        assert len(part) == 4 or (len(part) + 1) * lengths[part].max() > room  # one more would be too many
    assert llm.by_length([], 4, positions) == []


@pytest.mark.parametrize("positions", [None, 1, 12, 30])
def test_a_family_is_never_cut_by_portions(positions) -> None:
    lengths, families = np.array([7, 3, 9, 9, 2, 5, 4, 4, 1]), np.array([3, 0, 1, 1, 0, 2, 2, 2, 4])
    parts = _together(lengths, families, 5, positions)
    assert sorted(np.concatenate(parts)) == list(range(9))
    whose = [set(families[part]) for part in parts]
    assert sum(map(len, whose)) == 5  # each family in one part alone
    for part, own in zip(parts, whose, strict=True):
        assert len(own) == 1 or (len(part) <= 5 and lengths[part].sum() <= (positions or np.inf))
    assert positions != 1 or len(parts) == 5


@pytest.mark.parametrize("way, alike, most", [(llm.score, False, 30), (llm.score_shared, True, 8)])
def test_a_model_on_a_cpu_reads_as_much_at_once_as_the_cache_holds(lm, monkeypatch, way, alike, most) -> None:
    titles, ran = ["", *(f"Film number {i}" for i in range(16))], []
    writer, encoder = Writer(TEMPLATES["tiny"], titles), llm.Encoder(lm.tokenizer, "plain")
    many = [writer.write(1, i, (1, 2, 3) if alike else tuple(range(1, 1 + i % 5))) for i in range(1, 12)]
    monkeypatch.setattr("sellarec_lab.llm.backbone._CACHE", 4 * lm.base.config.intermediate_size * most)
    monkeypatch.setattr("sellarec_lab.llm.backbone._FEWEST", 1)
    hidden = type(lm).hidden
    monkeypatch.setattr(type(lm), "hidden", lambda *a, **k: ran.append(a[1].shape[:2]) or hidden(*a, **k))
    assert lm.at_once == most
    scores = way(lm, encoder, many, encoder.answer_ids(many[0]))
    monkeypatch.undo()
    assert len(ran) > 2 and lm.at_once >= 512
    assert all(rows == 1 or rows * length <= most for rows, length in ran)
    np.testing.assert_allclose(scores, llm.score(lm, encoder, many, encoder.answer_ids(many[0])), atol=1e-5)
