"""The table as people read it: one row a model, values with their intervals as text, the best in bold."""

import html
import re
from collections.abc import Callable

import numpy as np
import pandas as pd

from sellarec_lab import metrics
from sellarec_lab.compare.methods import CEILINGS, TITLES
from sellarec_lab.compare.tables import TAILS, UNCORRECTED
from sellarec_lab.compare.tasks import DECODING, LAST_ITEM, LINK, QUESTION

_ONE_SEED = "One seed: how much another would change is not in these intervals"
_INTERVAL = re.compile(r"(-?[\d.]+) \[(.*), (.*)\]")  # as `_text` writes it


class Summary(pd.DataFrame):
    """The table as people read it; in a notebook the best learned model of every column stands out, and intervals are
    shown where one points."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return Summary

    def best(self) -> pd.DataFrame:
        """Where the best learned model of a column stands; what a model cost is no contest."""
        values = self.astype(str).apply(lambda c: pd.to_numeric(c.str.extract(r"^(-?\d*\.?\d+)")[0], errors="coerce"))
        values.loc[values.index.isin([TITLES[name] for name in CEILINGS])] = np.nan
        less = [name for name in values if name.upper().split()[-1] in ("LOSS", "ECE")]
        top = values.max().where(~values.columns.isin(less), values.min())
        top[[name for name in ("seeds", "seconds", "peak GB", "parameters") if name in values]] = np.nan
        return values == top

    def _repr_html_(self) -> str:
        props = {"th.row_heading": "text-align:left;white-space:nowrap", "td": "white-space:nowrap"}
        props["caption"] = "text-align:left;font-size:1.35em;font-weight:600;color:#9c3f00"
        looks = [{"selector": place, "props": look} for place, look in props.items()]
        bold = np.where(self.best(), "font-weight:bold", "")
        styled = pd.DataFrame(self).style.apply(lambda _: bold, axis=None).set_table_styles(looks)
        if self.attrs.get("title"):
            styled.set_caption(self.attrs["title"])
        return styled.format(_pointed, na_rep="").format_index(escape="html").to_html()


def _pointed(value: object) -> str:
    """A value as html, its interval where one points."""
    found = _INTERVAL.fullmatch(str(value))
    if found:
        return f"<span title='95 % interval {found[2]} to {found[3]}'>{found[1]}</span>"
    return f"{value:.2f}" if isinstance(value, float) else html.escape(str(value))


def summary(results: pd.DataFrame, costs: pd.DataFrame | None = None) -> Summary:
    """One row a model: AUC and UAUC with intervals, warm and cold, what else was measured, and where the world is
    known, how much of the gap between chance and the oracle, and what is knowable (so far), is closed. ``costs`` (see
    `cells`) adds mean seconds and peak memory a seed. ``attrs["title"]`` says where one seed is all there is."""
    results = results[~results["split"].isin(["test-warm3", "test-cold3"])]
    text = results.assign(
        text=[_text(*row) for row in results[["value", "low", "high"]].itertuples(index=False)],
        column=[_column(s, m) for s, m in zip(results["split"], results["metric"])],
    )
    wide = text.pivot(index="model", columns="column", values="text")
    wide = wide.reindex(index=results["model"].unique(), columns=text["column"].unique())
    auc = results[(results["split"] == "test") & (results["metric"] == "auc")].set_index("model")["value"]
    for ceiling in [name for name in ("knowable-so-far", "knowable", "oracle") if name in auc]:
        closed = ["" if np.isnan(auc[m]) else f"{metrics.gap_closed(auc[m], auc[ceiling]):.0%}" for m in wide.index]
        wide.insert(1, f"{ceiling} gap closed", closed)
    seeds = results.groupby("model")["seeds"].max()
    if seeds.nunique() > 1:
        wide.insert(0, "seeds", seeds)
    if costs is not None:
        mean = costs.groupby("model")[["seconds", "peak_gb"]].mean()
        wide["seconds"], wide["peak GB"] = mean["seconds"].round(0), mean["peak_gb"].round(2)
        if "parameters" in costs and costs["parameters"].notna().any():
            many = costs.groupby("model")["parameters"].first()
            wide["parameters"] = [f"{n:,.0f}" if n == n else "" for n in many.reindex(wide.index).astype(float)]
    shown = Summary(wide.rename(index=TITLES).rename_axis(None, axis=1).rename_axis(None))
    shown.attrs["title"] = _ONE_SEED if seeds.max() == 1 else ""
    return shown


def _text(value: float, low: float, high: float) -> str:
    if np.isnan(value):
        return "failed"
    return f"{value:.4f}" if np.isnan(low) else f"{value:.4f} [{low:.3f}, {high:.3f}]"


def _column(split: str, metric: str) -> str:
    if split == DECODING.name:
        return {"survived": "beams find of the best 20", "exists": "exists, unconstrained"}[metric]
    if split == UNCORRECTED:
        return f"{metric.upper()}, {split}"
    part = {"test": "all", "test-warm": "warm", "test-cold": "cold"}.get(split, split)
    if split == QUESTION.name:
        return f"questions: {metric.upper()}"
    if metric in LINK.metrics and not split.startswith("catalogue"):
        return f"{'tails' if split == TAILS else 'both ends'}: {metric.upper()}"
    ranked = split.startswith("catalogue") or metric in LAST_ITEM.metrics
    return metric.upper() if ranked else f"{part} {metric.upper().replace('_', ' ')}"
