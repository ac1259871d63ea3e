"""LC-Rec from top to bottom (arXiv 2311.09049), as stages: item vectors, indices, alignment tuning."""

import functools
from dataclasses import dataclass

import torch

from sellarec_lab import collab, config, indices, llm, runtime, semantics, training
from sellarec_lab.config import Preset
from sellarec_lab.data import Interactions, Profiles
from sellarec_lab.lcrec.catalogue import Catalogue
from sellarec_lab.lcrec.model import LCRec
from sellarec_lab.lcrec.prefix import PrefixLoss
from sellarec_lab.lcrec.tasks import BARE, Mixture, Speaker
from sellarec_lab.prompts import Writer
from sellarec_lab.runtime import Stage

_VALID = 2000  # so many valid rows judge a state
_PLAIN = 200  # so many texts tell whether plain language is still known


@dataclass(eq=False)
class Pipeline:
    """The stages on a data set for next-item prediction (`data.load("lc-rec")`, `data.leave_one_out`). ``own`` are item
    vectors from elsewhere, [n_items + 1, d], in the place of the language model's.

    Raises:
        ValueError: own vectors of another size than the data.
    """

    cfg: Preset
    data: Interactions
    own: torch.Tensor | None = None

    def __post_init__(self):
        runtime.expect(self.cfg, self.data)
        if self.own is not None and len(self.own) != self.data.n_items + 1:
            raise ValueError(f"own vectors have {len(self.own)} rows, the data needs {self.data.n_items + 1}")

    def _stage(self, name: str, inputs: dict, make, read, *upstream: Stage, code: tuple[str, ...]) -> Stage:
        return runtime.stage(self.cfg, self.data, name, inputs, make, read, *upstream, code=code)

    @functools.cached_property
    def vectors(self) -> Stage:
        """What the untuned model says of every item, [n_items + 1, width], the same for every seed; or the vectors that
        were brought."""
        inputs = {"vectors": self.cfg.lcrec.vectors, "template": self.cfg.prompt.template, **llm.inputs(self.cfg)}
        if self.own is not None:
            inputs = {"own": runtime.tensor_digest(self.own)}
        inputs["seed"] = None
        below = llm.pretraining(self.cfg, self.data) if self.own is None else ()
        code = ("sellarec_lab.semantics", "sellarec_lab.llm.stored")
        return self._stage("item-vectors", inputs, self._read_texts, _vectors, *below, code=code)

    def _read_texts(self, stage: Stage) -> dict:
        made = self._said() if self.own is None else self.own
        runtime.save_tensors(stage.path("vectors.safetensors"), {"vectors": made.float()})
        return semantics.spread(made.float())

    def _said(self) -> torch.Tensor:
        """What the untuned language model makes of every item's words."""
        lm = llm.stored(self.cfg, self.data)
        if self.cfg.lcrec.vectors == "last":
            return semantics.distil(lm, Writer.of(self.cfg.prompt, self.data.titles))
        words = Catalogue.of(self.data, [], longest=512)
        return semantics.of_texts(lm, words.titles[1:], words.descriptions[1:])

    @functools.cached_property
    def indices(self) -> Stage:
        """An index for every item that occurs, as codes [n_items + 1, levels]."""
        settings = {"indices": config.as_dict(self.cfg.indices), "collaborative": self.cfg.lcrec.collaborative}
        below = (collab.next_item_stage(self.cfg, self.data),) if self.cfg.lcrec.collaborative else ()
        code = ("sellarec_lab.indices.build",)
        return self._stage("indices", settings, self._index, _codes, self.vectors, *below, code=code)

    def _index(self, stage: Stage) -> dict:
        occur = sorted({int(i) for split in ("train", "valid", "test") for i in self.data.split(split)["item_id"]})
        checkpoint = stage.path("checkpoint.safetensors")
        vectors = semantics.centre(self.vectors.value())
        if weight := self.cfg.lcrec.collaborative:
            sasrec = collab.next_item_stage(self.cfg, self.data).value()
            vectors = beside(vectors, sasrec.items.weight.detach(), weight)
        made = indices.fit(vectors, self.cfg, items=occur, checkpoint=checkpoint)
        indices.save(stage.path("index.json"), made.codes)
        return {"not their own": made.shared, "errors": made.errors.tolist()}

    @functools.cached_property
    def tuning(self) -> Stage:
        """Alignment tuning on the mixture of tasks; its value is the folder of what was trained."""
        inputs = {"lcrec": config.as_dict(self.cfg.lcrec), **llm.inputs(self.cfg)}
        below = (self.indices, *(llm.pretraining(self.cfg, self.data) if self.cfg.lcrec.language else ()))
        code = ("sellarec_lab.lcrec.pipeline", "sellarec_lab.llm.stored")
        return self._stage("lcrec", inputs, self._tune, lambda stage: stage.folder, *below, code=code)

    def _tune(self, stage: Stage) -> dict:
        cfg, settings, catalogue = self.cfg, self.cfg.lcrec, self.catalogue
        lm, before = self._untuned(), {}
        plain = self._plain_texts() if settings.language else []
        if plain:
            before = {"plain_loss_before": llm.text_loss(lm, plain)}
        words = indices.vocabulary(self.indices.value())
        if settings.language:
            with runtime.seeded(cfg.seed, "adapter of lc-rec"):
                starts = starting_rows(lm, catalogue, words) if settings.start == "words" else None
                llm.attach(lm, settings.lora, cfg.backbone.gradient_checkpointing, words, starts)
        speaker = Speaker(catalogue, settings.history, None if settings.language else BARE)
        encoder = llm.Encoder(lm.tokenizer, "plain")
        loss = llm.TextLoss() if not settings.prefix else PrefixLoss(_levels(lm, words), settings.prefix)
        rows = self.data.valid.head(_VALID)
        asked = [speaker.next_item(h) for h in rows["history"]]
        wanted = [speaker.indices([i]) for i in rows["item_id"]]
        history = llm.finetune(
            lm, Mixture(speaker, self.sequences, settings.tasks, cfg.seed), [loss], settings.loop,
            label="LC-Rec" if settings.language else "indices without language", seed=cfg.seed, encoder=encoder,
            validate=lambda: {"loss": llm.target_loss(lm, encoder, asked, wanted, ended=False)},
            monitor=training.Monitor("loss", "lower"), checkpoint=stage.path("checkpoint.safetensors"),
        )  # fmt: skip
        if settings.language:
            llm.save_adapter(lm, stage.path("adapter"))
        else:
            llm.save_whole(lm, stage.path("model"))
        after = {"plain_loss_after": llm.text_loss(lm, plain)} if plain else {}
        told = {"intentions": "reviews in train, and rules" if catalogue.reviews else "rules"}
        return history.keep(stage.path("history.json")) | before | after | told

    def _untuned(self) -> llm.LanguageModel:
        """The backbone; or, without language, a decoder that knows nothing but the words of indices."""
        if self.cfg.lcrec.language:
            return llm.stored(self.cfg, self.data)
        with runtime.seeded(self.cfg.seed, "decoder of indices"):
            return llm.of_words(indices.vocabulary(self.indices.value()), self.cfg.lcrec.decoder)

    def _plain_texts(self) -> list[str]:
        """Texts of the catalogue's own kind that no task holds."""
        corpus = llm.CatalogueCorpus(self.data.items, self.data.train, self.cfg.seed + 1000)
        return corpus.documents(_PLAIN, 1.0)

    @property
    def sequences(self) -> list[list[int]]:
        """Item ids of every user in train, oldest first."""
        return self.data.train.groupby("user_id")["item_id"].agg(list).tolist()

    @functools.cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue.of(self.data, indices.tokens(self.indices.value()), self.cfg.lcrec.description)

    @functools.cached_property
    def model(self) -> Stage:
        """The recommender that the stages leave; nothing is left to make."""
        inputs = {"lcrec": config.as_dict(self.cfg.lcrec), **llm.inputs(self.cfg)}
        code = ("sellarec_lab.lcrec.model",)
        return self._stage("lcrec-model", inputs, runtime.nothing, self._model, self.indices, self.tuning, code=code)

    def _model(self, stage: Stage) -> LCRec:
        cfg, folder = self.cfg, self.tuning.value()
        if cfg.lcrec.language:
            lm, backbone = llm.stored(cfg, self.data, folder / "adapter"), llm.ready(cfg, self.data)
        else:
            backbone = llm.whole(folder / "model")
            lm = llm.load(backbone)
        return LCRec(lm, backbone, self.catalogue, Profiles.of(self.data), cfg.lcrec)


