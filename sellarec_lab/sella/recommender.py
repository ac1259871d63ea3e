"""The trained recommender: predict, recommend, explain, save and load."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sellarec_lab import collab, llm, prompts, runtime
from sellarec_lab.alignment import Head
from sellarec_lab.collab import Vectors
from sellarec_lab.config import BackboneConfig, PromptConfig
from sellarec_lab.projector import HybridProjector, SoftPrompt
from sellarec_lab.prompts import TEMPLATES, Prompt
from sellarec_lab.sella.explanation import Attention, Explanation, explain, shown_titles, spans_of
from sellarec_lab.sella.recipes import Recipe


@dataclass(frozen=True)
class Codes:
    """Binary codes as text, by user id and by item id; "" for one that training never saw."""

    users: list[str]
    items: list[str]

    @classmethod
    def of_model(cls, model) -> Codes:
        """From a trained code model (`collab.train` with a `CodesConfig`)."""
        codes = model.codes()
        return cls([collab.as_text(row) for row in codes.users], [collab.as_text(row) for row in codes.items])

    def of(self, user_id: int, item_id: int) -> tuple[str, str]:
        return self.users[user_id], self.items[item_id]


@dataclass(frozen=True)
class Memory:
    """What the recommender knows about people and things: title by item id, liked items in time order and rated items
    by user id, external ids by item id."""

    titles: list[str]
    external: list[str]
    liked: dict[int, list[int]]
    seen: dict[int, list[int]]
    codes: Codes | None = None

    @classmethod
    def of(cls, data, codes: Codes | None = None) -> Memory:
        """From `Interactions`: all splits, since asking for a recommendation happens after the last row."""
        rows = pd.concat([data.train, data.valid, data.test]).sort_index()
        liked = rows[rows["label"] == 1].groupby("user_id")["item_id"].agg(list).to_dict()
        seen = rows.groupby("user_id")["item_id"].agg(list).to_dict()
        return cls(list(data.titles), ["", *data.items["external_id"].astype(str)], liked, seen, codes)


class Recommender:
    """A tuned backbone, a recipe's prompt, and, if the recipe has soft tokens, the projector that fills them."""

    def __init__(
        self,
        lm: llm.LanguageModel,
        backbone: BackboneConfig,
        prompt: PromptConfig,
        recipe: Recipe,
        memory: Memory,
        projector: HybridProjector | SoftPrompt | None = None,
    ):
        self.lm, self.backbone, self.prompt_config, self.recipe = lm, backbone, prompt, recipe
        self.memory, self.projector = memory, projector
        self.encoder = llm.Encoder(lm.tokenizer, lm.template)
        self.answers = self.encoder.answers(self.prompt(next(iter(memory.seen)), 1))

    def prompt(self, user_id: int, item_id: int, history: list[int] | None = None) -> Prompt:
        """The prompt for one user and item; ``history`` defaults to all that the user liked so far."""
        known = self.memory.liked.get(user_id, []) if history is None else history
        return prompts.build(
            TEMPLATES[self.prompt_config.template], self.memory.titles, user_id, item_id,
            [i for i in known if i != item_id], self.recipe.slots, self.prompt_config.history,
            self.memory.codes.of(user_id, item_id) if self.memory.codes else ("", ""),
        )  # fmt: skip

    def prompts(self, frame: pd.DataFrame) -> list[Prompt]:
        """One prompt a row, with the row's own history."""
        rows = zip(frame["user_id"], frame["item_id"], frame["history"], strict=True)
        return [self.prompt(int(u), int(i), h) for u, i, h in rows]

    def score_prompts(self, many: list[Prompt], shared: bool = False) -> np.ndarray:
        """Scores of any prompts, float32 [n]; ``shared``: the beginning that all have in common runs once."""
        score = llm.score_shared if shared else llm.score
        return score(self.lm, self.encoder, self.encoder.encode_many(many), self.answers, self._soft())

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows (``user_id, item_id, history``) with a float ``score`` = logit(Yes) - logit(No)."""
        return frame.assign(score=self.score_prompts(self.prompts(frame)).astype(float))

    def recommend(self, user_id: int, k: int = 10) -> pd.DataFrame:
        """The k best items of the whole catalogue that the user has not rated: ``item_id, title, score``.

        Raises:
            KeyError: a user that the data does not hold.
        """
        if user_id not in self.memory.seen:
            low, high = min(self.memory.seen), max(self.memory.seen)
            raise KeyError(f"user {user_id} is not in the data; known ids run from {low} to {high}")
        seen = set(self.memory.seen[user_id])
        items = [i for i in range(1, len(self.memory.titles)) if i not in seen]
        scores = self.score_items(user_id, items)
        best = np.argsort(-scores, kind="stable")[:k]
        chosen = [items[i] for i in best]
        titles = [self.memory.titles[i] for i in chosen]
        return pd.DataFrame({"item_id": chosen, "title": titles, "score": scores[best].astype(float)})

    def score_items(self, user_id: int, items: list[int], history: list[int] | None = None) -> np.ndarray:
        """Scores of many items for one user, float32 [n]: the part of the prompt that they share runs once."""
        return self.score_prompts([self.prompt(user_id, i, history) for i in items], shared=True)

    def explain(self, user_id: int, item_id: int, history: list[int] | None = None) -> Explanation:
        """Take one prediction apart: the prompt, its tokens, and the score without each soft token and each title."""
        prompt = self.prompt(user_id, item_id, history)
        shown = shown_titles(prompt)
        return explain(self, prompt, lambda gone: self.prompt(user_id, item_id, [i for i in shown if i != gone]))

    @torch.no_grad()
    def logits(self, prompt: Prompt) -> torch.Tensor:
        """Logits of the whole vocabulary at the place that predicts the answer, float32 [V]."""
        self.lm.model.eval()
        batch = self.encoder.collate([self.encoder.encode(prompt)]).to(self.lm.device)
        return self.lm.logits(llm.last_hidden(self.lm, batch, self._soft()))[0]

    def attention(self, prompt: Prompt) -> Attention:
        """What the place that predicts the answer attends to, layer by layer. It shows where the model looks, which
        is not what its score rests on: for that, see `explain`."""
        encoded = self.encoder.encode(prompt)
        weights = llm.last_attention(self.lm, self.encoder, encoded, self._soft())
        return Attention(self.encoder.shown(encoded), weights.numpy(), spans_of(prompt, encoded))

    def _soft(self):
        if self.projector is None:
            return None
        self.projector.eval()
        return self.projector

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``adapter/`` (plain PEFT), ``projector.safetensors``, ``sellarec_config.json``, ``catalogue.json``.

        The 4-bit base is never written: it is loaded again from where it came from.
        """
        folder = Path(folder)
        if self.recipe.tuned:
            llm.save_adapter(self.lm, folder / "adapter")
        if self.projector is not None:
            runtime.save_tensors(folder / "projector.safetensors", self.projector.state_dict())
        settings = {
            "backbone": dataclasses.asdict(self.backbone),
            "prompt": dataclasses.asdict(self.prompt_config),
            "recipe": dataclasses.asdict(self.recipe),
            "answers": {text: id_ for text, id_ in zip(self._answer_texts(), self.answers, strict=True)},
            "libraries": runtime.versions(),
        }
        runtime.write_text(folder / "catalogue.json", json.dumps(dataclasses.asdict(self.memory)))
        runtime.write_text(folder / "sellarec_config.json", json.dumps(settings, indent=1))

    def _answer_texts(self) -> list[str]:
        return [self.lm.tokenizer.decode([i]) for i in self.answers]


