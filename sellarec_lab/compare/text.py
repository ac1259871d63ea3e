"""The results as a section of a markdown file, so that no number is ever copied by hand."""

import re
from pathlib import Path

import pandas as pd

from sellarec_lab import runtime
from sellarec_lab.compare.methods import METHODS, TITLES
from sellarec_lab.compare.next_item import BY_TEMPLATE
from sellarec_lab.compare.summary import Summary, summary
from sellarec_lab.compare.tables import NEXT_METRICS, RANKING

_COST = "a seed: all that the scores rest on, with the pre-training of a backbone that is made here"
_RANKING = (
    "candidates are all items that the user did not rate before test, and what the user likes in test is relevant."
)
_NEXT = (
    "Leave-one-out: each user's last item among the whole catalogue, nothing excluded, all users; items that a model "
    "can't tell apart share the mean of their ranks. *Ties count as hits* gives each of them the best of these ranks, "
    "as tables that compare indices do: writing an index that eight items share is then eight hits. *Beams find*: the "
    "share of the exact 20 best that 20 beams find; *exists*: how often the most probable tokens, without any "
    "constraint, are the index of an item (200 users, first seed). SASRec's state was chosen by NDCG@10 on valid, that "
    "of the models that write by their loss on valid's next items."
)
_LINKS = (
    "Every triple of the target's test split asks for both its ends, the head as the tail of the inverse relation; "
    "candidates are all entities of the target, every other triple of train, valid and test left out; ties at the mean "
    "of their ranks (*ties count as hits*: at the best). *Tails*: tails alone, as papers on DBP-5L ask; easier. Names "
    "of entities are not used. States were chosen by MRR on valid. *Questions*: chains of three relations; the "
    "best-placed answer that hangs on a fact held out counts, as a small reader over the model's entity vectors, which "
    "stay as they are, ranks it (first seed)."
)
_TESTS = (
    "p-values after Holm's correction over the models; *detectable* is the true difference that the comparison would "
    "find with 80 % power."
)


def section(results: pd.DataFrame, tests: pd.DataFrame, cells: pd.DataFrame, against: str, facts: str) -> str:
    """The section: what was run (``facts``), the table, the paired tests, the stricter warm and cold, what failed."""
    if "auc" not in set(results["metric"]):
        asked = _LINKS if "mrr" in set(results["metric"]) else _NEXT
        return _ranked(results, tests, cells, against, f"{facts}\n\n{asked}")
    wide = summary(results, cells)
    first = [
        c for c in wide.columns if c.startswith(("seeds", "all AUC", "oracle", "knowable", "all UAUC", "warm", "cold"))
    ]
    rest = ["all NDCG", "all MAP", "all LOG LOSS", "all ECE", "seconds", "peak GB"]
    counted = tests[tests["metric"] == "uauc"].groupby("split", sort=False)["users"].first()
    users = ", ".join(f"{n} ({part})" for part, n in counted.items())
    out = [facts, *_title(wide), markdown(wide[first])] + [f"Users that UAUC can count: {users}."] * bool(users)
    out += [f"Within users, calibration (after a logistic fit on valid) and cost ({_COST}):"]
    out += [markdown(wide[[c for c in rest if c in wide]])]
    ranked = results.loc[results["metric"].isin(RANKING), "split"]
    if len(ranked):
        out += [f"Whole catalogue, first seed, {ranked.iloc[0].removeprefix('catalogue-')} users; {_RANKING}"]
        out += [markdown(wide[[m.upper() for m in RANKING]].dropna(how="all"))]
    out += _tests(tests, against, "users")
    strict = results[results["split"].isin(["test-warm3", "test-cold3"])]
    if len(strict):
        out += ["Warm and cold by the stricter definition (user and item at least three times in train):"]
        out += [markdown(_strict(strict))]
    return "\n\n".join([*out, *_failed(cells)]) + "\n"


def _ranked(results: pd.DataFrame, tests: pd.DataFrame, cells: pd.DataFrame, against: str, facts: str) -> str:
    wide = summary(results, cells)
    out = [f"{facts} Cost: {_COST}.", *_title(wide), markdown(wide), *_templates(results)]
    same = "users" if "hr@10" in set(results["metric"]) else "questions"
    out += _tests(tests, against, same)
    return "\n\n".join([*out, *_failed(cells)]) + "\n"


