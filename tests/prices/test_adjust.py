"""Splits and dividends: by eye, against slow loops, and against Yahoo's own Adj Close."""

import numpy as np
import pandas as pd
import pytest

from app.prices.adjust import adjusted, as_traded, split_factor, total_returns
from app.prices.sources import Files
from app.schema import prices_table
from tests import reference

AT_MOST = 1e-5
"""How far the adjusted close may be from Adj Close times a constant: see the two tests that use it."""


def bars(close, dividend=0.0, split=1.0, volume=1000.0) -> pd.DataFrame:
    dates = pd.bdate_range("2024-01-01", periods=len(close))
    return prices_table(
        pd.DataFrame(
            {
                "symbol": "A", "date": dates, "open": close, "high": close, "low": close, "close": close,
                "volume": volume, "dividend": dividend, "split": split,
            }
        )
    )  # fmt: skip


@pytest.fixture
def eventful() -> pd.DataFrame:
    """300 sessions with three splits (one of them a reverse split) and dividends, as traded."""
    rng = np.random.default_rng(3)
    split, dividend = np.ones(300), np.zeros(300)
    split[[40, 150, 220]] = 2.0, 7.0, 0.1
    dividend[20::63] = 0.3
    dividend[150] = 0.1  # on the day of a split
    close = 80 * np.exp(0.02 * rng.normal(size=300).cumsum()) / np.cumprod(split)
    return bars(close, dividend, split, volume=rng.integers(1, 9, 300) * 1000.0)


def test_a_dividend_by_hand():
    prices = bars([100.0, 98.0, 99.0], dividend=[0.0, 2.0, 0.0])
    assert total_returns(prices)[1:] == pytest.approx([0.0, np.log(99 / 98)])
    assert np.isnan(total_returns(prices)[0])
    assert adjusted(prices)["close"].tolist() == pytest.approx([98.0, 98.0, 99.0])
    assert adjusted(prices, dividends=False)["close"].tolist() == [100.0, 98.0, 99.0]


def test_a_split_by_hand():
    prices = bars([100.0, 50.0, 51.0], split=[1.0, 2.0, 1.0], volume=[10.0, 20.0, 20.0])
    assert split_factor(prices).tolist() == [2.0, 1.0, 1.0]
    view = adjusted(prices)
    assert view["open"].tolist() == view["high"].tolist() == view["low"].tolist() == [50.0, 50.0, 51.0]
    assert view["volume"].tolist() == [20.0, 20.0, 20.0]
    assert total_returns(prices)[1] == pytest.approx(0.0)


def test_a_split_and_a_dividend_on_one_day_by_hand():
    """100 becomes two shares of 50; each pays 1, so 49 is no change."""
    prices = bars([100.0, 49.0], dividend=[0.0, 1.0], split=[1.0, 2.0])
    assert total_returns(prices)[1] == pytest.approx(0.0)
    assert adjusted(prices)["close"].tolist() == pytest.approx([49.0, 49.0])


def test_a_dividend_that_eats_the_price_gives_no_return():
    assert np.isnan(total_returns(bars([1.0, 1.0], dividend=[0.0, 1.0]))).all()


def test_one_row_and_none_are_fine():
    assert np.isnan(total_returns(bars([5.0]))).tolist() == [True]
    assert adjusted(bars([5.0]))["close"].tolist() == [5.0]
    assert len(adjusted(bars([5.0]).iloc[:0])) == 0


def test_agrees_with_loops(eventful):
    facts = [eventful[name].to_numpy() for name in ("close", "dividend", "split")]
    np.testing.assert_allclose(total_returns(eventful)[1:], reference.total_returns(*facts)[1:], atol=1e-14)
    np.testing.assert_allclose(adjusted(eventful)["close"], reference.adjusted_close(*facts), rtol=1e-12)


def test_adjusted_close_has_the_total_returns(eventful):
    np.testing.assert_allclose(np.diff(np.log(adjusted(eventful)["close"])), total_returns(eventful)[1:], atol=1e-12)


def test_as_traded_undoes_how_yahoo_serves(eventful):
    served = adjusted(eventful, dividends=False)
    served["dividend"] = eventful["dividend"] / split_factor(eventful)
    pd.testing.assert_frame_equal(as_traded(served), eventful)


def test_knows_nothing_of_the_future(eventful):
    for known in (1, 40, 41, 151, 299):
        np.testing.assert_array_equal(total_returns(eventful.iloc[:known]), total_returns(eventful)[:known])


def test_changes_nothing_it_is_given(eventful):
    before = eventful.copy()
    adjusted(eventful), as_traded(eventful), total_returns(eventful)
    pd.testing.assert_frame_equal(eventful, before)


def test_agrees_with_yahoos_adj_close_where_dividends_are_listed(price_data):
    """Daily bars with 12 dividends in three files; single precision leaves 1e-6."""
    paths = sorted((price_data / "bad_prices").glob("*-1d-no-bad-divs.csv"))
    assert len(paths) == 3
    assert max(distance(path) for path in paths) < AT_MOST


def test_agrees_with_yahoos_adj_close_where_dividends_are_implied(price_data):
    """Five years of 88 stocks; what is left is the noise of single precision, added up."""
    paths = sorted((price_data / "acl18").glob("*.csv"))
    assert len(paths) == 88
    assert max(distance(path) for path in paths) < AT_MOST


def distance(path) -> float:
    """The largest relative distance of the adjusted close from the file's Adj Close, up to one factor."""
    raw = pd.read_csv(path).set_axis(pd.read_csv(path, nrows=0).columns.str.lower(), axis=1)
    ours = adjusted(Files(path).table())["close"].to_numpy()
    ratio = ours / pd.to_numeric(raw["adj close"], errors="coerce").to_numpy()
    ratio = ratio[np.isfinite(ratio)]
    return float(abs(ratio / ratio[-1] - 1).max())
