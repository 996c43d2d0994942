"""The protocol of Fischer & Krauss (2018): returns, study periods, medians and portfolios on planted panels."""

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.reproduce.fischer_krauss import Ranking, Returns, Sequences, daily_returns, portfolio, study_periods
from app.schema import prices_table
from tests.reference import long_short

SMALL = Ranking(training=30, trading=10, lookback=8, picks=2)


def price_rows(closes, start="2020-01-01"):
    """A price table from symbol → closes; NaN is no row."""
    days = pd.bdate_range(start, periods=len(next(iter(closes.values()))))
    rows = [
        {"symbol": symbol, "date": day, "close": close}
        for symbol, values in closes.items()
        for day, close in zip(days, values, strict=True)
        if np.isfinite(close)
    ]
    return prices_table(pd.DataFrame(rows))


def noise(days=60, symbols=6, seed=0):
    values = 0.01 * np.random.default_rng(seed).normal(size=(days, symbols))
    values[0] = np.nan
    day = np.datetime64("2020-01-01") + np.arange(days)
    return Returns(day, tuple("ABCDEFGHIJ"[:symbols]), values)


def test_returns_by_hand():
    returns = daily_returns(price_rows({"A": [100, 110, 99, 99], "B": [10.0, np.nan, 12, 6]}))
    assert returns.symbols == ("A", "B")
    np.testing.assert_allclose(returns.values[:, 0], [np.nan, 0.1, -0.1, 0.0], atol=1e-12)
    np.testing.assert_allclose(returns.values[:, 1], [np.nan, np.nan, np.nan, -0.5], atol=1e-12)


def test_dividends_and_splits_are_in_the_returns():
    table = price_rows({"A": [100.0, 49.0], "B": [10.0, 10.0]})
    table.loc[(table["symbol"] == "A") & (table["close"] == 49.0), ["split", "dividend"]] = [2.0, 1.0]
    assert daily_returns(table).values[1].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)


def test_a_day_on_which_one_symbol_trades_is_no_session():
    table = price_rows({name: np.linspace(10, 20, 30) for name in "ABCD"})
    stray = prices_table(pd.DataFrame({"symbol": ["A"], "date": ["2020-01-04"], "close": [99.0]}))
    returns = daily_returns(pd.concat([table, stray]))
    assert np.datetime64("2020-01-04") not in returns.day
    assert np.isfinite(returns.values[1:]).all()


def test_study_periods_trade_the_newest_sessions_without_overlap():
    returns = noise(days=60)
    older, newer = study_periods(returns, SMALL, 2)
    for period, stop in ((older, 50), (newer, 60)):
        assert np.unique(period.trading.day).tolist() == returns.day[stop - 10 : stop].tolist()
        assert np.unique(period.validation.day).tolist() == returns.day[stop - 14 : stop - 10].tolist()
        assert np.unique(period.training.day).tolist() == returns.day[stop - 32 : stop - 14].tolist()


def test_sequences_by_hand():
    returns = noise(days=45)
    (period,) = study_periods(returns, SMALL, 1)
    learnt = returns.values[5:35]
    first = period.trading.take(np.flatnonzero(period.trading.symbol == 3)[:1])
    window = period.panel[first.ends[0] - 7 : first.ends[0] + 1, 0]
    np.testing.assert_allclose(window, (returns.values[27:35, 3] - learnt.mean()) / learnt.std(), rtol=1e-4, atol=1e-6)
    assert first.day[0] == returns.day[35]
    assert first.returns[0] == returns.values[35, 3]
    assert first.above[0] == (returns.values[35, 3] > np.median(returns.values[35]))


def test_what_is_traded_changes_nothing_that_is_learnt():
    returns = noise(days=45)
    (before,) = study_periods(returns, SMALL, 1)
    values = returns.values.copy()
    values[35:] *= -7
    (after,) = study_periods(Returns(returns.day, returns.symbols, values), SMALL, 1)
    rows = np.arange(len(before.panel)).reshape(6, -1)[:, :30].ravel()
    np.testing.assert_array_equal(after.panel[rows], before.panel[rows])
    for name in ("training", "validation"):
        np.testing.assert_array_equal(getattr(after, name).above, getattr(before, name).above)


def test_a_symbol_that_is_not_there_at_the_end_of_training_is_not_traded():
    returns = noise(days=45)
    returns.values[34, 2] = np.nan
    returns.values[:20, 5] = np.nan
    (period,) = study_periods(returns, SMALL, 1)
    assert period.symbols == ("A", "B", "D", "E", "F")
    late = period.training.take(period.training.symbol == 4)
    assert late.day.min() == returns.day[28]


def test_half_of_every_day_is_above_its_median():
    (period,) = study_periods(noise(days=45), SMALL, 1)
    shares = pd.Series(period.training.above).groupby(period.training.day).mean()
    assert shares.tolist() == [0.5] * len(shares)


def test_portfolios_agree_with_loops():
    rng = np.random.default_rng(2)
    day = np.repeat(np.array(["2020-01-02", "2020-01-03"], "datetime64[D]"), 9)
    score, returns = rng.normal(size=18), rng.normal(size=18)
    order = rng.permutation(18)
    traded = Sequences(np.arange(18), (returns > 0).astype(int), day, returns, np.zeros(18, int)).take(order)
    result = portfolio(traded, score[order], picks=3)
    assert result["earned"].tolist() == pytest.approx(long_short(day, score, returns, 3))


def test_foresight_earns_and_its_opposite_loses_the_same():
    (period,) = study_periods(noise(days=45), SMALL, 1)
    seer = portfolio(period.trading, period.trading.returns, picks=2)
    fool = portfolio(period.trading, -period.trading.returns, picks=2)
    assert (seer["right"] == 1).all()
    assert (fool["right"] == 0).all()
    assert seer["earned"].tolist() == pytest.approx((-fool["earned"]).tolist())


def test_costs_are_those_between_the_published_returns():
    assert Ranking().daily_cost == pytest.approx(0.0046 - 0.0026)


def test_a_short_history_is_refused():
    with pytest.raises(DataError, match=r"45 sessions, but 2 study period\(s\) need 51"):
        list(study_periods(noise(days=45), SMALL, 2))


def test_a_narrow_panel_is_refused():
    with pytest.raises(DataError, match=r"3 symbols with a return on 2020-02-04, but .* need at least 4"):
        list(study_periods(noise(days=45, symbols=3), SMALL, 1))


def test_a_day_with_too_few_stocks_is_refused():
    returns = noise(days=45, symbols=4)
    returns.values[40, 0] = np.nan
    (period,) = study_periods(returns, SMALL, 1)
    with pytest.raises(DataError, match="3 stocks with whole sequences on 2020-02-10, but at least 4"):
        portfolio(period.trading, period.trading.returns, picks=2)
