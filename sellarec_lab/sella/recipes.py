"""Every pointwise LLM recommender as a recipe of one machine: which slots, what fills them, what was trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """One method.

    Args:
        title: name in tables.
        slots: kinds of soft tokens in its prompt.
        tuned: stage 1 has tuned the backbone on the task.
        vectors: where the collaborative tables come from: "mf" (matrix factorisation alone), "aligned" (stage 2b).
        warm_start: the head is the one that alignment trained; otherwise it starts random.
        frozen: parts that this method never trains in stage 3, whatever the preset's ``injection.trainable`` says.
        source: paper or reference, and how this recipe departs from it.
    """

    title: str
    slots: tuple[str, ...] = ()
    tuned: bool = True
    vectors: str = "mf"
    warm_start: bool = False
    frozen: tuple[str, ...] = ()
    source: str = ""


RECIPES = {
    "zero-shot": Recipe(
        "LLM without tuning", tuned=False, source="in-context judgement (ICL row of arXiv 2310.19488): no task tuning"
    ),
    "tallrec": Recipe(
        "LLM tuned on text (TALLRec)", source="TALLRec, arXiv 2305.00447: LoRA on text prompts; here it is stage 1"
    ),
    "collm": Recipe(
        "CoLLM-like", ("user", "item"), frozen=("tables", "semantics"),
        source="CoLLM-MF, arXiv 2310.19488: frozen MF vectors, random projector; LoRA as in the preset (paper: frozen)",
    ),
    "sella": Recipe(
        "SeLLa-Rec", ("user", "item", "warm"), vectors="aligned", warm_start=True,
        source="SeLLa-Rec, arXiv 2504.10107: aligned vectors, warm-started head, three tokens",
    ),
}  # fmt: skip


def recipe(name: str) -> Recipe:
    """Look a recipe up by name.

    Raises:
        ValueError: unknown name; lists the known ones.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known recipes: {', '.join(RECIPES)}")
    return RECIPES[name]
