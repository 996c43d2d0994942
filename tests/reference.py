"""Slow, obvious versions of what app/ does fast: loops and NumPy. Never imports app."""

import math

import numpy as np


def ewma_volatility(returns, decay, warm_up):
    """Square root of the weighted mean of squared returns, weights decay ** age, from the definition."""
    answer = []
    for now in range(len(returns)):
        weights = [decay**age for age in range(now + 1)]
        squares = [returns[now - age] ** 2 for age in range(now + 1)]
        mean = sum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights)
        answer.append(math.sqrt(mean) if now + 1 >= warm_up else math.nan)
    return np.array(answer)
