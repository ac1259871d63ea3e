"""The rows of the table of next items: what counts, what reads sequences, and LC-Rec task by task."""

from collections.abc import Callable

from sellarec_lab import collab, config, lcrec, runtime
from sellarec_lab.compare.outcomes import Method, put_together
from sellarec_lab.compare.tasks import DECODING
from sellarec_lab.config import TASKS, Preset
from sellarec_lab.data import Interactions
from sellarec_lab.runtime import Stage

_PAPER = "arXiv 2311.09049; adapters on a small backbone, intentions and preferences by rule"


def _method(title: str, group: str, source: str, stage: Callable[[Preset, Interactions], Stage], *more: str) -> Method:
    return Method(title, group, source, stage, tasks=("next-item", *more))


def _counts(title: str, source: str, name: str, model: Callable[[Preset, Interactions], object]) -> Method:
    def stage(cfg: Preset, data: Interactions) -> Stage:
        inputs = {"settings": config.as_dict(cfg.neighbours)}
        return runtime.stage(cfg, data, name, inputs, runtime.nothing, lambda _: model(cfg, data), code=code)

    code = ("sellarec_lab.collab.next_item",)
    return _method(title, "reference", source, stage)


def _lcrec(title: str, group: str, source: str, **changes: object) -> Method:
    """LC-Rec with fields of the preset changed, as ``lcrec__tasks=...``."""

    def stage(cfg: Preset, data: Interactions) -> Stage:
        return lcrec.Pipeline(config.changed(cfg, changes), data).model

    return _method(title, group, source, stage, DECODING.name)


def _by_template(number: int) -> Method:
    """LC-Rec as it was trained, asked by another of its sequence templates."""

    def below(cfg: Preset, data: Interactions) -> tuple[Stage, ...]:
        return (lcrec.Pipeline(cfg, data).model,)

    def read(cfg: Preset, data: Interactions) -> lcrec.LCRec:
        return below(cfg, data)[0].value().asking(number)

    stage = put_together(f"lcrec-template-{number + 1}", read, below, ("sellarec_lab.lcrec.model",))
    return _method(f"LC-Rec, asked by template {number + 1}", "ablation", "nothing is trained for it", stage)


BY_TEMPLATE = {
    f"lcrec-template-{number + 1}": _by_template(number) for number in range(1, len(lcrec.TEMPLATES["sequence"]))
}
NEXT_ITEM: dict[str, Method] = {
    "next-popularity": _counts(
        "Popularity, next item", "number of the item's rows in train", "next-popularity",
        lambda cfg, data: collab.PopularNext(data),
    ),
    "item-knn": _counts(
        "Item neighbours", "cosine over train's users, recent items count more", "item-neighbours",
        lambda cfg, data: collab.ItemNeighbours(data, cfg.neighbours),
    ),
    "sasrec-next": _method(
        "SASRec, full softmax", "collaborative", "arXiv 1808.09781, cross-entropy over the catalogue (2309.07602)",
        collab.next_item_stage,
    ),
    "tiger": _lcrec(
        "Indices without language (TIGER-style)", "paper", "after arXiv 2305.05065: a decoder trained from nothing",
        lcrec__language=False, lcrec__tasks=("sequence",),
    ),
    **{
        f"lcrec-{short}": _lcrec(f"LC-Rec, {' + '.join(names)}", "ablation", _PAPER, lcrec__tasks=TASKS[:many])
        for many, (short, names) in enumerate(
            [("seq", ["SEQ"]), ("mut", ["SEQ", "MUT"]), ("asy", ["SEQ", "MUT", "ASY"]),
             ("ite", ["SEQ", "MUT", "ASY", "ITE"])], start=1,
        )
    },
    "lcrec": _lcrec("LC-Rec, all tasks", "paper", _PAPER),
    "lcrec-random-rows": _lcrec(
        "LC-Rec, new tokens start at random", "ablation", _PAPER + "; its own start", lcrec__start="random"
    ),
    "lcrec-sinkhorn": _lcrec(
        "LC-Rec, indices repaired by balance", "ablation", _PAPER + "; collisions that are left share their credit",
        indices__repair="sinkhorn",
    ),
    "lcrec-prefix": _lcrec(
        "LC-Rec + prefix loss", "beyond", "the loss of arXiv 2603.02730 (APAO, pointwise) on top", lcrec__prefix=0.1
    ),
    "lcrec-collaborative": _lcrec(
        "LC-Rec, indices of words and SASRec", "beyond",
        "after arXiv 2405.07314 (LETTER): SASRec's item vectors beside the words', without its loss",
        lcrec__collaborative=1.0,
    ),
    **BY_TEMPLATE,
}  # fmt: skip
