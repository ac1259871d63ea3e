"""Every pointwise LLM recommender as a recipe of one machine: which slots, what fills them, what was trained.

A method, an ablation and an idea beyond the papers differ in a few fields; everything else is shared, so a difference
between two rows of a table is the difference between two recipes.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sellarec_lab import config, runtime
from sellarec_lab.config import Preset
from sellarec_lab.projector import FILLERS
from sellarec_lab.prompts import KINDS

PARTS = ("projector", "tables", "semantics", "lora")  # what stage 3 can train
GROUPS = ("paper", "control", "ablation", "beyond")


@dataclass(frozen=True)
class Recipe:
    """One method.

    Args:
        title: name in tables.
        slots: kinds of soft tokens in its prompt.
        tuned: stage 1 has tuned the backbone on the task.
        aligned: what comes from stage 2b, of "tables" (users, items, semantics) and "head". Otherwise: matrix
            factorisation alone and the centred semantics; a random head.
        semantic_map: how the map of `<Warm_ID>` starts: "random" (the paper's) or "identity".
        head: how the head of users and items starts where stage 2b gives none: "random" or "procrustes", the rotation
            that takes collaborative vectors nearest to the semantics.
        graph: what a knowledge graph of the items gives: "" nothing, "cold" the vectors of items without interactions,
            "tokens" those of all items and users.
        codes: the prompt tells binary codes of user and item as text.
        frozen: parts that this method never trains in stage 3, whatever the preset's ``injection.trainable`` says.
        changes: settings of the preset that this method has otherwise, as (path, value); see `config.replace`.
        group: "paper" (a published method), "control" (what a result would be without something that it might rest on),
            "ablation" (SeLLa-Rec with one thing changed), "beyond" (not published).
        source: paper or reference, and how this recipe departs from it.

    Raises:
        ValueError: a combination that can't work, with the reason.
    """

    title: str
    slots: tuple[str, ...] = ()
    tuned: bool = True
    aligned: tuple[str, ...] = ()
    semantic_map: str = "random"
    head: str = "random"
    graph: str = ""
    codes: bool = False
    frozen: tuple[str, ...] = ()
    changes: tuple[tuple[str, Any], ...] = ()
    group: str = "paper"
    source: str = ""

    def __post_init__(self):
        _refuse(self.title, _problems(self))

    def applied(self, cfg: Preset) -> Preset:
        """The preset with this recipe's changes."""
        for path, value in self.changes:
            cfg = config.replace(cfg, path, value)
        return cfg

    @property
    def collaborative(self) -> bool:
        """Its prompt has tokens of users or items, so it rests on item semantics and collaborative tables."""
        return any(FILLERS[kind].map for kind in self.slots)

    def machine(self) -> dict[str, Any]:
        """What decides its weights beside the preset: not how it is called, nor what ``changes`` did to the preset;
        but how each of its tokens is filled."""
        told = {k: v for k, v in config.as_dict(self).items() if k not in ("title", "source", "group", "changes")}
        told = {k: v for k, v in told.items() if k != "graph" or v}  # recipes without one keep their keys
        kinds = {kind: [*FILLERS[kind], runtime.function_digest(KINDS[kind].slots)] for kind in self.slots}
        return told | {"kinds": kinds}


def _problems(recipe: Recipe) -> Iterator[str]:
    """Why a recipe can't work, if so."""
    fillers = [FILLERS[kind] for kind in recipe.slots if kind in FILLERS]
    if unknown := [kind for kind in recipe.slots if kind not in KINDS or kind not in FILLERS]:
        yield f"nothing fills a {unknown[0]!r} token; known kinds: {', '.join(FILLERS)}"
    if len(set(recipe.slots)) < len(recipe.slots):
        yield "a kind of soft token stands in slots twice; a prompt has one place for it"
    if set(recipe.aligned) - {"tables", "head"} or recipe.aligned == ("head",):
        yield "aligned takes 'tables' and 'head'; a head without the tables that it was trained on reads noise"
    if recipe.graph not in ("", "cold", "tokens"):
        yield f"graph is 'cold', 'tokens' or empty, got {recipe.graph!r}"
    if recipe.graph and not {"users", "items"} & {filler.table for filler in fillers}:
        yield "nothing in the prompt would use what the graph gives; name tokens of users or items in slots"
    if recipe.graph == "tokens" and recipe.aligned:
        yield "tokens of a graph are not those that stage 2b aligned; leave aligned empty"
    if recipe.semantic_map not in ("identity", "random"):
        yield f"semantic_map is 'identity' or 'random', got {recipe.semantic_map!r}"
    if recipe.head not in ("random", "procrustes"):
        yield f"head is 'random' or 'procrustes', got {recipe.head!r}"
    if recipe.head != "random" and ("head" in recipe.aligned or not {"user", "item"} & set(recipe.slots)):
        yield "nothing would start so: stage 2b gives the head, or no token of users or items needs one"
    if set(recipe.frozen) - set(PARTS):
        yield f"frozen names parts of stage 3: {', '.join(PARTS)}"
    if any(filler.map for filler in fillers) and not recipe.tuned:
        yield "tokens of users and items rest on semantics that stage 1's model tells; set tuned=True"
    if recipe.aligned and not any(filler.map for filler in fillers):
        yield "nothing in the prompt would use what stage 2b aligned; name tokens in slots or leave aligned empty"
    if (recipe.slots or recipe.codes) and not recipe.tuned and "lora" not in recipe.frozen:
        yield "stage 3 has no adapter to train without stage 1; put 'lora' into frozen"
    if recipe.codes and not recipe.slots and "lora" in recipe.frozen:
        yield "codes are words, so stage 3 would train nothing: leave 'lora' out of frozen"
    if recipe.group not in GROUPS:
        yield f"group is one of {', '.join(GROUPS)}, got {recipe.group!r}"


def _refuse(title: str, problems: Iterator[str]) -> None:
    if found := list(problems):
        raise ValueError(f"recipe {title!r}: {'; '.join(found)}")


SELLA = Recipe(
    "SeLLa-Rec", ("user", "item", "warm"), aligned=("tables", "head"), semantic_map="identity",
    source="SeLLa-Rec, arXiv 2504.10107: aligned vectors, warm-started head, three tokens. Departs: biases in the "
    "collaborative model, a decaying semantic table, the adapter trains on in stage 3 (each has its ablation)",
)  # fmt: skip


_ONE = "SeLLa-Rec with this one thing changed"


def _ablation(title: str, **fields: Any) -> Recipe:
    return dataclasses.replace(SELLA, title=f"SeLLa-Rec, {title}", group="ablation", source=_ONE, **fields)


_RETOLD = {  # what the prompt says: group, what the row says, why, the field of the prompt and its value
    "numbers": (
        "control", "numbers for titles", "nothing that the language model has read about an item can help",
        ("titles", "numbers"),
    ),
    "shuffled": (
        "control", "titles shuffled", "what the language model has read about an item misleads", ("titles", "shuffled")
    ),
    "genres": (
        "beyond", "genres", "genres in brackets behind every title, in the place of its year", ("titles", "genres")
    ),
    "disliked": (
        "beyond", "rating-aware history", "beside the likes shown up to ten titles that were disliked since the oldest "
        "of them, before the row: more than the papers of this family tell", ("disliked", 10),
    ),
}  # fmt: skip


def _retold(name: str, how: str) -> Recipe:
    (group, says, source, (field, value)), before = _RETOLD[how], RECIPES[name]
    changes = (*before.changes, (f"prompt__{field}", value))
    return dataclasses.replace(before, title=f"{before.title}, {says}", group=group, source=source, changes=changes)


def _beyond(title: str, source: str, **fields: Any) -> Recipe:
    return dataclasses.replace(SELLA, title=f"SeLLa-Rec + {title}", group="beyond", source=source, **fields)


RECIPES = {
    "zero-shot": Recipe(
        "LLM without tuning", tuned=False, source="in-context judgement (ICL row of arXiv 2310.19488): no task tuning"
    ),
    "soft-prompt": Recipe(
        "LLM with a soft prompt", ("prompt",), tuned=False, frozen=("tables", "semantics", "lora"),
        changes=(("injection__loop__learning_rate", 0.05),),
        source="prompt tuning, arXiv 2104.08691: eight learned vectors before the text, the backbone untouched",
    ),
    "tallrec": Recipe(
        "LLM tuned on text (TALLRec)", source="TALLRec, arXiv 2305.00447: LoRA on text prompts; here it is stage 1"
    ),
    "tallrec-longer": Recipe(
        "LLM tuned on text, then on with a soft prompt", ("prompt",), frozen=("tables", "semantics"), group="control",
        source="stage 3 with eight learned vectors that know no user or item: what more training brings by itself",
    ),
    "binllm": Recipe(
        "BinLLM-like", codes=True, frozen=("projector", "tables", "semantics"),
        source="BinLLM, arXiv 2406.03210: learned binary codes as text, the adapter trained on after stage 1. Departs: "
        "codes in groups of four bits, biases beside the codes' product; an unseen user or item has no code",
    ),
    "collm": Recipe(
        "CoLLM-like, frozen CF", ("user", "item"), frozen=("tables", "semantics"),
        source="CoLLM-MF, arXiv 2310.19488: frozen MF vectors, random projector. Departs: MF has biases, the adapter "
        "trains as in the preset (paper: frozen)",
    ),
    "collm-joint": Recipe(
        "CoLLM-like, tuned CF", ("user", "item"), frozen=("semantics",),
        source="CoLLM-MF with the CF model tuned in stage 3 from its trained state (T1 of arXiv 2310.19488, Table V)",
    ),
    "sella": SELLA,
    "sella-no-alignment": _ablation("no alignment", aligned=()),
    "sella-random-projector": _ablation("random projector", aligned=("tables",)),
    "sella-random-map": _ablation("random map of <Warm_ID>", semantic_map="random"),
    "sella-no-warm": _ablation("no <Warm_ID>", slots=("user", "item")),
    "sella-no-ids": _ablation("no <User_ID>, <Item_ID>", slots=("warm",)),
    "sella-frozen-semantics": _ablation(
        "frozen semantics", frozen=("semantics",), changes=(("alignment__semantics_move", False),)
    ),
    "sella-frozen-tables": _ablation("frozen CF tables", frozen=("tables",)),
    "sella-frozen-lora": _ablation("frozen adapter", frozen=("lora",)),
    "sella-no-bias": _ablation("CF without biases", changes=(("mf__biases", False),)),
    "sella-rince": _ablation("robust InfoNCE", changes=(("alignment__loss", "rince"),)),
    "sella-whole-loss": _ablation(
        "loss on the whole prompt",
        changes=(
            ("tuning__branches", 1), ("tuning__loss_on", "prompt"),  # branches would share the prompt
            ("injection__branches", 1), ("injection__loss_on", "prompt"),
        ),
    ),
    "sella-full-precision": _ablation("full precision", changes=(("backbone__quantisation", "none"),)),
    "sella-taste": _beyond(
        "<Taste_ID>", "the mean of what the history's items mean, as a fourth token: unseen users have one too",
        slots=("user", "taste", "item", "warm"),
    ),
    "sella-graph-cold": _beyond(
        "graph for cold items", "items without interactions get vectors told from a knowledge graph (ridge regression)",
        graph="cold",
    ),
    "sella-graph": _beyond(
        "graph tokens", "item tokens from a knowledge graph, user tokens the mean over likes in train; nothing aligned",
        graph="tokens", aligned=(),
    ),
    "sella-procrustes": _beyond(
        "head in closed form", "the head starts as the rotation (by SVD) of matrix factorisation's vectors onto the "
        "semantics; nothing is trained to align them",
        aligned=(), head="procrustes",
    ),
    "sella-genre-loss": _beyond(
        "genre loss", "ARROW (WSDM 2026): which genres the user likes, asked beside the answer, by how unsure it is; "
        "shares in train in the place of a larger model's words, in stage 3 alone",
        changes=(("injection__genres", 1.0),),
    ),
    "sella-pairwise": _beyond(
        "pairwise loss", "BPR (arXiv 1205.2618) within a user on logit(Yes) - logit(No), beside the answer's loss",
        changes=(("injection__pairwise", 0.5),),
    ),
}  # fmt: skip

_CONTROLS = [(name, how) for how in ("numbers", "shuffled") for name in ("zero-shot", "tallrec")]
_TOLD_MORE = [(name, how) for how in ("genres", "disliked") for name in ("tallrec", "sella")]
RECIPES |= {f"{name}-{how}": _retold(name, how) for name, how in _CONTROLS + _TOLD_MORE}


def recipe(name: str) -> Recipe:
    """Look a recipe up by name.

    Raises:
        ValueError: unknown name; lists the known ones.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}; known recipes: {', '.join(RECIPES)}")
    return RECIPES[name]


def from_json(raw: dict[str, Any]) -> Recipe:
    """The recipe that a saved recommender was made by; also of the format that had one field for the head and the map
    of `<Warm_ID>`."""
    raw = {name: _tuples(value) for name, value in raw.items()}
    if "warm_start" in raw:
        warm, vectors = raw.pop("warm_start"), raw.pop("vectors")
        aligned = ("tables", *(("head",) if warm else ())) if vectors == "aligned" else ()
        raw |= {"aligned": aligned, "semantic_map": "identity" if warm else "random"}
        raw.pop("rate", None)
    return Recipe(**raw)


def _tuples(value: Any) -> Any:
    """json has lists only."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
