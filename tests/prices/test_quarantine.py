"""What is doubted beside what is known: every fault that was planted, and hardly anything else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.prices.quarantine import Rows, is_agreed, judge
from app.prices.sources import Files
from app.schema import PRICE_FIELDS

KNOWN, TOLD = 80, 15
"""A story: 80 rows are known, and told are the ten newest of them and five more."""

DAYS = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-01-01") + KNOWN + 5)
CLOSE, DIVIDEND, SPLIT = (PRICE_FIELDS.index(name) for name in ("close", "dividend", "split"))
PRICES = slice(0, 4)


def truth(seed: int = 0, volatility: float = 0.015, splits: dict[int, float] | None = None) -> np.ndarray:
    """(85, fields) as traded, in which no day's range is wider than 4 volatilities."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(rng.normal(0, volatility, KNOWN + 5).clip(-3 * volatility, 3 * volatility).cumsum())
    values = np.column_stack([close, close * (1 + 2 * volatility), close * (1 - 2 * volatility), close])
    values = np.column_stack([values, np.full(len(close), 1e6), np.zeros(len(close)), np.ones(len(close))])
    for row, ratio in (splits or {}).items():
        values[row:, PRICES] /= ratio
        values[row, SPLIT] = ratio
    return values


def doubts(known: np.ndarray, told: np.ndarray, again: tuple[int, ...] = ()) -> dict[int, str]:
    """Row of the story → rule, for an answer about its last 15 rows; `again` are rows told before."""
    begins = len(told) - TOLD
    marked = np.isin(np.arange(begins, len(told)), again)
    found = judge(Rows(DAYS[: len(known)], known), Rows(DAYS[begins:], told[begins:]), marked)
    return {begins + row: doubt.rule for row, doubt in found.items()}


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    volatility=st.sampled_from([0.005, 0.02, 0.05]),
    splits=st.dictionaries(
        st.integers(66, 84), st.sampled_from([0.1, 0.5, 1.05, 1.5, 2.0, 3.0, 7.0, 20.0]), max_size=3
    ),
    listed_later=st.integers(66, 84),
)
def test_nothing_that_is_true_is_doubted(seed, volatility, splits, listed_later):
    """Not even a split that the ledger learns of late, on a day it knows already."""
    told = truth(seed, volatility, splits)
    known = told[:KNOWN].copy()
    known[listed_later:, SPLIT] = 1.0
    assert doubts(known, told) == {}


def test_without_anything_known_nothing_is_doubted():
    told = truth()
    told[80:, PRICES] *= 100
    assert judge(Rows(DAYS[:0], told[:0]), Rows(DAYS, told), np.zeros(len(told), bool)) == {}


@pytest.mark.parametrize(
    ("ratio", "rule"),
    [(100, "unit_switched"), (0.01, "unit_switched"), (0.5, "split_like"), (2, "split_like"), (1 / 3, "split_like"),
     (0.1, "split_like"), (1 / 1.5, "split_like"), (0.07, "split_like"), (180, "jump"), (0.011, "unit_switched")],
)  # fmt: skip
def test_a_jump_by_a_ratio_of_units_or_splits_is_doubted_from_its_row_on(ratio, rule):
    told = truth()
    told[82:, PRICES] *= ratio
    assert doubts(truth()[:KNOWN], told) == {82: rule, 83: rule, 84: rule}


def test_once_told_again_the_rows_after_it_are_believed():
    told = truth()
    told[82:, PRICES] *= 100
    assert doubts(truth()[:KNOWN], told, again=(82,)) == {82: "unit_switched"}


def test_a_doubted_row_does_not_spoil_the_next():
    told = truth()
    told[82, PRICES] *= 100
    assert doubts(truth()[:KNOWN], told) == {82: "unit_switched"}


def test_a_split_without_its_move_is_doubted_and_one_with_it_not():
    told = truth()
    told[82, SPLIT] = 2.0
    assert doubts(truth()[:KNOWN], told) == dict.fromkeys((82, 83, 84), "split_misplaced")
    assert doubts(truth()[:KNOWN], truth(splits={82: 2.0})) == {}


def test_a_dividend_of_half_the_price_explains_its_fall():
    told = truth()
    told[82, DIVIDEND] = told[81, CLOSE] / 2
    told[82:, PRICES] /= 2
    assert doubts(truth()[:KNOWN], told) == {}


