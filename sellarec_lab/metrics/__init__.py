"""Numbers with which models are judged: ranking, calibration, alignment, and how sure we are.

Everything here takes plain arrays or one of two exchange frames and knows nothing of models: `Predictions`, a
``DataFrame[user_id, item_id, label, score]``, and `Ranks`, a ``DataFrame[query, target, rank, candidates, ties]``.
"""

from sellarec_lab.metrics.alignment import (
    linear_cka,
    matched_cosine,
    neighbour_overlap,
    neighbours,
    retrieval_at,
    shuffled,
)
from sellarec_lab.metrics.ranks import per_query, rank_targets, value
from sellarec_lab.metrics.rating import (
    Calibration,
    auc,
    calibrate,
    expected_calibration_error,
    gap_closed,
    log_loss,
    mean_average_precision,
    ndcg,
    probabilities,
    quality,
    scorable_users,
    uauc,
    user_auc,
    user_map,
    user_ndcg,
)
from sellarec_lab.metrics.uncertainty import Interval, Paired, detectable, interval, paired

__all__ = [
    "Calibration", "Interval", "Paired", "auc", "calibrate", "detectable", "expected_calibration_error",
    "gap_closed", "interval", "linear_cka", "log_loss", "matched_cosine", "mean_average_precision", "ndcg",
    "neighbour_overlap", "neighbours", "paired", "per_query", "probabilities", "quality", "rank_targets",
    "retrieval_at", "scorable_users", "shuffled", "uauc", "user_auc", "user_map", "user_ndcg", "value",
]  # fmt: skip
