"""How sure a mean is: the bootstrap over one value a user."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sellarec_lab.metrics.uncertainty import Interval, _bounds, _draws


def mean_interval(values: ArrayLike, samples: int = 1000, seed: int = 0, level: float = 0.95) -> Interval:
    """Mean of one value a user [n], with its percentile bootstrap over users; ValueError unless there are 2 or more,
    all finite."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"values of shape {values.shape}: expected [n] finite numbers, one a user, of 2 users or more")
    draws = _draws(pd.Categorical(np.arange(len(values))), len(values), samples, seed)
    means = np.concatenate([counts @ values / len(values) for counts in draws])
    return Interval(float(values.mean()), *_bounds(means, level))