def _title(wide: Summary) -> list[str]:
    """What stands large above the table, where it has a title."""
    return [f"### {wide.attrs['title']}"] if wide.attrs["title"] else []


def _templates(results: pd.DataFrame) -> list[str]:
    """One sentence on how much it matters by which template LC-Rec is asked."""
    rows = results[results["model"].isin(["lcrec", *BY_TEMPLATE]) & (results["split"] == "test")]
    if rows["model"].nunique() < 1 + len(BY_TEMPLATE):
        return []
    told = [
        f"{metric.upper()} {v.mean():.4f} ± {v.std():.4f} ({v.min():.4f} to {v.max():.4f})"
        for metric, v in rows[rows["metric"].isin(NEXT_METRICS)].groupby("metric")["value"]
    ]
    return [f"Over its {1 + len(BY_TEMPLATE)} templates LC-Rec has (mean ± standard deviation): {', '.join(told)}."]


def _failed(cells: pd.DataFrame) -> list[str]:
    failed = cells[cells["error"].fillna("") != ""]
    return ["Failed:", markdown(failed[["model", "seed", "error"]], index=False)] if len(failed) else []


def _tests(tests: pd.DataFrame, against: str, same: str) -> list[str]:
    """Nothing where one model stands alone."""
    if not len(tests):
        return []
    rows = tests[tests["split"] == "test"]
    text = {
        "against": rows["model"].map(TITLES),
        "metric": rows["metric"].str.upper(),
        "difference": [f"{v:+.4f}" for v in rows["difference"]],
        "95 % interval": [f"[{a:+.4f}, {b:+.4f}]" for a, b in zip(rows["low"], rows["high"])],
        "p (Holm)": ["< 0.0001" if p < 1e-4 else f"{p:.4f}" for p in rows["p_holm"]],
        "detectable": [f"{v:.4f}" for v in rows["detectable"]],
    }
    table = pd.DataFrame(text).sort_values("metric", kind="stable")
    return [f"{TITLES[against]} minus each, on the same {same}; {_TESTS}", markdown(table, index=False)]


def _strict(rows: pd.DataFrame) -> pd.DataFrame:
    part = rows["split"].str.removeprefix("test-") + " " + rows["metric"].str.upper()
    text = rows.assign(part=part, text=rows["value"].map("{:.4f}".format))
    wide = text.pivot(index="model", columns="part", values="text")
    order = [name for name in METHODS if name in wide.index]
    return wide.loc[order, part.unique()].rename(index=TITLES).rename_axis(None)


def markdown(frame: pd.DataFrame, index: bool = True) -> str:
    """A frame as a markdown table."""
    frame = frame.reset_index(names="model") if index else frame
    rows = [["" if pd.isna(v) else str(v) for v in row] for row in frame.astype(object).to_numpy()]
    cells = [list(map(str, frame.columns)), ["---"] * frame.shape[1], *rows]
    return "\n".join("| " + " | ".join(c.replace("|", "\\|").replace("<", "&lt;") for c in row) + " |" for row in cells)


def write_section(path: Path, name: str, text: str) -> None:
    """Put a section between its marks ``<!-- name -->`` and ``<!-- /name -->`` in a file; atomic.

    Raises:
        ValueError: the file has no such marks.
    """
    before, start, end = _marked(path, name)
    pattern = re.escape(start) + r".*?" + re.escape(end)
    runtime.write_text(path, re.sub(pattern, lambda _: f"{start}\n{text}\n{end}", before, flags=re.DOTALL))


def check_section(path: Path, name: str) -> None:
    """See that `write_section` will find its place, before hours go into what it is to write.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has no such marks.
    """
    _marked(path, name)


def _marked(path: Path, name: str) -> tuple[str, str, str]:
    """The file's text, and the marks that it must hold."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; make one that holds the marks {start} and {end}")
    text = path.read_text(encoding="utf-8")
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"{path}: expected the marks {start} and {end} once each; add them where the section goes")
    return text, start, end
