"""Rules that need no training: what a network must beat before it has learnt anything."""

from collections.abc import Callable, Mapping

import numpy as np

from app.reproduce.acl18 import FEATURES, Instances

Rule = Callable[[Instances], np.ndarray]


def always_up(instances: Instances) -> np.ndarray:
    """(n,) every day rises."""
    return np.ones(len(instances), bool)


def momentum(instances: Instances) -> np.ndarray:
    """(n,) a day rises if the session before it did."""
    return _newest(instances, "n_adj_close") > 0


def reversal(instances: Instances) -> np.ndarray:
    """(n,) a day rises unless the session before it did."""
    return ~momentum(instances)


def below_mean(instances: Instances) -> np.ndarray:
    """(n,) a day rises if the mean of 30 closes lies above the newest."""
    return _newest(instances, "mean_30") > 0


def above_mean(instances: Instances) -> np.ndarray:
    """(n,) the opposite of `below_mean`."""
    return ~below_mean(instances)


RULES: Mapping[str, Rule] = {
    "always up": always_up,
    "1-day reversal": reversal,
    "1-day momentum": momentum,
    "30-day mean above price": below_mean,
    "30-day mean below price": above_mean,
}
"""All of them are shown, with the test days known: they are reference lines, not a choice."""


def _newest(instances: Instances, feature: str) -> np.ndarray:
    return instances.inputs[:, -1, FEATURES.index(feature)]
