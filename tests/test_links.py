"""Links as a task of the one table: rows of all kinds, both protocols, the command, the section."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from sellarec_lab import compare, config, kg, report
from sellarec_lab.__main__ import main

sys.path.append(str(Path(__file__).parent / "kg"))
from cinemas_by_rule import cinemas, preset

MODELS = ["kg-frequency", "kg-lookup", "kg-transe", "kg-alone", "kg-merged", "kg-student"]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    cfg = preset(tmp_path_factory.mktemp("links"))
    return cfg, compare.run(cfg, cinemas(), MODELS)


def test_links_stand_in_the_one_table_under_both_protocols(scored) -> None:
    cfg, ranks = scored
    assert not ranks.failures
    results = compare.table(cfg, cinemas(), ranks, samples=20)
    assert set(results["split"]) >= {"test", compare.TAILS}
    measured = results[results["split"] == compare.TAILS]
    assert set(measured["metric"]) == {"mrr", "hits@1", "hits@3", "hits@10"} and set(measured["model"]) == set(MODELS)
    by = results.set_index(["model", "split", "metric"])["value"]
    frame = ranks["kg-student"][0]
    tails = frame[frame["side"] == "tail"]
    assert by["kg-student", compare.TAILS, "mrr"] == pytest.approx((1 / tails["rank"]).mean())
    assert by["kg-student", "test", "hits@1"] == pytest.approx((frame["rank"] <= 1).mean())
    assert by["kg-student", compare.TAILS, "mrr"] > by["kg-frequency", compare.TAILS, "mrr"]


def test_questions_are_asked_of_all_that_have_vectors(scored) -> None:
    cfg, ranks = scored
    results = compare.table(cfg, cinemas(), ranks, samples=20)
    told = results[results["split"] == "question"]
    assert set(told["model"]) == {"kg-transe", "kg-alone", "kg-merged", "kg-student"} and (told["seeds"] == 1).all()
    known = compare.answers(cfg, cinemas(), "kg-student")
    asked = kg.questions(cinemas()["here"], hops=3)
    assert len(known) == asked["answers"].map(len).sum()
    by = told.set_index(["model", "metric"])["value"]
    assert by["kg-student", "mrr"] == pytest.approx((1 / known.groupby("query")["rank"].min()).mean())


def test_models_are_compared_on_the_same_questions(scored) -> None:
    tests = compare.paired_tests(scored[1], "kg-student", samples=20)
    assert set(tests["metric"]) == {"mrr", "hits@1"} and set(tests["split"]) == {"test", compare.TAILS}
    assert (tests.loc[tests["split"] == "test", "users"] == 2 * len(cinemas()["here"].test)).all()


def test_the_section_says_what_was_asked(scored) -> None:
    cfg, ranks = scored
    results = compare.table(cfg, cinemas(), ranks, samples=20)
    tests, cells = compare.paired_tests(ranks, "kg-student", samples=20), compare.cells(cfg, cinemas(), ranks)
    text = compare.section(results, tests, cells, "kg-student", "facts")
    assert (
        "questions: MRR" in text
        and "tails: MRR" in text
        and "both ends: HITS@1" in text
        and "Names of entities are not used" in text
    )


def test_which_rows_there_are_follows_from_the_data() -> None:
    assert set(compare.models_for(cinemas(), "all")) == set(compare.LINKS)
    assert "kg-no-teacher" in compare.models_for(cinemas(), "ablation")


def test_every_ablation_changes_one_thing(tmp_path) -> None:
    cfg, graphs = preset(tmp_path), cinemas()
    keys = {name: compare.method(name).stage(cfg, graphs).key for name in compare.LINKS}
    assert len(set(keys.values())) == len(keys)


def test_the_command_fills_the_table(tmp_path, capsys) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- kg:fast -->\n<!-- /kg:fast -->\n")
    models = "kg-frequency,kg-student"
    asked = ["kg", "--preset", "fast", "--artifacts", str(tmp_path), "--models", models, "--workers", "1"]
    assert main([*asked, "--into", str(page)]) == 0
    assert "Student" in capsys.readouterr().out and "tails: MRR" in page.read_text()
    results = pd.read_csv(tmp_path / "fast" / "links" / "results.csv")
    assert set(results["model"]) == set(models.split(","))
    with pytest.raises(ValueError, match="choose one of catalogue, archive"):
        main([*asked, "--target", "moon"])


def test_questions_go_by_name() -> None:
    assert report.links("el").section == "kg:el" and report.links().section == "kg"
    assert config.preset("ml-1m-cpu").kg.graphs == "mkr-movie"
