"""Learning to answer: what stages 1 and 3 share."""

from collections.abc import Iterator

import torch
from torch import nn

from sellarec_lab import llm, metrics, runtime, training
from sellarec_lab.config import InjectionConfig, Preset, TuningConfig
from sellarec_lab.data import Interactions, Profiles, judging_rows, liked_genres
from sellarec_lab.prompts import PromptRows, Writer, shared_histories
from sellarec_lab.runtime import Stage


def learn_answers(
    cfg: Preset, data: Interactions, lm: llm.LanguageModel, writer: Writer, settings: TuningConfig | InjectionConfig,
    stage: Stage, label: str, soft: nn.Module | None = None,
) -> training.History:  # fmt: skip
    """Optimise the answer's likelihood on train, judged by the AUC on valid; the best state stays in the model."""
    profiles = Profiles.of(data)
    train = shared_histories(writer.told(data.train, profiles), settings.older)
    prompts, encoder = PromptRows(writer, train), llm.Encoder(lm.tokenizer, lm.template)
    labels, users = data.train["label"].to_numpy(), data.train["user_id"].to_numpy()
    answers = encoder.answer_ids(prompts[0])
    losses: list[llm.Loss] = [llm.AnswerLoss(answers, whole=settings.loss_on == "prompt")]
    if isinstance(settings, InjectionConfig):
        losses += _beside(cfg, data, lm, answers)

    judging = writer.told(judging_rows(data.valid, cfg.valid_rows, cfg.seed), profiles)
    asked = PromptRows(writer, judging)
    alike = asked.families()

    def validate() -> dict[str, float]:
        scores = llm.score(lm, encoder, asked, answers, soft, families=alike)
        return metrics.quality(judging.assign(score=scores))

    families = prompts.families() if settings.branches > 1 else None
    examples = llm.Examples(prompts, labels, groups=users, families=families, branches=settings.branches)
    return llm.finetune(
        lm, examples, losses, settings.loop, label=label, seed=cfg.seed, soft=soft, validate=validate,
        checkpoint=stage.path("checkpoint.safetensors"),
    )  # fmt: skip


def _beside(cfg: Preset, data: Interactions, lm: llm.LanguageModel, answers: tuple[int, int]) -> Iterator[llm.Loss]:
    """What stage 3 may learn from beside the answer."""
    if cfg.injection.pairwise:
        yield llm.PairLoss(answers, cfg.injection.pairwise)
    if cfg.injection.genres:
        liked = torch.tensor(liked_genres(data).to_numpy())  # [n_users + 1, genres]
        if not liked.any():
            raise ValueError("injection.genres: nobody likes an item with a genre in train; set it to 0")
        with runtime.seeded(cfg.seed, "genres"):
            yield llm.GenreLoss(answers, cfg.injection.genres, liked, lm.width).to(lm.device)