def test_a_crash_in_turmoil_is_no_split():
    told = truth()
    told[82:, PRICES] /= 2
    told[82, 1] *= 1.4  # the way down is in the bar
    assert doubts(truth()[:KNOWN], told) == {}


@pytest.mark.parametrize("close", [0.0, -3.0, np.inf])
def test_what_is_no_price_is_doubted(close):
    told = truth()
    told[82, CLOSE] = close
    assert doubts(truth()[:KNOWN], told) == {82: "impossible"}


def test_known_rows_told_at_half_their_price_are_one_rescaled_block_with_all_that_is_told_behind_them():
    told = truth()
    told[:, PRICES] /= 2
    assert doubts(truth()[:KNOWN], told) == dict.fromkeys(range(70, 85), "rescaled")


def test_known_rows_told_at_quite_other_prices_are_another_series():
    told = truth()
    told[:, PRICES] *= 1 + 0.1 * np.random.default_rng(2).random((len(told), 1))
    found = doubts(truth()[:KNOWN], told)
    assert set(range(70, 80)) <= set(found)
    assert found[70] == "replaced"


def test_a_few_corrected_closes_are_believed():
    told = truth()
    told[[71, 74], CLOSE] *= [1.05, 0.99]
    told[70:, 4] *= 2
    assert doubts(truth()[:KNOWN], told) == {}


def test_a_correction_that_makes_known_rows_continuous_is_believed_at_once():
    known = truth()[:KNOWN]
    known[75:78, PRICES] *= 100
    assert doubts(known, truth()) == {}


def test_a_split_taken_back_while_its_move_stays_is_doubted():
    told = truth(splits={75: 4.0})
    known = told[:KNOWN].copy()
    told[75, SPLIT] = 1.0
    assert doubts(known, told) == {75: "split_like"}


def test_an_action_on_a_day_without_a_price_explains_the_next_move():
    told = truth(splits={82: 4.0})
    told[81, CLOSE], told[81, SPLIT], told[82, SPLIT] = np.nan, 4.0, 1.0
    assert doubts(truth()[:KNOWN], told) == {}


def test_the_same_is_told_again_when_close_and_split_are_the_same():
    row = truth()[80]
    other = row.copy()
    other[CLOSE] *= 1.005
    assert is_agreed(row, other)
    other[SPLIT] = 2.0
    assert not is_agreed(row, other)
    other[CLOSE], other[SPLIT] = row[CLOSE] * 1.02, 1.0
    assert not is_agreed(row, other)


# --- real prices


def test_on_real_stocks_planted_faults_are_held_and_hardly_a_session_besides(price_data):
    """Twenty stocks since 2000; most of what is held besides are splits that this table does not list."""
    files = Files(price_data / "us_daily.parquet")
    table = files.table(files.symbols()[::10], start=np.datetime64("2000-01-01"))
    rng, held, told, missed, planted = np.random.default_rng(1), 0, 0, 0, 0
    for symbol in table["symbol"].unique():
        values = table.loc[table["symbol"] == symbol].sort_values("date")[list(PRICE_FIELDS)].to_numpy()
        told += len(values)
        close = values[:, CLOSE]
        with np.errstate(divide="ignore"):
            large = np.flatnonzero(np.abs(np.log(close[1:] * values[1:, SPLIT] / close[:-1])) > 0.2) + 1
        held += sum(_newest_held(values, row, 1.0) for row in large[large > 90])
        for ratio in (0.01, 0.5, 1 / 3, 4, 100):
            planted += 1
            missed += not _newest_held(values, int(rng.integers(100, len(values))), ratio)
    assert held / told < 1e-3
    assert missed / planted < 0.05


def _newest_held(values: np.ndarray, row: int, ratio: float) -> bool:
    """Whether a row is held on its evening, its prices multiplied by a ratio."""
    known, told = values[row - 90 : row], values[row - 10 : row + 1].copy()
    told[-1, PRICES] *= ratio
    days = np.arange(np.datetime64("2000-01-01"), np.datetime64("2000-01-01") + 91)
    return 10 in judge(Rows(days[:-1], known), Rows(days[-11:], told), np.zeros(11, bool))
