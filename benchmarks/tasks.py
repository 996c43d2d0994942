"""Sequences whose answer lies far back: the adding problem, and recall after a delay, with and without noise.

Every task gives rows of two numbers, a value and a mark. `lag` is how far back the answer may lie.
"""

import numpy as np


def adding(count: int, lag: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two of `lag` uniform values are marked, one in each half; the answer is their sum.

    Answering 1, the mean, has a mean squared error of 1/6.

    Args:
        count: sequences; lag: rows of each, 2 at least; random: where they are drawn from.

    Returns:
        (count, lag, 2) values in [0, 1) and marks; (count, 1) answers; float32.

    Source: Hochreiter & Schmidhuber (1997), Neural Computation 9, 1735-1780, experiment 4, in the form of
    Le, Jaitly & Hinton (2015), arXiv 1504.00941, section 4.1.
    """
    rows = _noise(count, lag, random)
    first = random.integers(0, lag // 2, count)
    second = random.integers(lag // 2, lag, count)
    every = np.arange(count)
    rows[every, first, 1] = rows[every, second, 1] = 1.0
    return rows, (rows[every, first, 0] + rows[every, second, 0])[:, None]


def recall(count: int, lag: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The first value is marked, and is the answer `lag` rows of noise later.

    Answering 1/2, the mean, has a mean squared error of 1/12. Returns (count, lag + 1, 2) and (count, 1).

    Source: after Hochreiter & Schmidhuber (1997), experiment 2, whose long lag is filled with distractors.
    """
    rows = _noise(count, lag + 1, random)
    rows[:, 0, 1] = 1.0
    return rows, rows[:, 0, :1].copy()


def silent_recall(count: int, lag: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`recall` with zeros in place of the noise: nothing has to be kept out, only kept."""
    rows, answers = recall(count, lag, random)
    rows[:, 1:, 0] = 0.0
    return rows, answers


def _noise(count: int, length: int, random: np.random.Generator) -> np.ndarray:
    rows = np.zeros((count, length, 2), "float32")
    rows[..., 0] = random.random((count, length), "float32")
    return rows


TASKS = {"adding": adding, "recall": recall, "silent-recall": silent_recall}

BASELINE = {"adding": 1 / 6, "recall": 1 / 12, "silent-recall": 1 / 12}
"""Mean squared error of always answering the mean: the variance of the answer."""
