"""Knowledge graphs as they are published, by name.

- DBP-5L (Chen et al., KEnS, EMNLP Findings 2020): five languages of DBpedia, one vocabulary of relations, links.
- DBP15K (Sun, Hu & Li, JAPE, ISWC 2017): pairs of languages for entity alignment; no splits.
- FB15k-237 (Toutanova & Chen 2015) and WN18RR (Dettmers et al., AAAI 2018): the usual benchmarks of completion.
- the embedded world's catalogue and the archive that knows more.
- MKR's graphs of MovieLens-1M and Book-Crossing (Wang et al., WWW 2019): entities without names, items; no splits.
"""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sellarec_lab.data import SPLITS, at_hand
from sellarec_lab.data.errors import problem
from sellarec_lab.data.files import given
from sellarec_lab.data.members import Members, read_members
from sellarec_lab.data.tiny import default_folder
from sellarec_lab.kg.build import from_triples
from sellarec_lab.kg.graph import Graph, Graphs
from sellarec_lab.kg.tables import Table, read_table

LANGUAGES = ("el", "en", "es", "fr", "ja")
TINY = ("catalogue", "archive")
PAIRS = ("zh_en", "ja_en", "fr_en")
TRIPLE = ("head", "relation", "tail")
_SPLIT_FILES = {"train": "train", "valid": "val", "test": "test"}
_ITEM_FILE = "item_index2entity_id.txt"
_NONE = np.empty((0, 3), dtype=np.int64)


def load(name: str, root: str | Path | None = None, **options: Any) -> Graphs:
    """Load knowledge graphs by name.

    Args:
        name: "tiny", "dbp-5l", "dbp15k", "fb15k-237", "wn18rr", "mkr-movie" or "mkr-book".
        root: the zip or tar.gz as published, the unpacked folder, or a folder that holds either; tiny needs none.
            Without it they are sought in the folder ``kg`` of the one that the environment's SELLAREC_DATA names.
        options: of dbp15k: `pair`, "zh_en" (default), "ja_en" or "fr_en".

    Returns:
        The graphs "catalogue" and "archive" of tiny, "el", "en", "es", "fr" and "ja" of dbp-5l, the two languages of
        dbp15k, else one called `name`.
        dbp15k and mkr come without splits: all triples are in train (`split_triples` makes some).

    Raises:
        ValueError: unknown name or pair; the message lists the known ones.
        TypeError: an option that the set does not know.
        DataError: a file is missing or damaged; it names the file and the line.
    """
    if name not in LOADERS:
        raise ValueError(f"unknown graphs {name!r}; known: {', '.join(LOADERS)}. For your own use from_triples.")
    if name == "tiny" and root is None:
        root = default_folder()
    return LOADERS[name](name, given(root or at_hand("kg"), name, f"the archive or folder {name}"), **options)


def _dbp5l(name: str, root: Path) -> Graphs:
    members = read_members(root, name, _dbp5l_files())
    relations = read_table(members, "relations.txt", ["relation"])
    names = tuple(relations.once("relation", relations.text("relation")))
    graphs = {language: _language(members, language, names) for language in LANGUAGES}
    links = dict(_seed_links(members, graphs, *pair) for pair in combinations(LANGUAGES, 2))
    return Graphs(graphs, links, shared_relations=True)


def _dbp5l_files() -> list[str]:
    entities = [f"entity/{language}.tsv" for language in LANGUAGES]
    triples = [f"kg/{language}-{end}.tsv" for language in LANGUAGES for end in _SPLIT_FILES.values()]
    links = [f"seed_alignlinks/{a}-{b}.tsv" for a in LANGUAGES for b in LANGUAGES if a != b]
    return ["relations.txt", *entities, *triples, *links]


def _language(members: Members, language: str, relations: tuple[str, ...]) -> Graph:
    # Some names stand in a language's list two or three times, so names are not looked up.
    entities = tuple(read_table(members, f"entity/{language}.tsv", ["entity"]).text("entity"))
    known = pd.RangeIndex(len(entities)), pd.RangeIndex(len(relations))
    files = {part: f"kg/{language}-{end}.tsv" for part, end in _SPLIT_FILES.items()}
    parts = {part: _numbered(read_table(members, file, TRIPLE), *known) for part, file in files.items()}
    return Graph(language, entities, relations, **parts)


def _numbered(table: Table, entities: pd.Index, relations: pd.Index) -> np.ndarray:
    """Published ids to rows of the two lists. int64 [n, 3]"""
    an_entity = f"one of the {len(entities)} entities"
    head, tail = (table.places(column, entities, an_entity) for column in ("head", "tail"))
    return np.stack([head, table.places("relation", relations, f"one of {len(relations)} relations"), tail], axis=1)


def _seed_links(members: Members, graphs: dict[str, Graph], a: str, b: str) -> tuple[tuple[str, str], np.ndarray]:
    """The names of the pair as its file has them, and its links."""
    names = [f"seed_alignlinks/{first}-{second}.tsv" for first, second in ((a, b), (b, a))]
    there = [file for file in names if file in members.raw]
    if len(there) != 1:
        found = f"{len(there)} of them"
        raise problem(members.where(names[0]), f"this file or {names[1]}", found, "Keep the published one.")
    pair = (a, b) if there == names[:1] else (b, a)
    known = [pd.RangeIndex(graphs[language].n_entities) for language in pair]
    return pair, _linked(read_table(members, there[0], pair), *known)


