"""Several graphs as one, and the part of it that lies around a target."""

from __future__ import annotations

import numpy as np
import pytest
from cinemas_by_rule import NAMES, cinemas

from sellarec_lab import kg


def three() -> kg.Graphs:
    """x: a-r-b; y: c-r-d, d-r-e; z: f-r-g. a is c, and c is f: a third graph joins them."""
    x = kg.from_triples("x", [("a", "r", "b")])
    y = kg.from_triples("y", [("c", "r", "d"), ("d", "r", "e")])
    z = kg.from_triples("z", [("f", "r", "g")])
    one = np.array([[0, 0]])
    return kg.Graphs({"x": x, "y": y, "z": z}, {("x", "y"): one, ("z", "y"): one}, shared_relations=True)


def test_linked_entities_share_a_row_also_over_a_third_graph() -> None:
    joined = kg.combine(three(), ["x", "y", "z"], "collapse")
    assert joined.entities["x"][0] == joined.entities["y"][0] == joined.entities["z"][0]
    assert joined.n_entities == 7 - 2 and joined.n_relations == 1 and len(joined.triples) == 4
    assert joined.shared.sum() == 1 and joined.shared[joined.entities["x"][0]]
    assert not len(joined.linked)


def test_without_the_third_graph_two_stay_apart() -> None:
    joined = kg.combine(three(), ["x", "z"], "collapse")
    assert joined.n_entities == 4 and not joined.shared.any()


def test_swapped_triples_name_the_counterpart() -> None:
    joined = kg.combine(three(), ["x", "y"], "swap")
    (a, b), (c, d, _) = joined.entities["x"], joined.entities["y"]
    assert joined.n_entities == 5
    added = {tuple(row) for row in joined.triples.tolist()} - {
        tuple(row) for row in kg.combine(three(), ["x", "y"], "disjoint").triples.tolist()
    }
    assert added == {(c, 0, b), (a, 0, d)}


def test_an_extra_relation_leads_over() -> None:
    joined = kg.combine(three(), ["x", "y"], "extra relation")
    assert joined.n_relations == 2
    assert [joined.entities["x"][0], 1, joined.entities["y"][0]] in joined.triples.tolist()


def test_relations_of_other_graphs_are_their_own_unless_names_mean_the_same() -> None:
    graphs = three()
    own = kg.Graphs(graphs.graphs, graphs.links, shared_relations=False)
    assert kg.combine(own, ["x", "y"]).n_relations == 2


def test_swapped_equals_the_definition() -> None:
    rng = np.random.default_rng(0)
    triples, pairs = rng.integers(0, 8, (30, 3)), rng.integers(0, 8, (12, 2))
    both = [*map(tuple, pairs.tolist()), *(tuple(p[::-1]) for p in pairs.tolist())]
    by_hand = [(b, r, t) for h, r, t in triples.tolist() for a, b in both if a == h]
    by_hand += [(h, r, b) for h, r, t in triples.tolist() for a, b in both if a == t]
    from sellarec_lab.kg.combine import swapped

    assert sorted(map(tuple, swapped(triples, pairs).tolist())) == sorted(by_hand)


def test_fewer_links_and_wrong_ones() -> None:
    graphs = cinemas()
    half = kg.some_links(graphs, 0.5, 0.0, seed=0).links["here", "there"]
    assert len(half) == len(NAMES) // 2 and (half[:, 0] == half[:, 1]).all()
    wrong = kg.some_links(graphs, 1.0, 0.25, seed=0).links["here", "there"]
    assert len(wrong) == len(NAMES) and (wrong[:, 0] != wrong[:, 1]).sum() == len(NAMES) // 4
    assert kg.some_links(graphs, 1.0, 0.0, seed=0).fingerprint == graphs.fingerprint


def test_an_unknown_way_and_an_unknown_target_are_refused() -> None:
    with pytest.raises(ValueError, match="how is one of collapse, swap"):
        kg.combine(three(), ["x", "y"], "melt")
    with pytest.raises(ValueError, match="no graph 'q'; there are x, y"):
        kg.linked_subgraph(kg.combine(three(), ["x", "y"]), "q")


@pytest.mark.parametrize("how", ["collapse", "swap", "extra relation"])
def test_the_subgraph_reaches_as_far_as_asked(how: str) -> None:
    """From x: its two entities, the counterpart of a; one relation further d, two further e."""
    joined = kg.combine(three(), ["x", "y"], how)
    for reach, far in ((0, set()), (1, {1}), (2, {1, 2})):
        part = kg.linked_subgraph(joined, "x", reach)
        of_y = {i for i, row in enumerate(joined.entities["y"]) if row in part.rows}
        assert of_y == {0} | far
        assert part.rows[part.target].tolist() == joined.entities["x"].tolist()
        assert part.distance.max() == reach


def test_the_cap_keeps_the_strongest_neighbours() -> None:
    spokes = [("hub", "r", f"n{i}") for i in range(5)] + [("n3", "r", "m"), ("n3", "r", "k")]
    y = kg.from_triples("y", spokes)
    x = kg.from_triples("x", [("a", "r", "b")])
    hub, n3 = y.entities.index("hub"), y.entities.index("n3")
    graphs = kg.Graphs({"x": x, "y": y}, {("x", "y"): np.array([[0, hub]])}, shared_relations=True)
    joined = kg.combine(graphs, ["x", "y"])
    part = kg.linked_subgraph(joined, "x", reach=1, cap=1)
    assert set(part.rows.tolist()) == {*joined.entities["x"].tolist(), joined.entities["y"][n3]}


def test_the_subgraph_holds_all_triples_among_its_rows_and_no_other() -> None:
    joined = kg.combine(cinemas(), ["here", "there", "elsewhere"])
    part = kg.linked_subgraph(joined, "here", reach=1, cap=2)
    back = np.stack([part.rows[part.triples[:, 0]], part.triples[:, 1], part.rows[part.triples[:, 2]]], axis=1)
    inside = np.isin(joined.triples[:, [0, 2]], part.rows).all(axis=1)
    assert back.tolist() == joined.triples[inside].tolist()


@pytest.mark.parametrize("how", ["collapse", "swap"])
def test_alone_the_target_sees_its_own_triples(how: str) -> None:
    """Also where the background speaks of the same entities."""
    graphs = cinemas()
    joined = kg.combine(graphs, ["here", "there"], how)
    part = kg.target_alone(joined, "here", graphs["here"].train)
    back = np.stack([part.rows[part.triples[:, 0]], part.triples[:, 1], part.rows[part.triples[:, 2]]], axis=1)
    assert len(part.rows) == len(NAMES)
    assert sorted(back.tolist()) == sorted(joined.in_rows("here", graphs["here"].train).tolist())


def test_a_reach_beyond_all_ends_where_nothing_is_left() -> None:
    """Otherwise this would never end."""
    joined = kg.combine(cinemas(), ["here", "there", "elsewhere"])
    near, all_of_it = (kg.linked_subgraph(joined, "here", reach, cap=10**6) for reach in (5, 10**12))
    assert near.rows.tolist() == all_of_it.rows.tolist() and len(near.rows) > len(cinemas()["here"].entities)
