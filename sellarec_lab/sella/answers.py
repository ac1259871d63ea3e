"""Learning to answer: prompts of a split as model input, and the loop that stages 1 and 3 share."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn

from sellarec_lab import collab, config, llm, prompts, training
from sellarec_lab.config import Preset
from sellarec_lab.runtime import Artifact
from sellarec_lab.sella.recommender import Codes


class Tokens(NamedTuple):
    """A split as model input: encoded prompts, labels and users, in frame order; the ids of the two answer tokens."""

    encoded: list[llm.Encoded]
    labels: list[int]
    users: list[int]
    answers: tuple[int, int]


def tokens(
    cfg: Preset, data, frame, encoder: llm.Encoder, slots: tuple[str, ...] = (), codes: Codes | None = None
) -> Tokens:
    """Prompts of a frame's rows as model input."""
    template, titles = prompts.TEMPLATES[cfg.prompt.template], data.titles
    rows = zip(frame["user_id"], frame["item_id"], frame["history"], strict=True)
    many = [
        prompts.build(
            template,
            titles,
            u,
            i,
            [liked for liked in h if liked != i],
            slots,
            cfg.prompt.history,
            codes.of(u, i) if codes else ("", ""),
        )
        for u, i, h in rows
    ]
    encoded, users = encoder.encode_many(many), frame["user_id"].tolist()
    return Tokens(encoded, frame["label"].tolist(), users, encoder.answers(many[0]))


def train_on_answers(
    cfg: Preset, data, lm, stage: config.TuningConfig | config.InjectionConfig, artifact: Artifact, label: str,
    slots: tuple[str, ...] = (), soft: nn.Module | None = None, codes: Codes | None = None,
) -> training.History:  # fmt: skip
    """Optimise the answer's likelihood on train, judged on valid: the loop that stages 1 and 3 share."""
    encoder = llm.Encoder(lm.tokenizer, lm.template)
    train = tokens(cfg, data, data.train, encoder, slots, codes)
    valid = tokens(cfg, data, data.valid, encoder, slots, codes)
    pairwise, size, rows = getattr(stage, "pairwise", 0.0), stage.loop.batch_size, stage.loop.rows
    objective = llm.AnswerLoss(lm, train.answers, soft, stage.loss_on == "prompt", pairwise)

    def batches(epoch: int) -> _LazyBatches:
        if pairwise:
            chosen = llm.grouped_batches(train.encoded, train.users, size, cfg.seed, epoch, rows)
        else:
            chosen = llm.shuffled_batches(train.encoded, size, cfg.seed, epoch, rows)
        return _LazyBatches(encoder, train, chosen)

    def validate() -> dict[str, float]:
        scores = llm.score(lm, encoder, valid.encoded, valid.answers, soft)
        return collab.ranking_quality(data.valid.assign(score=scores))

    return training.fit(
        objective, batches, stage.loop, label=label, seed=cfg.seed, validate=validate,
        checkpoint=artifact.path("checkpoint.safetensors"), precision=lm.decisions["dtype"].value,
    )  # fmt: skip


class _LazyBatches:
    """Batches that are padded when they are asked for; an epoch of ready tensors would fill the memory."""

    def __init__(self, encoder: llm.Encoder, rows: Tokens, chosen):
        self.encoder, self.rows, self.chosen = encoder, rows, chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return _LazyBatches(self.encoder, self.rows, self.chosen[index])
        chosen = self.chosen[index]
        encoded, labels, users = ([part[i] for i in chosen] for part in self.rows[:3])
        return self.encoder.collate(encoded, labels, users)
