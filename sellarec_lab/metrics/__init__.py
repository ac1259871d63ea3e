"""Numbers with which models are judged: ranking, calibration, alignment, and how sure we are.

Everything here takes plain arrays or the exchange frame ``DataFrame[user_id, item_id, label, score]``
and knows nothing of models.
"""

from sellarec_lab.metrics.alignment import (
    linear_cka,
    matched_cosine,
    neighbour_overlap,
    retrieval_at,
    shuffled,
)
from sellarec_lab.metrics.ranking import (
    auc,
    expected_calibration_error,
    gap_closed,
    log_loss,
    scorable_users,
    uauc,
    user_auc,
)
from sellarec_lab.metrics.uncertainty import Interval, Paired, interval, paired

__all__ = [
    "Interval",
    "Paired",
    "auc",
    "expected_calibration_error",
    "gap_closed",
    "interval",
    "linear_cka",
    "log_loss",
    "matched_cosine",
    "neighbour_overlap",
    "paired",
    "retrieval_at",
    "scorable_users",
    "shuffled",
    "uauc",
    "user_auc",
]
