"""Knowledge graphs: the forms, splits with known answers, and checks that find what was planted and nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_graphs import chain, counts, pairs

from sellarec_lab import kg
from sellarec_lab.data import DataError

# ---------------------------------------------------------------------------------------------- the two forms


def test_a_graph_by_hand() -> None:
    graph = kg.from_triples("g", [("b", "r", "a"), ("c", "q", "b")], test=[("z", "r", "a")], items={"x": "c"})
    assert graph.entities == ("a", "b", "c", "z") and graph.relations == ("q", "r")
    assert graph.train.tolist() == [[1, 1, 0], [2, 0, 1]] and graph.train.dtype == np.int64
    assert graph.valid.shape == (0, 3) and graph.test.tolist() == [[3, 1, 0]]
    assert graph.triples.tolist() == [[1, 1, 0], [2, 0, 1], [3, 1, 0]]
    assert graph.with_inverses(graph.train).tolist() == [[1, 1, 0], [2, 0, 1], [0, 3, 1], [1, 2, 2]]
    assert graph.items.to_dict() == {"x": 2} and (graph.n_entities, graph.n_relations) == (4, 2)
    assert repr(graph) == "Graph('g': 4 entities, 1 items, 2 relations; train 2, valid 0, test 1)"
    with pytest.raises(ValueError, match=r"unknown split 'dev'.*train, valid, test"):
        graph.split("dev")


def test_listed_names_give_the_ids() -> None:
    graph = kg.from_triples("g", [("b", "r", "a")], entities=["b", "unused", "a"], relations=["s", "r"])
    assert graph.train.tolist() == [[0, 1, 2]]
    for listed in ({"entities": ["a"]}, {"relations": ["s"]}):
        with pytest.raises(DataError, match=r"graph 'g', train, row 0: expected names that are listed, found '[br]'"):
            kg.from_triples("g", [("b", "r", "a")], **listed)
    with pytest.raises(DataError, match="graph 'g', entities, row 1: expected text, each once, found 'a'"):
        kg.from_triples("g", [("b", "r", "a")], entities=["a", "a", "b"])


@pytest.mark.parametrize("bad", [("a", "r"), "abc", ("a", "r", 3)])
def test_a_triple_is_three_names(bad: object) -> None:
    with pytest.raises(DataError, match="graph 'g', valid, row 1: expected head, relation and tail as text"):
        kg.from_triples("g", [("a", "r", "b")], [("a", "r", "b"), bad])
    with pytest.raises(DataError, match="graph 'g', items, 'x': expected an entity of the graph, found 'q'"):
        kg.from_triples("g", [("a", "r", "b")], items={"x": "q"})


def test_several_graphs_by_hand() -> None:
    graphs = kg.Graphs({"a": chain("a"), "b": chain("b"), "c": chain("c")}, {("b", "a"): pairs((0, 3))}, True)
    assert graphs.linked("b", "a").tolist() == [[0, 3]] and graphs.linked("a", "b").tolist() == [[3, 0]]
    assert graphs.linked("a", "c").shape == (0, 2) and graphs.linked("a", "c").dtype == np.int64
    assert graphs.others("b") == ["a", "c"] and list(graphs) == ["a", "b", "c"] and len(graphs) == 3
    assert graphs["b"].name == "b" and repr(graphs) == "Graphs(a, b, c; 1 links)"
    for wrong in (lambda: graphs["d"], lambda: graphs.others("d"), lambda: graphs.linked("a", "d")):
        with pytest.raises(ValueError, match="unknown graph 'd'; choose one of a, b, c"):
            wrong()
    with pytest.raises(ValueError, match="'a' twice"):
        graphs.linked("a", "a")


BAD_GRAPHS = {
    "an entity too high": ({"test": [[0, 0, 4]]}, r"graph 'g', test, row 0, tail: expected an id below 4, found 4"),
    "an entity below 0": ({"train": [[0, 0, 1], [-1, 0, 1]]}, r"graph 'g', train, row 1, head.*found -1"),
    "a relation too high": ({"valid": [[0, 2, 1]]}, r"graph 'g', valid, row 0, relation: expected an id below 2"),
    "two columns": ({"valid": [[0, 1]]}, r"graph 'g', valid: expected int64 \[n, 3\].*found int64 \[1, 2\]"),
    "floats": ({"valid": [[0.0, 0, 1]]}, r"graph 'g', valid: expected int64 .*found float64"),
    "nothing in train": ({"train": np.empty((0, 3), int)}, r"graph 'g', train: expected at least one triple"),
    "a relation twice": ({"relations": ("r", "r")}, r"graph 'g', relations, row 1: expected text, each once"),
    "an empty name": ({"entities": ("a", "", "c", "d")}, r"graph 'g', entities, row 1: expected text"),
    "an item of no entity": ({"items": pd.Series([9], index=["x"])}, r"graph 'g', items, row 0, entity.*found 9"),
    "an item's number": ({"items": pd.Series([1], index=[5])}, r"graph 'g', items, row 0: expected text.*found 5"),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_bad_graphs_give_one_clear_error(case: str) -> None:
    changed, message = BAD_GRAPHS[case]
    changed = {key: np.array(value) if isinstance(value, list) else value for key, value in changed.items()}
    with pytest.raises(DataError, match=message):
        dataclasses.replace(chain("g"), **changed)


BAD_LINKS = {
    "an unknown graph": ({("a", "d"): pairs((0, 0))}, r"links \('a', 'd'\).*two of the graphs.*are a, b"),
    "with itself": ({("a", "a"): pairs((0, 0))}, r"links \('a', 'a'\)"),
    "both directions": ({("a", "b"): pairs((0, 0)), ("b", "a"): pairs((0, 0))}, "one direction, found both"),
    "no such entity": ({("a", "b"): pairs((0, 0), (3, 4))}, "links a-b, row 1, entity of b: expected an id below 4"),
    "three columns": ({("a", "b"): np.zeros((1, 3), np.int64)}, r"links a-b: expected int64 \[n, 2\]"),
    "a list": ({("a", "b"): [(0, 0)]}, r"links a-b: expected int64 \[n, 2\].*found list"),
}


@pytest.mark.parametrize("case", BAD_LINKS)
def test_bad_links_give_one_clear_error(case: str) -> None:
    links, message = BAD_LINKS[case]
    with pytest.raises(DataError, match=message):
        kg.Graphs({"a": chain("a"), "b": chain("b")}, links, False)


def test_graphs_go_by_their_own_names() -> None:
    with pytest.raises(DataError, match="key 'x': expected the graph's own name, found 'a'"):
        kg.Graphs({"x": chain("a")}, {}, False)
    with pytest.raises(DataError, match="at least one"):
        kg.Graphs({}, {}, False)


def test_the_fingerprint_follows_the_content_alone() -> None:
    graph = chain("g")
    same = dataclasses.replace(graph, name="other", train=graph.train.copy())
    assert same.fingerprint == graph.fingerprint
    moved = dataclasses.replace(graph, train=graph.train[:-1], valid=graph.train[-1:])
    others = [
        moved,
        dataclasses.replace(graph, train=graph.train[::-1]),
        dataclasses.replace(graph, entities=tuple("abcd")),
        dataclasses.replace(graph, relations=tuple("ab")),
        dataclasses.replace(graph, items=pd.Series([0], index=["x"])),
        dataclasses.replace(graph, items=pd.Series([1], index=["x"])),
    ]
    assert len({graph.fingerprint, *(other.fingerprint for other in others)}) == 7


def test_the_fingerprint_of_several_does_not_depend_on_how_they_are_stored() -> None:
    a, b, rows = chain("a"), chain("b", 5), pairs((0, 1), (2, 4))
    graphs = kg.Graphs({"a": a, "b": b}, {("a", "b"): rows}, False)
    turned = kg.Graphs({"b": b, "a": a}, {("b", "a"): np.ascontiguousarray(rows[:, ::-1])}, False)
    assert turned.fingerprint == graphs.fingerprint
    others = [dataclasses.replace(graphs, links={}), dataclasses.replace(graphs, shared_relations=True)]
    others.append(kg.Graphs({"a": a, "c": dataclasses.replace(b, name="c")}, {("a", "c"): rows}, False))
    assert len({graphs.fingerprint, *(other.fingerprint for other in others)}) == 4


# ----------------------------------------------------------------------------------------------------- splits


def random_graph(seed: int) -> kg.Graph:
    rng = np.random.default_rng(seed)
    rows = np.stack([rng.integers(0, 12, 60), rng.integers(0, 5, 60) ** 2 // 6, rng.integers(0, 12, 60)], axis=1)
    names = [tuple(map(str, row)) for row in rows.tolist()]
    return kg.from_triples("random", [*names[:50], *names[:5], ("only", "0", "once")], names[50:])


@pytest.mark.parametrize("seed", range(8))
def test_what_is_held_out_is_known_from_train(seed: int) -> None:
    graph = random_graph(seed)
    split = kg.split_triples(graph, 0.2, 0.25, seed)
    distinct = np.unique(graph.triples, axis=0)
    assert np.unique(split.triples, axis=0).tolist() == distinct.tolist() and len(split.triples) == len(distinct)
    assert (len(split.valid), len(split.test)) == (round(0.2 * len(distinct)), round(0.25 * len(distinct)))
    for column in ([0, 2], [1]):
        assert set(split.train[:, column].ravel()) == set(graph.triples[:, column].ravel())
    assert counts(split).keys() <= {"self-loops", "reversed test triples in train"}


def test_splits_follow_the_seed_and_keep_the_rest() -> None:
    graph = dataclasses.replace(random_graph(0), items=pd.Series([1], index=["x"]))
    first, again, other = (kg.split_triples(graph, 0.1, 0.1, seed) for seed in (0, 0, 1))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.items is graph.items and first.entities == graph.entities and first.name == "random"
    none = kg.split_triples(graph, 0, 0)
    assert len(none.valid) == len(none.test) == 0


def test_a_chain_has_nothing_to_spare() -> None:
    loop = [(a, "next", b) for a, b in ("01", "12", "20", "33")]
    spared = kg.split_triples(chain("loop", train=loop), 0, 0.25).test
    assert len(spared) == 1 and spared[0, 0] != 3  # the self-loop is all that train says of its entity
    with pytest.raises(DataError, match=r"graph 'loop': expected 2 triples that can be held out, found 1\. Lower"):
        kg.split_triples(chain("loop", train=loop), 0.25, 0.25)
    with pytest.raises(ValueError, match=r"shares.*found 0\.5 and 0\.5"):
        kg.split_triples(chain("loop"), 0.5, 0.5)
    with pytest.raises(ValueError, match=r"shares.*found -0\.1"):
        kg.split_triples(chain("loop"), -0.1, 0.5)


# ---------------------------------------------------------------------------------------------------- reports


def test_a_clean_graph_is_ok() -> None:
    table = kg.validate(chain("g"))
    assert table.columns.tolist() == ["check", "graph", "count", "verdict"]
    assert (table["verdict"] == "ok").all() and (table["count"] == 0).all() and (table["graph"] == "g").all()


def rows(*triples: str) -> list[tuple[str, str, str]]:
    """ "0n1" is ("0", "next", "1"), "0l1" is like."""
    return [(head, {"n": "next", "l": "like"}[relation], tail) for head, relation, tail in triples]


PLANTED = {  # the splits, and all that is to be found; entities are 0 to 3
    "duplicates": (["0n1", "0n1", "0n1", "2n3"], [], ["2n0", "2n0"], {
        "duplicate triples (train)": 2, "duplicate triples (test)": 1}),
    "leak": (["0n1", "2n3"], ["0n1", "1n2"], ["0n1", "1n2", "0n3"], {"triples in two splits": 2}),
    "reversed": (["0n1", "1n2", "2n3", "3l3"], [], ["1n0", "2l1", "3l3"], {
        "reversed test triples in train": 1, "triples in two splits": 1, "self-loops": 2}),
    "unseen": (["0n1"], ["0n2"], ["2n2", "3l0", "0l1"], {
        "self-loops": 1, "entities unseen in train (valid)": 1, "entities unseen in train (test)": 2,
        "triples with an entity unseen in train (valid)": 1, "triples with an entity unseen in train (test)": 2,
        "relations unseen in train (test)": 1}),
    "unmet": (["0n1"], [], [], {"entities without a triple": 2}),
}  # fmt: skip


@pytest.mark.parametrize("case", PLANTED)
def test_what_was_planted_is_found_and_nothing_else(case: str) -> None:
    train, valid, test, found = PLANTED[case]
    graph = chain("g", train=rows(*train), valid=rows(*valid), test=rows(*test))
    assert counts(graph) == found
    table = kg.validate(graph)
    assert (
        table["verdict"].str.startswith("leak") == (table["check"].eq("triples in two splits") & table["count"].gt(0))
    ).all()
    assert ((table["verdict"] == "ok") == (table["count"] == 0)).all()


def test_two_ids_for_one_name_are_counted() -> None:
    assert counts(dataclasses.replace(chain("g"), entities=("a", "b", "a", "a"))) == {
        "entities named as another one": 2
    }


def three(ab: np.ndarray, bc: np.ndarray, ac: np.ndarray) -> kg.Graphs:
    links = {("a", "b"): ab, ("c", "b"): np.ascontiguousarray(bc[:, ::-1]), ("a", "c"): ac}
    return kg.Graphs({name: chain(name) for name in "abc"}, links, False)


def test_links_are_checked() -> None:
    graphs = three(pairs((0, 0), (0, 0), (0, 1), (1, 1)), pairs((3, 3)), pairs())
    several = "entities linked to several of the other graph"
    assert counts(graphs) == {"duplicate links": 1, several: 2} == counts(graphs, "a-b")
    assert counts(graphs, "c-b") == {}


def test_chains_that_disagree_are_counted_once() -> None:
    check, all_ = "links that contradict others", pairs((0, 0), (1, 1))
    assert counts(three(all_, all_, all_)) == {}
    assert counts(three(pairs((0, 0)), pairs((0, 0)), pairs((1, 1)))) == {}  # the ends are linked to nothing else
    for at_fault in range(3):
        links = [pairs((0, 0))] * 3
        # One chain from the graph where the two ends meet: the third link goes from 0 to another entity.
        links[at_fault] = pairs((0, 2))
        assert counts(three(*links)) == {check: 1}
    crossed = three(all_, all_, pairs((0, 1), (1, 0)))
    assert counts(crossed, "a-b-c") == {check: 6}  # from each entity of each graph to the other one


def test_triples_that_another_graph_tells() -> None:
    check = "test triples that another graph tells"
    a = chain("a", test=rows("3n0", "3l0", "0n3"))
    b = kg.from_triples("b", rows("2n1", "1l2"), entities="0123", relations=["like", "next"])
    c = chain("c", train=rows("0n1"), valid=rows("1n0"))
    graphs = kg.Graphs(
        {"a": a, "b": b, "c": c}, {("b", "a"): pairs((2, 3), (1, 0)), ("a", "c"): pairs((3, 0), (0, 1))}, True
    )
    assert counts(graphs, "a")[check] == 1  # 3n0, by both; 3l0 is told the other way round only, 0n3 by valid only
    assert check not in counts(dataclasses.replace(graphs, shared_relations=False))


def test_statistics_by_hand() -> None:
    a = chain("a", train=rows("0n1", "0n2", "0n0"), valid=rows("0l3"))
    graphs = kg.Graphs(
        {"a": a, "b": chain("b"), "c": chain("c")},
        {("a", "b"): pairs((0, 0), (0, 1)), ("c", "a"): pairs((3, 2))},
        False,
    )
    table = kg.statistics(graphs)
    assert table.index.tolist() == ["a", "b", "c"]
    assert table.columns.tolist() == [
        "entities",
        "relations used",
        "train",
        "valid",
        "test",
        "mean degree",
        "linked share",
    ]
    assert table.loc["a"].tolist() == [4, 2, 3, 1, 0, 5 / 4, 0.5]
    assert table["linked share"].tolist() == [0.5, 0.5, 0.25]
    assert kg.statistics(a).loc["a", "linked share"] == 0


def test_the_toy_layout_holds_what_it_says(dbp5l: Path) -> None:
    graphs = kg.load("dbp-5l", dbp5l)
    expected = {"reversed test triples in train": 1, "entities without a triple": 1}
    assert counts(graphs, "el") == expected
    # Every pair links 0 to 1 and 1 to 0: three steps round end at the other entity, for each entity of three graphs.
    assert counts(graphs, "el-en-es") == {"links that contradict others": 6}
