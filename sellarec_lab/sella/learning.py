"""Learning to answer: what stages 1 and 3 share."""

from torch import nn

from sellarec_lab import llm, metrics, training
from sellarec_lab.config import InjectionConfig, Preset, TuningConfig
from sellarec_lab.data import Interactions, Profiles, judging_rows
from sellarec_lab.prompts import PromptRows, Writer, shared_histories
from sellarec_lab.runtime import Stage


def learn_answers(
    cfg: Preset, data: Interactions, lm: llm.LanguageModel, writer: Writer, settings: TuningConfig | InjectionConfig,
    stage: Stage, label: str, soft: nn.Module | None = None,
) -> training.History:  # fmt: skip
    """Optimise the answer's likelihood on train, judged by the AUC on valid; the best state stays in the model."""
    told = Profiles.of(data).with_disliked if writer.disliked else lambda frame: frame
    train = shared_histories(told(data.train), settings.older)
    prompts, encoder = PromptRows(writer, train), llm.Encoder(lm.tokenizer, lm.template)
    labels, users = data.train["label"].to_numpy(), data.train["user_id"].to_numpy()
    answers = encoder.answer_ids(prompts[0])
    losses: list[llm.Loss] = [llm.AnswerLoss(answers, whole=settings.loss_on == "prompt")]
    if pairwise := getattr(settings, "pairwise", 0.0):
        losses.append(llm.PairLoss(answers, pairwise))

    judging = told(judging_rows(data.valid, cfg.valid_rows, cfg.seed))
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
