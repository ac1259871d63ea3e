"""Before a row of a language model is believed: does the scorer do what it says?"""

import copy
import dataclasses

import numpy as np
import pandas as pd
import torch

from sellarec_lab import metrics
from sellarec_lab.data import Profiles
from sellarec_lab.prompts import CodeWords
from sellarec_lab.runtime import Stage
from sellarec_lab.sella import Recommender


def battery(model: Recommender, stage: Stage, valid: pd.DataFrame, scored: pd.DataFrame) -> pd.DataFrame:
    """`sanity` of a model whose stages noted the AUC that they reached on ``scored``: valid, or those of its rows that
    judge (`judging_rows`)."""
    noted = [below.manifest.get("best") for below in stage.line if below.finished]
    return sanity(model, valid, scored, next((best for best in reversed(noted) if best is not None), None))


def sanity(model: Recommender, valid: pd.DataFrame, scored: pd.DataFrame, trained: float | None) -> pd.DataFrame:
    """The battery: ``check, value, verdict``, verdict "ok" or what is wrong.

    Args:
        model: the recommender whose scores these are.
        valid: the valid split's rows.
        scored: rows of it with the model's ``score``.
        trained: the AUC on these that training noted for the weights it kept; None for a model without training.
    """
    rows = [_answers(model), _distinct(scored), *_shuffled(scored), _renumbered(model, valid)]
    if trained is not None:
        again = metrics.auc(scored["label"], scored["score"])
        same = abs(again - trained) < 1e-3
        verdict = "ok" if same else "the weights that were scored are not those that training kept"
        rows.append(("valid AUC, noted by training and scored again", f"{trained:.5f}, {again:.5f}", verdict))
    return pd.DataFrame(rows, columns=["check", "value", "verdict"])


def _answers(model: Recommender) -> tuple[str, str, str]:
    prompt = model.prompt(next(iter(model.profiles.seen)), 1)
    said = [model.lm.tokenizer.decode([i]) for i in model.answer_ids]
    ok = all(answer.startswith(word.strip()) and word.strip() for word, answer in zip(said, prompt.answers))
    return "answer tokens decode to the answers", " / ".join(said), "ok" if ok else "they do not"


def _distinct(scored: pd.DataFrame) -> tuple[str, str, str]:
    count, rows = scored["score"].nunique(), len(scored)
    return "distinct scores", f"{count} of {rows} rows", "ok" if count > rows / 4 else "the scores are too coarse"


def _shuffled(scored: pd.DataFrame, times: int = 20) -> list[tuple[str, str, str]]:
    """AUC against labels that were shuffled over all rows, and UAUC against labels shuffled within users."""
    rng = np.random.default_rng(0)
    labels, users = scored["label"].to_numpy(), scored["user_id"].to_numpy()
    within = np.argsort(users, kind="stable")
    overall, per_user = [], []
    for _ in range(times):
        overall.append(metrics.auc(rng.permutation(labels), scored["score"]))
        mixed = np.empty_like(labels)
        mixed[within] = labels[np.lexsort([rng.random(len(users)), users])]
        per_user.append(metrics.uauc(users, mixed, scored["score"]))
    out = []
    for name, values in (("AUC, shuffled labels", overall), ("UAUC, labels shuffled within users", per_user)):
        mean, error = np.mean(values), np.std(values) / np.sqrt(times)
        ok = abs(mean - 0.5) < max(4 * error, 0.01)
        out.append((name, f"{mean:.4f}", "ok" if ok else "it should be 0.5"))
    return out


def _renumbered(model: Recommender, valid: pd.DataFrame, rows: int = 128) -> tuple[str, str, str]:
    """Scores may not depend on which number a user or item happens to have."""
    some, counts = valid.head(rows), (max(model.profiles.seen), model.profiles.n_items)
    users, items = (np.append(0, 1 + np.random.default_rng(0).permutation(n)) for n in counts)  # old -> new; 0 stays
    other = renumber(model, users, items)
    moved = some.assign(
        user_id=users[some["user_id"]],
        item_id=items[some["item_id"]],
        history=[tuple(items[list(h)].tolist()) for h in some["history"]],
    )
    gap = np.abs(model.predict(some)["score"].to_numpy() - other.predict(moved)["score"].to_numpy()).max()
    return "largest change of a score when ids are permuted", f"{gap:.1e}", "ok" if gap < 1e-2 else "ids leak"


def renumber(model: Recommender, users: np.ndarray, items: np.ndarray) -> Recommender:
    """The same recommender for data whose ids were permuted; ``users[old]`` is the new number."""
    known, projector = model.profiles, copy.deepcopy(model.projector)
    back = np.argsort(items)

    def named(values: list[str]) -> list[str]:
        return [values[i] for i in back]

    lists = {
        field: {int(users[u]): items[many].tolist() for u, many in getattr(known, field).items()}
        for field in ("liked", "seen")
    }
    moved = Profiles(named(known.titles), named(known.external), **lists)
    codes = model.writer.codes
    if codes is not None:
        by_user = [codes.users[u] for u in np.argsort(users)] if len(codes.users) == len(users) else codes.users
        codes = CodeWords(by_user, named(codes.items))
    for name, order in (("users", np.argsort(users)), ("items", back), ("semantics", back)):
        table = getattr(projector, name, None)
        if table is not None:
            with torch.no_grad():
                table.weight.copy_(table.weight[torch.from_numpy(order)])
    writer = dataclasses.replace(model.writer, titles=moved.titles, codes=codes)
    return Recommender(model.lm, model.backbone, model.prompt_config, model.recipe, moved, projector, writer)
