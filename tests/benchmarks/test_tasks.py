"""The tasks of the memory benchmark: what is marked, what is asked, and what answering the mean costs."""

import numpy as np
import pytest

from benchmarks.tasks import BASELINE, TASKS, adding, recall, silent_recall


def test_adding_marks_one_row_in_each_half_and_asks_for_their_sum():
    rows, answers = adding(300, 9, np.random.default_rng(1))
    assert rows.shape == (300, 9, 2)
    assert answers.shape == (300, 1)
    for sequence, answer in zip(rows, answers[:, 0], strict=True):
        marked = [row for row in range(9) if sequence[row, 1] == 1.0]
        assert len(marked) == sequence[:, 1].sum() == 2
        assert marked[0] < 4 <= marked[1]
        assert answer == pytest.approx(sum(sequence[row, 0] for row in marked))
    assert {row for sequence in rows for row in np.flatnonzero(sequence[:, 1])} == set(range(9))


@pytest.mark.parametrize("make", [recall, silent_recall])
def test_recall_asks_for_the_number_shown_lag_rows_before_the_last(make):
    rows, answers = make(50, 7, np.random.default_rng(2))
    assert rows.shape == (50, 8, 2)
    np.testing.assert_array_equal(rows[:, -1 - 7, 0], answers[:, 0])
    np.testing.assert_array_equal(rows[:, :, 1], [[1, 0, 0, 0, 0, 0, 0, 0]] * 50)


def test_the_delay_is_noise_unless_it_is_silent():
    loud, silent = (make(50, 7, np.random.default_rng(3))[0][:, 1:, 0] for make in (recall, silent_recall))
    assert loud.std() > 0.2
    assert not silent.any()


@pytest.mark.parametrize("task", TASKS)
def test_the_baseline_is_what_answering_the_mean_costs(task):
    _, answers = TASKS[task](20_000, 6, np.random.default_rng(4))
    assert np.mean((answers - answers.mean()) ** 2) == pytest.approx(BASELINE[task], rel=0.03)


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_sequences_and_another_seed_others(task):
    first, again, other = (TASKS[task](4, 6, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first[0], again[0])
    assert (first[0] != other[0]).any()
