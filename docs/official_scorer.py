"""What the scorer released with SeLLa-Rec would print for any model's scores; never use it to judge a model.

Public code: github.com/wzhwzhwzh0921/SeLLa, the evaluation scripts; the reproduction is in docs/released_scorer.md.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from sellarec_lab.metrics import auc, user_auc

_WINDOW = 10  # titles a prompt lists, the padding in front of every history among them
_EVERY = 3  # answer words that the scorer expects a row: two in the system text, one answer
_ANSWER = r"^(No|Yes)(?![^\W\d_])"  # the whole first word: "No Way Out", not "Nosferatu"
_LAST = _WINDOW + _EVERY  # place of the answer: after everything that a prompt can hold


class Replay(NamedTuple):
    """What was printed, and how far it is from the rows.

    ``users``: users counted by UAUC. ``outputs``: scores emitted for ``rows``, the rows that the filter left.
    ``wrong``: rows paired with anything but their own answer, the first at ``first_wrong`` (from 0; −1 if none).
    """

    auc: float
    uauc: float
    users: int
    outputs: int
    rows: int
    wrong: int
    first_wrong: int


def replay(
    frame: pd.DataFrame, titles: Sequence[str], batch_size: int = 32, certainty: float = 0.0, cut: bool = False
) -> Replay:
    """AUC and UAUC as the released scorer counts them: every third Yes or No of a batch is taken for an answer.

    A row's text holds Yes and No in its instructions, one more for every listed title that begins with either word,
    and then the answer; the target's title stands after a blank and counts as no such word. UAUC pairs the outputs with
    the rows' users one by one and ignores the surplus at the end. One process and the file's order are assumed, and a
    model that foresees the instructions with certainty.

    Args:
        frame: user_id, label, history (item_ids, oldest first, no padding) and score, in the file's order. Rows with an
            empty history are dropped, as in the released preparation.
        titles: by item_id; 0 is the padding.
        batch_size: rows whose words are counted together; 32 is the released setting.
        certainty: score at the Yes of a title, and minus that at a No: 0 if the model expects neither word there (the
            scores are then log-odds), infinite if it knows the title.
        cut: whether AUC ignores the surplus too, as in the released training script but not in the evaluation script.

    Raises:
        ValueError: columns are missing, batch_size is below 1, an item_id has no title, NaN scores, or no user (or no
            row) has both classes.
    """
    missing = [name for name in ("user_id", "label", "history", "score") if name not in frame]
    if missing or batch_size < 1:
        raise ValueError(f"the frame lacks {missing}" if missing else f"batch_size is {batch_size}, expected 1 or more")
    frame = frame[frame["history"].map(len) > 0].reset_index(drop=True)
    words = _words(frame, titles, certainty)
    kept = words[words.groupby(words["row"] // batch_size).cumcount() % _EVERY == _EVERY - 1]
    paired = kept.head(len(frame))
    per_user = user_auc(frame["user_id"], paired["label"], paired["score"])["auc"]
    if per_user.empty:
        raise ValueError("UAUC needs at least one user with both a positive and a negative row, got none")
    wrong = ((paired["row"] != np.arange(len(frame))) | (paired["place"] != _LAST)).to_numpy()
    first = int(wrong.argmax()) if wrong.any() else -1
    judged = paired if cut else kept
    value = auc(judged["label"], judged["score"])
    return Replay(value, float(per_user.mean()), len(per_user), len(kept), len(frame), int(wrong.sum()), first)


def _words(frame: pd.DataFrame, titles: Sequence[str], certainty: float) -> pd.DataFrame:
    """Every Yes and No in the order of the text: the row it stands in, its place there, its label and its score.

    A word of the prompt has itself as label (Yes 1, No 0): the released loss covers the prompt too.
    """
    row = np.arange(len(frame))
    instructions = [_part(row, place, label, s) for place, label, s in ((0, 1, np.inf), (1, 0, -np.inf))]
    answers = _part(row, _LAST, frame["label"], frame["score"])
    listed = frame["history"].map(lambda items: list(items)[-_WINDOW:]).explode().astype(int)
    if not listed.between(0, len(titles) - 1).all():
        raise ValueError(f"item_ids reach from {listed.min()} to {listed.max()}, titles from 0 to {len(titles) - 1}")
    word = pd.Series(list(titles)).str.extract(_ANSWER)[0]
    found = pd.DataFrame({"row": listed.index, "word": word.reindex(listed).to_numpy()})
    found["place"] = 2 + found.groupby("row").cumcount()
    found = found[found["word"].notna()]
    yes = (found["word"] == "Yes").to_numpy()
    in_titles = _part(found["row"], found["place"], yes.astype(int), np.where(yes, certainty, -certainty))
    parts = pd.concat([*instructions, in_titles, answers])
    return parts.sort_values(["row", "place"], kind="stable", ignore_index=True)


def _part(row, place, label, score) -> pd.DataFrame:
    columns = {"row": row, "place": place, "label": label, "score": score}
    return pd.DataFrame({name: np.broadcast_to(values, len(row)) for name, values in columns.items()})
