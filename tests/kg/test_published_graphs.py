"""The published graphs: every count that their description gives, and what the checks find."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from toy_graphs import SHARED, counts, needs

from sellarec_lab import kg

load = functools.cache(kg.load)

DBP5L = {  # entities, relations used, train, valid, test
    "el": [5231, 160, 8670, 4152, 1017],
    "en": [13996, 861, 48652, 24051, 7464],
    "es": [12381, 241, 33036, 16220, 4810],
    "fr": [13176, 236, 30139, 14705, 4171],
    "ja": [11805, 172, 17979, 8633, 2162],
}
DBP5L_LINKS = {
    "el-en": 2290, "el-es": 2224, "el-fr": 2298, "el-ja": 2230, "en-fr": 5255,
    "es-en": 4831, "es-fr": 4562, "ja-en": 4541, "ja-es": 4730, "ja-fr": 4762,
}  # fmt: skip
TOLD = {"el": 667, "en": 1459, "es": 1981, "fr": 1895, "ja": 1233}
DBP15K = {  # entities, relations, triples, first of the foreign graph, then of the English one
    "zh_en": [[19388, 1701, 70414], [19572, 1323, 95142]],
    "ja_en": [[19814, 1299, 77214], [19780, 1153, 93484]],
    "fr_en": [[19661, 903, 105998], [19993, 1208, 115722]],
}
SIZES = ["entities", "relations used", "train", "valid", "test"]


@needs("DBP-5L.zip")
def test_dbp5l_has_the_published_counts() -> None:
    graphs = load("dbp-5l", SHARED)
    assert {name: row.tolist() for name, row in kg.statistics(graphs)[SIZES].iterrows()} == DBP5L
    assert {"-".join(pair): len(rows) for pair, rows in graphs.links.items()} == DBP5L_LINKS
    assert {graph.n_relations for graph in graphs.graphs.values()} == {960}
    here, there = graphs.linked("en", "ja")[0]
    assert (graphs["en"].entities[here], graphs["ja"].entities[there]) == (
        "http://dbpedia.org/resource/David_O._Selznick",
        "http://ja.dbpedia.org/resource/デヴィッド・O・セルズニック",
    )


@needs("DBP-5L.zip")
def test_dbp5l_as_the_checks_see_it() -> None:
    table = kg.validate(load("dbp-5l", SHARED)).set_index(["check", "graph"])["count"]
    assert {name: table["test triples that another graph tells", name] for name in DBP5L} == TOLD
    assert [table["entities without a triple", name] for name in DBP5L] == [1211, 864, 2273, 3102, 4332]
    assert [table["entities named as another one", name] for name in DBP5L] == [21, 45, 39, 42, 42]
    found = set(table[table > 0].index.get_level_values(0))
    never = {"triples in two splits", "entities unseen in train (test)", "links that contradict others"}
    assert not found & never and "duplicate links" in found


@pytest.mark.parametrize("pair", DBP15K)
@needs("DBP15K.zip")
def test_dbp15k_has_the_published_counts(pair: str) -> None:
    graphs = load("dbp15k", SHARED, pair=pair)
    expected = [[*sizes, 0, 0] for sizes in DBP15K[pair]]
    assert list(graphs) == pair.split("_") and kg.statistics(graphs)[SIZES].to_numpy().tolist() == expected
    links = graphs.linked(*graphs)
    assert len(links) == 15000 == len(np.unique(links[:, 0])) == len(np.unique(links[:, 1]))
    assert set(counts(graphs)) == {"self-loops"}


@pytest.mark.parametrize(
    ("name", "file", "sizes", "unseen", "turned"),
    [
        pytest.param(name, file, *rest, marks=needs(file), id=name)
        for name, file, *rest in (
            ("fb15k-237", "FB15k-237.tar.gz", [14541, 237, 272115, 17535, 20466], [9, 28], 0),
            ("wn18rr", "WN18RR.tar.gz", [40943, 11, 86835, 3034, 3134], [210, 210], 1086),
        )
    ],
)
def test_benchmarks_have_the_published_counts(
    name: str, file: str, sizes: list[int], unseen: list[int], turned: int
) -> None:
    graphs = load(name, SHARED / file)
    found = counts(graphs)
    assert kg.statistics(graphs).loc[name, SIZES].tolist() == sizes
    assert [found[f"triples with an entity unseen in train ({part})"] for part in ("valid", "test")] == unseen
    assert found.get("reversed test triples in train", 0) == turned and "triples in two splits" not in found


@pytest.mark.parametrize(
    ("name", "sizes", "items", "first"),
    [
        pytest.param("mkr-movie", [7008, 7, 20782, 0, 0], 2347, "1", marks=needs("mkr-movie.zip")),
        pytest.param("mkr-book", [24127, 10, 19876, 0, 0], 14910, "0002005018", marks=needs("mkr-book.zip")),
    ],
)
def test_mkr_has_the_published_counts(name: str, sizes: list[int], items: int, first: str) -> None:
    graph = load(name, SHARED)[name]
    assert kg.statistics(graph).loc[name, SIZES].tolist() == sizes and counts(graph) == {}
    assert len(graph.items) == items and graph.items.index[0] == first and graph.items.iloc[0] == 0
    assert set(graph.items) <= set(graph.train[:, 0]) and graph.entities == tuple(map(str, range(sizes[0])))
    split = kg.split_triples(graph, 0.1, 0.1, seed=1)
    assert len(split.valid) == len(split.test) == round(sizes[2] / 10)
    assert set(counts(split)) <= {"reversed test triples in train", "self-loops"}