def beside(words: torch.Tensor, other: torch.Tensor, weight: float) -> torch.Tensor:
    """Two tables of item vectors [n_items + 1, ...] side by side, row 0 being padding: each centred and scaled to a
    mean square norm of 1, the second one then times ``weight``.

    (LETTER, arXiv 2405.07314, pulls the codes towards SASRec's vectors by a loss of the RQ-VAE; side by side the two
    decide together which items are near, and k-means can use them too.)
    """
    tables = []
    for table, share in ((words, 1.0), (other, weight)):
        rows = table[1:] - table[1:].mean(0)
        rows = share * rows / rows.square().sum(1).mean().sqrt().clamp(min=1e-12)
        tables.append(torch.cat([torch.zeros_like(rows[:1]), rows]))
    return torch.cat(tables, dim=1)


def starting_rows(lm: llm.LanguageModel, catalogue: Catalogue, words: list[str]) -> torch.Tensor:
    """Where the rows of new tokens start [words, width]: at the mean embedding of the titles' tokens of all items that
    share the code."""
    table = lm.word_embeddings.cpu()
    titles = lm.tokenizer([catalogue.titles[i] for i in catalogue.items], add_special_tokens=False)["input_ids"]
    means = torch.stack([table[ids].mean(0) for ids in titles])  # [items, width]
    place = {word: number for number, word in enumerate(words)}
    owned = torch.tensor([[place[w] for w in catalogue.tokens(i)] for i in catalogue.items])  # [items, levels]
    total, many = torch.zeros(len(words), lm.width), torch.zeros(len(words), 1)
    for level in owned.T:
        total.index_add_(0, level, means)
        many.index_add_(0, level, torch.ones(len(level), 1))
    return total / many


def _levels(lm: llm.LanguageModel, words: list[str]) -> torch.Tensor:
    """The place in an index of every token of the vocabulary [n], -1 for what is no token of an index."""
    level = torch.full((len(lm.tokenizer),), -1)
    level[lm.tokenizer.convert_tokens_to_ids(words)] = torch.tensor([ord(word[1]) - ord("a") for word in words])
    return level


def _vectors(stage: Stage) -> torch.Tensor:
    return runtime.load_tensors(stage.path("vectors.safetensors"))[0]["vectors"]


def _codes(stage: Stage) -> torch.Tensor:
    return indices.load(stage.path("index.json"))
