from collections import defaultdict

import pytest
import torch

from sellarec_lab import indices
from sellarec_lab.config import IndexConfig
from sellarec_lab.indices import Trie


@pytest.fixture(scope="module")
def sequences():
    """3,000 items, some colliding, some without a sequence; numbers as large as token ids."""
    draw = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 9, (3001, 4), generator=draw) * torch.tensor([1, 7, 1000, 150_000])
    rows[torch.randint(0, 3001, (300,), generator=draw)] = -1
    rows[0] = -1
    return rows


def follow(trie, prefixes):
    """Which of prefixes [N, l] exist, and the nodes they end at; all at once."""
    nodes, alive = torch.zeros(len(prefixes), dtype=torch.long), torch.ones(len(prefixes), dtype=torch.bool)
    for level in range(prefixes.shape[1]):
        found = trie.children(level, nodes)
        hit = found.mask & (found.tokens == prefixes[:, level, None])
        alive &= hit.any(1)
        nodes = (found.nodes * hit).sum(1)
    return alive, nodes


def test_exactly_the_existing_continuations_are_allowed(sequences):
    allowed = defaultdict(set)
    for row in sequences.tolist():
        if row[0] >= 0:
            for level in range(4):
                allowed[tuple(row[:level])].add(row[level])
    trie = Trie.of(sequences)
    draw = torch.Generator().manual_seed(1)
    chosen = sequences[torch.randint(0, 3001, (10_000,), generator=draw)]
    strange = torch.rand(10_000, 4, generator=draw) < 0.2  # prefixes that may not exist
    chosen = torch.where(strange, torch.randint(0, 9, (10_000, 4), generator=draw), chosen)
    for level, rows in enumerate(chosen.split(2500)):
        prefixes = rows[:, :level]
        alive, nodes = follow(trie, prefixes)
        assert alive.tolist() == [tuple(p) in allowed for p in prefixes.tolist()]
        tokens, _, mask = trie.children(level, nodes[alive])
        for prefix, row, fits in zip(prefixes[alive].tolist(), tokens, mask):
            assert row[fits].tolist() == sorted(allowed[tuple(prefix)])


def test_nodes_are_in_lexicographic_order_and_children_a_range(sequences):
    trie = Trie.of(sequences)
    for level in range(4):
        n = len(trie.start[level]) - 1  # nodes of the level
        tokens, nodes, mask = trie.children(level, torch.arange(n))
        assert torch.equal(nodes[mask], torch.arange(len(trie.token[level])))
        assert (tokens[mask] == trie.token[level]).all() and not tokens[~mask].any() and not nodes[~mask].any()
        assert mask.sum(1).max() == mask.shape[1] == trie.width[level] and mask.any(1).all()
    assert n < trie.n_leaves


def test_leaves_and_items_lead_to_each_other(sequences):
    trie = Trie.of(sequences)
    real = (sequences[:, 0] >= 0).nonzero().flatten()
    assert trie.depth == 4 and trie.n_leaves == len(sequences[real].unique(dim=0))
    assert (trie.leaf_of(torch.arange(3001)) >= 0).nonzero().flatten().equal(real)
    rows, items = trie.items(torch.arange(trie.n_leaves))
    assert torch.equal(items.sort().values, real) and torch.equal(trie.leaf_of(items), rows)
    alive, leaves = follow(trie, sequences[real])
    assert alive.all() and torch.equal(leaves, trie.leaf_of(real))


def test_a_trie_by_hand():
    trie = Trie.of(torch.tensor([[-1, -1], [5, 2], [5, 1], [-1, -1], [3, 9], [5, 2]]))
    assert trie.children(0, torch.tensor([0])).tokens.tolist() == [[3, 5]]
    tokens, nodes, mask = trie.children(1, torch.tensor([1, 0, 1]))
    assert tokens.tolist() == [[1, 2], [9, 0], [1, 2]] and nodes.tolist() == [[1, 2], [0, 0], [1, 2]]
    assert mask.tolist() == [[True, True], [True, False], [True, True]]
    rows, items = trie.items(torch.tensor([2, 0, 2]))
    assert rows.tolist() == [0, 0, 1, 2, 2] and items.tolist() == [1, 5, 4, 1, 5]
    assert trie.leaf_of(torch.tensor([5, 3])).tolist() == [2, -1] and int(trie.leaf_of(4)) == 0
    assert trie.items(torch.zeros(0).long()).items.tolist() == []


def test_codes_make_a_trie_on_any_device():
    torch.manual_seed(0)
    codes = indices.build(torch.randn(41, 6), IndexConfig(levels=2, codes=16))
    assert Trie.of(codes).n_leaves == 40
    there = Trie.of(codes).to("cpu")
    assert there.children(0, torch.tensor([0])).mask.all()
    if torch.cuda.is_available():
        there = Trie.of(codes).to("cuda")
        assert there.items(torch.arange(3, device="cuda")).items.device.type == "cuda"


@pytest.mark.parametrize(
    "sequences, message",
    [
        (torch.rand(4, 2), "expected whole numbers"),
        (torch.zeros(4).long(), r"got torch.int64 of shape \[4\]"),
        (torch.full((4, 2), -1), "expected at least one item"),
    ],
)
def test_sequences_that_cannot_be_are_refused(sequences, message):
    with pytest.raises(ValueError, match=message):
        Trie.of(sequences)