def load(folder: str | Path) -> Recommender:
    """Load what `Recommender.save_pretrained` wrote; the backbone is read from its own place.

    Raises:
        FileNotFoundError: the folder holds no saved recommender.
        ValueError: the adapter or the projector does not fit.
    """
    folder = Path(folder)
    if not (folder / "sellarec_config.json").is_file():
        raise FileNotFoundError(f"{folder} has no sellarec_config.json: it was not written by save_pretrained")
    settings = json.loads((folder / "sellarec_config.json").read_text(encoding="utf-8"))
    raw = json.loads((folder / "catalogue.json").read_text(encoding="utf-8"))
    for name in ("liked", "seen"):
        raw[name] = {int(user): items for user, items in raw[name].items()}
    raw["codes"] = Codes(**raw["codes"]) if raw["codes"] else None
    backbone = settings["backbone"] | {"pretraining": None}
    recipe = Recipe(**{k: _tuples(v) for k, v in settings["recipe"].items()})
    lm = llm.load(BackboneConfig(**backbone))
    if recipe.tuned:
        llm.load_adapter(lm, folder / "adapter")
    projector = _load_projector(folder / "projector.safetensors", lm) if recipe.slots else None
    prompt = PromptConfig(**settings["prompt"])
    return Recommender(lm, BackboneConfig(**backbone), prompt, recipe, Memory(**raw), projector)


def _tuples(value):
    """json has lists only."""
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def _load_projector(path: Path, lm: llm.LanguageModel) -> HybridProjector | SoftPrompt:
    tensors, _ = runtime.load_tensors(path)
    learned = tensors.get("prompt.weight")
    width = len(tensors["warm.weight"]) if learned is None else learned.shape[1]
    if width != lm.width:
        raise ValueError(f"{path}: soft tokens of width {width} for a backbone of width {lm.width}")
    if learned is not None:
        projector = SoftPrompt(learned, len(learned) - 1)
    else:
        hidden, d_in = tensors["head.0.weight"].shape
        vectors = Vectors(tensors["users.weight"], tensors["items.weight"])
        head, taste = Head(d_in, hidden, width), "taste.weight" in tensors
        projector = HybridProjector(vectors, tensors["semantics.weight"], head, taste)
    projector.load_state_dict(tensors)
    return projector.to(lm.device).eval()
