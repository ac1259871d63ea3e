"""The trained LC-Rec: recommend, rank, search, save and load."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from sellarec_lab import indices, llm, runtime
from sellarec_lab.config import BackboneConfig, LCRecConfig, LoopConfig, LoraConfig, MiniLMConfig
from sellarec_lab.data import NextItemRanker, Profiles, best
from sellarec_lab.lcrec.catalogue import Catalogue
from sellarec_lab.lcrec.tasks import BARE, Speaker
from sellarec_lab.prompts import Prompt

EXACT = 1000  # up to so many items the whole catalogue is scored; of more, a beam search finds the best
RANKED = 50  # it then finds at least so many: hit rates are told up to here
_FAR = -1e9  # the score of what the beams did not find: behind everything that they found


class LCRec(NextItemRanker):
    """A language model that reads a history of item indices and writes the next one (arXiv 2311.09049)."""

    def __init__(
        self, lm: llm.LanguageModel, backbone: BackboneConfig, catalogue: Catalogue, profiles: Profiles,
        settings: LCRecConfig,
    ):  # fmt: skip
        self.lm, self.backbone, self.catalogue = lm, backbone, catalogue
        self.profiles, self.settings = profiles, settings
        self.encoder = llm.Encoder(lm.tokenizer, "plain")
        self.speaker = Speaker(catalogue, settings.history, None if settings.language else BARE)
        self.tree = indices.Trie.of(self._token_ids()).to(lm.device)
        self.template = 0  # of the sequence templates, the one that asks

    def _token_ids(self) -> torch.Tensor:
        """Ids of the tokens that spell each item's index [n_items + 1, levels]; -1 for an item without one."""
        spelled = [self.catalogue.tokens(item) for item in range(len(self.catalogue.words))]
        levels = max(map(len, spelled))
        return torch.tensor([self.lm.tokenizer.convert_tokens_to_ids(w) if w else [-1] * levels for w in spelled])

    def asking(self, template: int) -> LCRec:
        """The same model, asked by another of the sequence templates (0 is the first).

        Raises:
            ValueError: no such template.
        """
        known = len(self.speaker.templates["sequence"])
        if not 0 <= template < known:
            raise ValueError(f"template {template} is not there; the sequence templates are 0 to {known - 1}")
        other = copy.copy(self)
        other.template = template
        return other

    def prompt(self, history: Sequence[int]) -> Prompt:
        """The prompt that asks what follows a history."""
        return self.speaker.next_item([i for i in history if self.catalogue.words[i]], self.template)

    def score_prompts(self, prompts: Sequence[Prompt], exact: bool | None = None) -> np.ndarray:
        """Log-probabilities of all items after each prompt, [n, n_items + 1]; -inf for items without an index.

        ``exact``: of the whole catalogue at once, the default up to 1,000 items; otherwise by a beam search, and what
        it does not find has one and the same low score. Items that share an index share its score.
        """
        exact = self.tree.n_leaves <= EXACT if exact is None else exact
        if exact:
            leaves = llm.tree_scores(self.lm, self.encoder, prompts, self.tree).numpy()
        else:
            leaves = np.full((len(prompts), self.tree.n_leaves), _FAR, dtype=np.float32)
            beams = max(self.settings.beams, RANKED)
            found = llm.beam_search(self.lm, self.encoder, prompts, self.tree, beams)
            rows, places = (found.leaves >= 0).nonzero(as_tuple=True)
            leaves[rows, found.leaves[rows, places]] = found.scores[rows, places]
        out = np.full((len(prompts), len(self.catalogue.words)), -np.inf, dtype=np.float32)
        items = np.array(self.catalogue.items)
        out[:, items] = leaves[:, self.tree.leaf_of(torch.from_numpy(items)).cpu().numpy()]
        return out

    def score_catalogue(self, histories: Sequence[Sequence[int]]) -> np.ndarray:
        """Log-probabilities of all items after each history, [Q, n_items + 1]; see `score_prompts`."""
        return self.score_prompts([self.prompt(history) for history in histories])

    def inspect(self, queries: pd.DataFrame, k: int = 20) -> pd.DataFrame:
        """How faithful decoding is, a row a query (indexed by user_id, with ``history``): ``query``; ``survived``, the
        share of the exact k best leaves that as many beams find; ``exists``, whether what the model writes without any
        constraint, always its most probable token, is the index of an item."""
        prompts = [self.prompt(history) for history in queries["history"]]
        k = min(k, self.tree.n_leaves)
        exact = llm.tree_scores(self.lm, self.encoder, prompts, self.tree).topk(k).indices
        found = llm.beam_search(self.lm, self.encoder, prompts, self.tree, k).leaves
        survived = (exact[:, :, None] == found[:, None, :]).any(2).float().mean(1)
        known = {words for words in self.catalogue.words if words}
        written = llm.write(self.lm, self.encoder, prompts, longest=self.tree.depth)
        exists = [float(text.replace(" ", "") in known) for text in written]
        return pd.DataFrame({"query": queries.index, "survived": survived.tolist(), "exists": exists})

    def search(self, words: str, k: int = 10) -> pd.DataFrame:
        """The k items that the model finds for an intention in words: ``item_id, title, score``."""
        scores = self.score_prompts([self.speaker.find(words)])[0]
        return best(self.profiles, np.arange(len(scores)), scores, k)

    def beams(self, history: Sequence[int], beams: int | None = None) -> Iterator[pd.DataFrame]:
        """The search after a history, level by level: ``beam, parent, token, score`` (log-probability so far) and
        ``item_id``, the first item of a leaf, 0 above the leaves."""
        batch = self.encoder.collate([self.encoder.encode(self.prompt(history))]).to(self.lm.device)
        steps = llm.grow(self.lm, batch, self.tree, beams or self.settings.beams)
        for level, step in enumerate(steps):
            tokens = self.lm.tokenizer.convert_ids_to_tokens(self.tree.token[level][step.nodes[0]].tolist())
            told = {"parent": step.parents[0].tolist(), "token": tokens, "score": step.scores[0].tolist()}
            last = level == self.tree.depth - 1
            items = self.tree.item[self.tree.held[step.nodes[0]]].tolist() if last else 0
            yield pd.DataFrame(told | {"item_id": items}).rename_axis("beam").reset_index()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``adapter/`` (plain PEFT; ``model/`` without language), ``lcrec_config.json``, ``catalogue.json``.

        Raises:
            FileExistsError: the folder holds other things than a saved model.
        """
        with runtime.saving(folder, "lcrec") as place:
            self._write(place)

    def _write(self, folder: Path) -> None:
        if self.settings.language:
            llm.save_adapter(self.lm, folder / "adapter")
        else:
            llm.save_whole(self.lm, folder / "model")
        settings = {"backbone": dataclasses.asdict(self.backbone), "lcrec": dataclasses.asdict(self.settings)}
        told = dataclasses.asdict(dataclasses.replace(self.catalogue, reviews={}))  # what people wrote stays here
        known = {"profiles": dataclasses.asdict(self.profiles), "catalogue": told}
        runtime.write_text(folder / "catalogue.json", json.dumps(known))
        told = settings | {"libraries": runtime.versions()}
        runtime.write_text(folder / "lcrec_config.json", json.dumps(told, indent=1))


def load(folder: str | Path, fetch: bool = False) -> LCRec:
    """Load what `LCRec.save_pretrained` wrote; the backbone is read from its own place.

    Args:
        fetch: whether a backbone that lies at a hub may be asked for there.

    Raises:
        FileNotFoundError: the folder holds no saved LC-Rec.
        ValueError: files that were changed, are broken or don't fit each other; a hub's backbone without ``fetch``.
    """
    folder = runtime.look_at(folder, "lcrec")
    parts = {"lora": LoraConfig, "loop": LoopConfig, "decoder": MiniLMConfig}
    with runtime.believed(folder / "lcrec_config.json"):
        told = runtime.read_json(folder / "lcrec_config.json")
        settings = LCRecConfig(**{n: parts[n](**v) if n in parts else v for n, v in told["lcrec"].items()})
        backbone = BackboneConfig(**told["backbone"] | {"pretraining": None})
    with runtime.believed(folder / "catalogue.json"):
        known = runtime.read_json(folder / "catalogue.json")
        profiles, said = Profiles.from_json(known["profiles"]), Catalogue(**known["catalogue"])
    if settings.language:
        llm.ask_hub(backbone, fetch)
    weights = folder / ("adapter" if settings.language else "model")
    with runtime.believed(weights):
        lm = llm.load(backbone if settings.language else llm.whole(weights))
        if settings.language:
            llm.load_adapter(lm, weights)
    with runtime.believed(folder):
        return LCRec(lm, backbone, said, profiles, settings)
