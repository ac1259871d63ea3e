import json

import pytest
import torch

from sellarec_lab import indices

CODES = torch.tensor([[-1, -1], [12, 3], [-1, -1], [2, 0], [2, 255], [-1, -1]])


def test_words():
    assert indices.tokens(CODES) == ["", "<a_12><b_3>", "", "<a_2><b_0>", "<a_2><b_255>", ""]
    assert indices.vocabulary(CODES) == ["<a_12>", "<a_2>", "<b_0>", "<b_255>", "<b_3>"]


def test_saved_indices_are_the_same_again(tmp_path):
    indices.save(tmp_path / "deep" / "tiny.index.json", CODES)
    again = indices.load(tmp_path / "deep" / "tiny.index.json")
    assert torch.equal(again, CODES) and again.dtype == torch.int64
    assert indices.tokens(again) == indices.tokens(CODES)
    entries = json.loads((tmp_path / "deep" / "tiny.index.json").read_text())
    assert entries == {"1": ["<a_12>", "<b_3>"], "2": [], "3": ["<a_2>", "<b_0>"], "4": ["<a_2>", "<b_255>"], "5": []}
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["tiny.index.json"]  # no part of it was left


def test_files_of_others_count_from_zero_and_come_in_any_order(tmp_path):
    path = tmp_path / "Games.index.json"
    path.write_text(json.dumps({"1": ["<a_7>", "<b_1>"], "0": ["<a_5>", "<b_9>"]}))
    assert indices.load(path, first=0).tolist() == [[-1, -1], [5, 9], [7, 1]]
    with pytest.raises(ValueError, match=r"items 1, 2, ... without a gap, not so for '0'; .* read with first=0"):
        indices.load(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"1": ["<a_1>"', "expected a whole json file"),
        ("", "expected a whole json file"),
        ('[["<a_1>"]]', "expected an object, item -> list of words, got list"),
        ("{}", "without a gap, no items"),
        ('{"1": ["<a_1>"], "3": ["<a_2>"]}', "without a gap, not so for '2'"),
        ('{"one": ["<a_1>"]}', "without a gap"),
        ('{"1": ["<a_1>", "<b_2>"], "2": ["<a_1>"]}', "item 2: expected 2 words, as others have, or none, got 1"),
        ('{"1": ["<b_1>", "<a_2>"]}', "item 1: expected words like"),
        ('{"1": ["<a_-1>"]}', "item 1: expected words like"),
        ('{"1": ["<a_01>"]}', "item 1: expected words like"),
        ('{"1": "<a_1><b_2>"}', "item 1: expected words like"),
        ('{"1": [5, null]}', "item 1: expected words like"),
        ('{"1": []}', "no item has words"),
    ],
)
def test_bad_files_are_named(tmp_path, text, message):
    path = tmp_path / "bad.index.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        indices.load(path)
    assert str(error.value).startswith(f"{path}") and "\n" not in str(error.value)


def test_a_file_of_bytes_is_named(tmp_path):
    (tmp_path / "x.index.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"x.index.json: expected a whole json file"):
        indices.load(tmp_path / "x.index.json")


@pytest.mark.parametrize(
    "codes, message",
    [
        (torch.rand(3, 2), "expected whole numbers"),
        (torch.zeros(3).long(), r"got torch.int64 of shape \[3\]"),
        (torch.zeros(3, 27).long(), "levels 1 to 26"),
        (torch.tensor([[0, 0], [1, 1]]), r"row 0: expected -1, being padding, got \[0, 0\]"),
        (torch.tensor([[-1, -1], [1, -1]]), r"row 1: expected codes from 0 on, or -1 at all levels"),
        (torch.tensor([[-1, -1], [-2, -2]]), "row 1"),
    ],
)
def test_codes_that_cannot_be_are_refused(codes, message):
    for use in (indices.tokens, indices.vocabulary, indices.report):
        with pytest.raises(ValueError, match=message):
            use(codes)
