"""Late fusion: one logistic regression over the scores of several models, fitted on valid."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


class Fusion:
    """The blend as a model of the valid and test rows: the only ones that its parts have scored.

    ``valid`` and ``test`` are scored frames, one a part, under the index of the data.
    """

    def __init__(self, valid: Sequence[pd.DataFrame], test: Sequence[pd.DataFrame]):
        self._scores = pd.concat([pd.Series(fuse(valid, told), index=told[0].index) for told in (valid, test)])

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Rows of valid or test with a float ``score`` (a logit)."""
        return frame.assign(score=self._scores.loc[frame.index].to_numpy())


def fuse(valid: Sequence[pd.DataFrame], target: Sequence[pd.DataFrame]) -> np.ndarray:
    """Blended scores of the target rows (logits), float [n].

    Warm and cold rows (``is_warm``) get weights of their own: what a collaborative model says of a user that it never
    saw deserves no trust, and the fit finds that out. A part whose valid rows hold one label only takes the weights
    of all rows.

    Args:
        valid: one frame a model, the same rows in the same order, with ``label, is_warm, score``.
        target: the same models in the same order on the rows to score.

    Raises:
        ValueError: no models, or another number of them on the two sides.
    """
    if not valid or len(valid) != len(target):
        raise ValueError(f"fusion needs the same models on both sides, got {len(valid)} and {len(target)}")
    x, wanted = (np.column_stack([f["score"] for f in frames]) for frames in (valid, target))
    labels = valid[0]["label"].to_numpy()
    warm, wanted_warm = valid[0]["is_warm"].to_numpy(dtype=bool), target[0]["is_warm"].to_numpy(dtype=bool)
    out = np.empty(len(wanted))
    for kind in (True, False):
        rows, goal = warm == kind, wanted_warm == kind
        if not goal.any():
            continue
        if len(np.unique(labels[rows])) < 2:
            rows = np.ones_like(warm)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x[rows], labels[rows])
        out[goal] = model.decision_function(wanted[goal])
    return out
