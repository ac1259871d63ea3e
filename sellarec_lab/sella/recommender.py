"""The trained recommender: predict, recommend, explain, save and load."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sellarec_lab import llm, projector, runtime
from sellarec_lab.config import BackboneConfig, PromptConfig
from sellarec_lab.data import Profiles, Ranker, asked
from sellarec_lab.projector import Projector
from sellarec_lab.prompts import CodeWords, Prompt, PromptRows, Writer
from sellarec_lab.sella import recipes
from sellarec_lab.sella.explanation import Attention, Explanation, explain, shown_titles, spans_of
from sellarec_lab.sella.recipes import Recipe


class Recommender(Ranker):
    """A tuned backbone, what writes a recipe's prompts, and, if it has soft tokens, the projector that fills them.

    ``writer`` writes the prompts of the preset's template without codes, unless another is given.
    """

    def __init__(
        self,
        lm: llm.LanguageModel,
        backbone: BackboneConfig,
        prompt: PromptConfig,
        recipe: Recipe,
        profiles: Profiles,
        projector: Projector | None = None,
        writer: Writer | None = None,
    ):
        self.lm, self.backbone, self.prompt_config, self.recipe = lm, backbone, prompt, recipe
        self.profiles, self.projector = profiles, projector
        self.writer = writer or Writer.of(prompt, profiles.titles, recipe.slots)
        self.encoder = llm.Encoder(lm.tokenizer, lm.template)
        self.answer_ids = self.encoder.answer_ids(self.prompt(next(iter(profiles.seen)), 1))

    def prompt(
        self, user_id: int, item_id: int, history: Sequence[int] | None = None, disliked: Sequence[int] | None = None
    ) -> Prompt:
        """The prompt for one user and item. ``history`` (item ids, oldest first) defaults to all that the user liked
        so far, ``disliked`` to what the user disliked since the oldest like that is shown: so far, or, where a history
        is given, before the item.

        Raises:
            UnknownIdError: a user, an item or a history that the data does not hold.
        """
        user_id, (item_id,) = asked.user(self.profiles, user_id), asked.items(self.profiles, [item_id])
        known = self.profiles.liked.get(user_id, []) if history is None else history
        if disliked is None:
            disliked = self._disliked(user_id, None if history is None else item_id)
        told = (asked.items(self.profiles, *ids) for ids in ((known, "history: item"), (disliked, "disliked: item")))
        return self.writer.write(user_id, item_id, *told)

    def prompts(self, frame: pd.DataFrame) -> PromptRows:
        """One prompt a row, with the row's own history."""
        return PromptRows(self.writer, self.writer.told(frame, self.profiles))

    def score_prompts(self, many: Sequence[Prompt], shared: bool = False) -> np.ndarray:
        """Scores of any prompts, float32 [n]; ``shared``: a beginning that many have in common runs once for them."""
        score = llm.score_shared if shared else llm.score
        return score(self.lm, self.encoder, many, self.answer_ids, self._soft())

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """The frame's rows (``user_id, item_id, history``) with a float ``score`` = logit(Yes) - logit(No).

        Raises:
            DataError: a column is missing, or holds what the data does not know; names the row.
        """
        if frame.empty:
            return frame.assign(score=0.0)
        rows = self.prompts(asked.rows(self.profiles, frame))
        scores = llm.score(self.lm, self.encoder, rows, self.answer_ids, self._soft(), families=rows.families())
        return frame.assign(score=scores.astype(float))

    def score_items(self, user_id: int, items: Sequence[int], history: Sequence[int] | None = None) -> np.ndarray:
        """Scores of many items for one user, float32 [n]: the part of the prompt that they share runs once. What the
        user disliked after the last of the ``history`` is not told."""
        disliked = self._disliked_with(asked.user(self.profiles, user_id), history)
        return self.score_prompts([self.prompt(user_id, i, history, disliked) for i in items], shared=True)

    def _disliked_with(self, user_id: int, history: Sequence[int] | None) -> tuple[int, ...]:
        """What was disliked since the oldest like that is shown, when a history was all that was liked."""
        if history is None:
            return self._disliked(user_id)
        earlier = self.writer.longest - 1  # likes that are shown beside the last one
        if not len(history) or not earlier:
            return ()
        return self.profiles.disliked(user_id, history[-1], max(earlier, 0))

    def _disliked(self, user_id: int, before: int | None = None) -> tuple[int, ...]:
        return self.profiles.disliked(user_id, before, self.writer.longest)

    def explain(self, user_id: int, item_id: int, history: list[int] | None = None) -> Explanation:
        """Take one prediction apart: the prompt, its tokens, and the score without each soft token and each title."""
        prompt = self.prompt(user_id, item_id, history)
        liked, disliked = (shown_titles(prompt, role) for role in ("history", "disliked"))

        def drop(gone: int) -> Prompt:
            return self.prompt(user_id, item_id, *([i for i in shown if i != gone] for shown in (liked, disliked)))

        return explain(self, prompt, drop)

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

        Raises:
            FileExistsError: the folder holds other things than a saved model.
        """
        with runtime.saving(folder, "recommender") as place:
            self._write(place)

    def _write(self, folder: Path) -> None:
        if self.recipe.tuned:
            llm.save_adapter(self.lm, folder / "adapter")
        if self.projector is not None:
            self.projector.save(folder / "projector.safetensors")
        settings = {
            "backbone": dataclasses.asdict(self.backbone),
            "prompt": dataclasses.asdict(self.prompt_config),
            "recipe": dataclasses.asdict(self.recipe),
            "answers": {text: id_ for text, id_ in zip(self._answer_texts(), self.answer_ids, strict=True)},
            "libraries": runtime.versions(),
        }
        known = dataclasses.asdict(self.profiles) | {"codes": self.writer.codes and self.writer.codes._asdict()}
        runtime.write_text(folder / "catalogue.json", json.dumps(known))
        runtime.write_text(folder / "sellarec_config.json", json.dumps(settings, indent=1))

    def _answer_texts(self) -> list[str]:
        return [self.lm.tokenizer.decode([i]) for i in self.answer_ids]


def load(folder: str | Path, fetch: bool = False) -> Recommender:
    """Load what `Recommender.save_pretrained` wrote; the backbone is read from its own place.

    Args:
        fetch: whether a backbone that lies at a hub may be asked for there.

    Raises:
        FileNotFoundError: the folder holds no saved recommender.
        ValueError: files that were changed, are broken or don't fit each other; a hub's backbone without ``fetch``.
    """
    folder = runtime.look_at(folder, "recommender")
    with runtime.believed(folder / "catalogue.json"):
        raw = runtime.read_json(folder / "catalogue.json")
        words, profiles = raw.pop("codes"), Profiles.from_json(raw)
        codes = CodeWords(**words) if words else None
    with runtime.believed(folder / "sellarec_config.json"):
        settings = runtime.read_json(folder / "sellarec_config.json")
        recipe, prompt = recipes.from_json(settings["recipe"]), PromptConfig(**settings["prompt"])
        backbone = BackboneConfig(**settings["backbone"] | {"pretraining": None})
        answers = list(settings["answers"].values())
        writer = Writer.of(prompt, profiles.titles, recipe.slots, codes)
    llm.ask_hub(backbone, fetch)
    lm, soft = llm.load(backbone), None
    if recipe.tuned:
        with runtime.believed(folder / "adapter"):
            llm.load_adapter(lm, folder / "adapter")
    if recipe.slots:
        with runtime.believed(folder / "projector.safetensors"):
            soft = projector.load(folder / "projector.safetensors").to(lm.device)
            if soft.width != lm.width:
                raise ValueError(f"soft tokens of width {soft.width} for a backbone of width {lm.width}")
            _check_tables(soft, profiles, recipe)
    model = Recommender(lm, backbone, prompt, recipe, profiles, soft, writer)
    if answers != list(model.answer_ids):
        raise ValueError(f"{folder}: saved with another tokenizer, whose answers are {settings['answers']}")
    return model


def _check_tables(soft: Projector, profiles: Profiles, recipe: Recipe) -> None:
    """What the recipe's slots need is there; the tables have a row for every user and item, and numbers in them."""
    if lacking := [kind for kind in recipe.slots if kind not in soft.fillers]:
        raise ValueError(f"nothing fills the slot {lacking[0]!r} of the recipe")
    rows = {"users": 1 + max(profiles.seen), "items": 1 + profiles.n_items, "semantics": 1 + profiles.n_items}
    for name, tensor in soft.state_dict().items():
        table = name.partition(".")[0]
        if table in rows and len(tensor) != rows[table]:
            raise ValueError(f"{name}: expected {rows[table]} rows, one an id, found {len(tensor)}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"{name}: holds numbers that are not finite")
