"""Learning to answer: what stages 1 and 3 share."""

import pandas as pd
from torch import nn

from sellarec_lab import llm, metrics, training
from sellarec_lab.config import InjectionConfig, Preset, TuningConfig
from sellarec_lab.data import Interactions
from sellarec_lab.prompts import PromptRows, Writer, shared_histories
from sellarec_lab.runtime import Stage


def learn_answers(
    cfg: Preset, data: Interactions, lm: llm.LanguageModel, writer: Writer, settings: TuningConfig | InjectionConfig,
    stage: Stage, label: str, soft: nn.Module | None = None,
) -> training.History:  # fmt: skip
    """Optimise the answer's likelihood on train, judged by the AUC on valid; the best state stays in the model."""
    train = shared_histories(data.train, settings.older)
    prompts, encoder = PromptRows(writer, train), llm.Encoder(lm.tokenizer, lm.template)
    labels, users = data.train["label"].to_numpy(), data.train["user_id"].to_numpy()
    answers = encoder.answer_ids(prompts[0])
    losses: list[llm.Loss] = [llm.AnswerLoss(answers, whole=settings.loss_on == "prompt")]
    if pairwise := getattr(settings, "pairwise", 0.0):
        losses.append(llm.PairLoss(answers, pairwise))

    judging = judging_rows(data.valid, settings.valid_rows, cfg.seed)
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


def judging_rows(valid: pd.DataFrame, rows: int | None, seed: int) -> pd.DataFrame:
    """The rows of valid by which a state is judged: all, or all those of users drawn until there are ``rows``.

    Raises:
        ValueError: no user drawn has both likes and dislikes.
    """
    if rows is None:
        return valid
    held = valid.groupby("user_id").size().sample(frac=1, random_state=seed)
    drawn = valid[valid["user_id"].isin(held.index[held.cumsum() - held < rows])]
    if drawn.groupby("user_id")["label"].nunique().max() < 2:
        found = f"none of the {drawn['user_id'].nunique()} users drawn likes one item and dislikes another"
        raise ValueError(f"valid_rows={rows}: {found}, so there is no AUC within a user; set it higher")
    return drawn
