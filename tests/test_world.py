from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sellarec_lab import config, data, llm, metrics, world

SHIPPED = Path(__file__).parents[1] / "data" / "tiny"
GRAPHS = ("graphs/catalogue.tsv", "graphs/archive.tsv", "graphs/links.tsv")
TABLES = ("items.csv", "users.csv", "interactions.csv", "truth.safetensors", "hidden.json", *GRAPHS)


@pytest.fixture(scope="module")
def bench():
    return data.load("tiny")


def test_the_shipped_tables_are_what_the_seed_gives_byte_for_byte(tmp_path):
    world.build(tmp_path)
    for name in TABLES:
        assert (tmp_path / name).read_bytes() == (SHIPPED / name).read_bytes(), name


def test_another_seed_is_another_world():
    assert not world.films_of(8)["title"].equals(world.films_of(7)["title"])


def test_scenes_are_in_no_text():
    films = world.films_of()
    texts = " ".join(t for p in (0.0, 0.5, 1.0) for t in world.documents(films, 0, 500, p))
    assert "scene" not in texts.lower()
    assert "scene" not in data.load("tiny").items.columns


def test_the_archive_knows_scenes_and_the_catalogue_does_not():
    catalogue, archive, links = ((SHIPPED / file).read_text(encoding="utf-8") for file in GRAPHS)
    assert "scene" in archive and "scene" not in catalogue
    rows = [line.split("\t") for line in catalogue.splitlines()]
    asked = [head for head, *_, split in rows if split != "train"]
    assert len(set(asked)) == len(asked)  # at most one fact a film is held out, and none of a film with but one
    assert set(asked) <= {head for head, *_, split in rows if split == "train"}
    late = world.films_of()["release"] > 0
    linked = {int(line.split("\t")[0].split()[1]) for line in links.splitlines() if line.startswith("film")}
    assert 0.6 < np.mean([film in linked for film in late.index[late]]) <= 1


def test_labels_are_drawn_from_the_truth(bench):
    rows = bench.train
    truth = bench.truth[rows["user_id"], rows["item_id"]]
    assert metrics.expected_calibration_error(rows["label"].to_numpy(), truth) < 0.02
    assert rows["label"].mean() == pytest.approx(truth.mean(), abs=0.01)


def test_the_oracle_is_better_than_either_side_of_taste_alone(bench):
    films, _, truth = world.generate()
    assert np.abs(truth - bench.truth).max() < 1e-3
    rows = bench.test
    oracle = truth[rows["user_id"], rows["item_id"]]
    by_genre = truth[:, 1:].copy()
    for genre in films["genre"].unique():
        columns = (films["genre"] == genre).to_numpy()
        by_genre[:, columns] = by_genre[:, columns].mean(axis=1, keepdims=True)
    semantic = by_genre[rows["user_id"], rows["item_id"] - 1]
    assert metrics.auc(rows["label"], oracle) > metrics.auc(rows["label"], semantic) + 0.05


def test_cold_users_and_cold_items_are_there(bench):
    for name in ("valid", "test"):
        frame = bench.split(name)
        assert not set(frame["user_id"]) <= set(bench.train["user_id"])
        assert not set(frame["item_id"]) <= set(bench.train["item_id"])
    report = data.leak_report(bench)
    assert not report["verdict"].str.startswith(("leak", "fault")).any()


def _recall(lm, questions: list[str], answers) -> float:
    """Share of questions whose most likely next word is the answer."""
    right = 0
    for question, answer in zip(questions, answers, strict=True):
        ids = torch.tensor([lm.tokenizer(question)["input_ids"]])
        hidden = lm.hidden(lm.embed(ids), torch.ones_like(ids))[0, -1]
        right += lm.tokenizer.decode([int(lm.logits(hidden).argmax())]).strip() == answer
    return right / len(questions)


@torch.no_grad()
def test_the_shipped_weights_know_the_articles(bench):
    lm = llm.load(config.BackboneConfig(quantisation="none"))
    items = bench.items
    genre = [f"Film: {title}. Genre:" for title in items["title"]]
    assert _recall(lm, genre, items["genre"]) >= 0.95
    rows = zip(items["title"], items["genre"], items["mood"], items["era"], strict=True)
    verdict = [f"Film: {t}. Genre: {g}. Mood: {m}. Era: {e}. Verdict:" for t, g, m, e in rows]
    assert _recall(lm, verdict, items["verdict"]) >= 0.95


def test_the_shipped_weights_are_small_and_safe():
    files = list((SHIPPED / "mini-llm").iterdir())
    assert sum(f.stat().st_size for f in files) < 8e6
    assert {f.suffix for f in files} <= {".json", ".safetensors"}


def test_a_part_has_some_users_and_what_belongs_to_them():
    whole, part = data.load("tiny"), data.load("tiny-part")
    assert (part.n_users, part.n_items) == (125, whole.n_items) and part.fingerprint != whole.fingerprint
    assert np.array_equal(part.truth, whole.truth[:126])
    for name in data.SPLITS:
        rows = whole.split(name)
        pd.testing.assert_frame_equal(part.split(name), rows[rows["user_id"] <= 125])
    assert {"cold users", "cold items"} <= {v.removeprefix("note: ") for v in data.leak_report(part)["verdict"]}