def _linked(table: Table, first: pd.Index, second: pd.Index) -> np.ndarray:
    """int64 [n, 2]"""
    ends = zip(table.columns, (first, second), strict=True)
    columns = [table.places(name, known, f"one of the {len(known)} entities of {name}") for name, known in ends]
    return np.stack(columns, axis=1)


def _dbp15k(name: str, root: Path, pair: str = "zh_en") -> Graphs:
    if pair not in PAIRS:
        raise ValueError(f"unknown pair {pair!r}; choose one of {', '.join(PAIRS)}")
    files = [f"{pair}/{file}" for file in ("ent_ids_1", "ent_ids_2", "triples_1", "triples_2", "ref_ent_ids")]
    members, languages = read_members(root, name, files), pair.split("_")
    known = [_published_ids(read_table(members, file, ["id", "entity"])) for file in files[:2]]
    tables = [read_table(members, file, TRIPLE) for file in files[2:4]]
    graphs = {args[0]: _unsplit(*args) for args in zip(languages, tables, known, strict=True)}
    links = _linked(read_table(members, files[4], languages), *(entities.index for entities in known))
    return Graphs(graphs, {tuple(languages): links}, shared_relations=False)


def _published_ids(table: Table) -> pd.Series:
    """Names in the file's order, by published id."""
    return pd.Series(table.text("entity"), index=table.once("id", table.numbers("id")))


def _unsplit(language: str, table: Table, entities: pd.Series) -> Graph:
    """All triples in train; relations have no names but their published ids."""
    relations = pd.Index(np.unique(table.numbers("relation")))
    train = _numbered(table, entities.index, relations)
    return Graph(language, tuple(entities), tuple(map(str, relations)), train, _NONE, _NONE)


def _named(name: str, root: Path) -> Graphs:
    """FB15k-237 and WN18RR: names in `train.txt`, `valid.txt` and `test.txt`."""
    files = {part: f"{part}.txt" for part in _SPLIT_FILES}
    members = read_members(root, name, list(files.values()))
    tables = {part: read_table(members, file, TRIPLE) for part, file in files.items()}
    return _alone(from_triples(name, **{part: _names(table) for part, table in tables.items()}))


def _names(table: Table) -> np.ndarray:
    """str objects [n, 3]"""
    return np.stack([table.text(column) for column in TRIPLE], axis=1)


def _mkr(name: str, root: Path) -> Graphs:
    """Triples in `kg.txt`; entities keep the order of their numbers, which are all the name they have."""
    members = read_members(root, name, ["kg.txt", _ITEM_FILE])
    triples, items = read_table(members, "kg.txt", TRIPLE), read_table(members, _ITEM_FILE, ["item", "entity"])
    head, relation, tail = triples.numbers("head"), triples.text("relation"), triples.numbers("tail")
    entities = pd.Index(np.unique(np.r_[head, tail]))
    names = entities.astype(str).to_numpy(dtype=object)
    own = names[items.places("entity", entities, "the head or tail of a triple")]
    shop = dict(zip(items.once("item", items.text("item")), own, strict=True))
    named = np.stack([head.astype(str), relation, tail.astype(str)], axis=1).astype(object)
    return _alone(from_triples(name, named, entities=names, items=shop))


def _tiny(name: str, root: Path) -> Graphs:
    files = {part: f"graphs/{part}.tsv" for part in ("catalogue", "archive", "links")}
    members = read_members(root, name, list(files.values()))
    catalogue, archive = (_split_inside(read_table(members, files[part], (*TRIPLE, "split"))) for part in TINY)
    films = {row[0].removeprefix("film "): row[0] for row in catalogue["train"] if row[0].startswith("film ")}
    graphs = {"catalogue": from_triples("catalogue", **catalogue, items=films)}
    graphs["archive"] = from_triples("archive", **archive)
    links = read_table(members, files["links"], TINY)
    ends = [links.named(part, pd.Index(graphs[part].entities), f"an entity of {part}") for part in TINY]
    return Graphs(graphs, {TINY: np.stack(ends, axis=1)}, shared_relations=False)


def _split_inside(table: Table) -> dict[str, np.ndarray]:
    """Triples by their split, which stands in the file. str objects [n, 3] each"""
    names, split = _names(table), table.text("split")
    table.refuse(~np.isin(split, SPLITS), "split", f"one of {', '.join(SPLITS)}")
    return {part: names[split == part] for part in SPLITS}


def _alone(graph: Graph) -> Graphs:
    return Graphs({graph.name: graph}, {}, shared_relations=False)


LOADERS: dict[str, Callable[..., Graphs]] = {
    "tiny": _tiny,
    "dbp-5l": _dbp5l,
    "dbp15k": _dbp15k,
    "fb15k-237": _named,
    "wn18rr": _named,
    "mkr-movie": _mkr,
    "mkr-book": _mkr,
}
