"""The outlook: nothing of the future, columns as a loop has them, a quarter found again, a market for each exchange."""

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.features import LARGEST, WARM_UP, basis
from app.dataset.outlook import ANNIVERSARIES, FEWEST, MARKET, OUTLOOK, OWN, QUARTERS, market_columns, outlook_matrix
from app.dataset.windows import WindowSpec
from tests import reference
from tests.forecasters.planted import price_table, ranged, without_future

COLUMNS = (*OWN, *ANNIVERSARIES)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    prices = ranged({"ONE": (-0.5, 600)}, (0.3, 0.3, 0.3), noise=0.3)
    volume = np.random.default_rng(2).integers(500_000, 2_000_000, len(prices)).astype(float)
    close = prices["close"] * np.exp(np.cumsum(0.01 * np.random.default_rng(3).normal(size=len(prices))))
    moved = {name: prices[name] * close / prices["close"] for name in ("open", "high", "low", "close")}
    return prices.assign(volume=volume, **moved)


def outlook(prices: pd.DataFrame) -> pd.DataFrame:
    days = prices["date"].to_numpy().astype("datetime64[D]")
    gaps = np.where(prices["date"].dt.day_of_week == 4, 3, 1)
    return pd.DataFrame(outlook_matrix(basis(prices, gaps), days), columns=list(COLUMNS), index=days)


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_knows_nothing_of_the_future(change, table):
    day = table["date"].iloc[500]
    whole, cut = outlook(table), outlook(without_future(table, day, change))
    np.testing.assert_array_equal(cut.iloc[:501], whole.iloc[:501])
    assert (whole.iloc[501:] != outlook(without_future(table, day, "noise")).iloc[501:]).to_numpy().any()


def test_it_agrees_with_loops(table):
    known = basis(table, np.where(table["date"].dt.day_of_week == 4, 3, 1))
    expected = reference.outlook(known, table["date"].to_numpy().astype("datetime64[D]"), QUARTERS)
    found = outlook(table).reset_index(drop=True)
    for name in COLUMNS:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-9, atol=1e-9, err_msg=name)


def test_is_free_of_scale(table):
    larger = table.assign(**{name: table[name] * 7 for name in ("open", "high", "low", "close")})
    np.testing.assert_allclose(outlook(table), outlook(larger.assign(volume=table["volume"] * 3)), atol=1e-9)


def test_the_same_day_of_earlier_quarters_is_found_again(table):
    """One wild session; 91 days later, on the eve, the day is told of, a week before it the week, and so on."""
    calm = table.assign(high=table["close"] * 1.01, low=table["close"] * 0.99, volume=1e6)
    wild = pd.Timestamp(calm["date"].iloc[300])
    calm.loc[300, ["high", "low"]] = calm["close"][300] * np.array([1.2, 0.8])
    found, plain = outlook(calm), outlook(calm.assign(high=calm["close"] * 1.01, low=calm["close"] * 0.99))
    first = list(ANNIVERSARIES)
    for quarter in QUARTERS[:3]:
        again = wild + pd.Timedelta(days=quarter)
        eve = np.busday_offset(again.date(), -1)
        assert (found.loc[eve, first] - plain.loc[eve, first] > 0.5).all()
        week, month, passed = (np.busday_offset(again.date(), ahead) for ahead in (-4, -15, 1))
        assert list(found.loc[week, first] > 0.5) == [False, True, True, True]
        assert list(found.loc[month, first] > 0.5) == [False, False, False, True]
        assert list(found.loc[passed, first] > 0.5) == [False, True, False, False]


def test_a_market_is_what_its_symbols_do_on_average_and_nothing_with_few_of_them():
    days = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-01-04"))
    year, span = OWN.index("year"), [OWN.index(name) for name in ("day", "week", "month")]

    def part(calendar, level, known=3):
        own = np.zeros((3, len(COLUMNS)))
        own[:, span] = level + np.array([0.0, 1.0, 2.0])
        own[:, year] = 0.5
        return calendar, days[:known], own[:known]

    here = [part("XNYS", float(number)) for number in range(FEWEST - 1)]
    there = [part("XTKS", 100.0)] * FEWEST
    few = market_columns([*here, *there])
    assert (few[0] == 0).all()
    np.testing.assert_allclose(few[-1], np.tile(100.0 + np.array([0, 1, 2]) - 0.5, (3, 1)))
    enough = market_columns([*here, part("XNYS", float(FEWEST - 1), known=2), *there])
    mean = np.mean(np.arange(FEWEST)) - 0.5
    np.testing.assert_allclose(enough[0][:2], np.tile(mean + np.array([0, 1, 2]), (2, 1)))
    assert (enough[0][2] == 0).all()
    assert [len(one) for one in enough] == [3] * (FEWEST - 1) + [2] + [3] * FEWEST


@pytest.mark.parametrize("change", ["removed", "noise"])
def test_the_market_in_windows_knows_nothing_of_the_future(change):
    noise = np.random.default_rng(4)
    prices = price_table({f"S{number:02d}": 0.01 * noise.normal(size=330) for number in range(FEWEST)})
    day, spec = prices["date"].unique()[-20], WindowSpec(5, (1,))
    before, after = (make_windows(one, spec, "24/5").panel for one in (prices, without_future(prices, day, change)))
    rows, others = (panel.date <= np.datetime64(day, "D") for panel in (before, after))
    np.testing.assert_array_equal(after.outlook[others], before.outlook[rows])
    assert (before.outlook[:, -len(MARKET) :] != 0).any()
    assert before.outlook.shape[1] == len(OUTLOOK)


def test_the_market_does_not_depend_on_how_long_a_symbol_is_listed_later():
    """One of FEWEST + 1 symbols has 90 rows on the day; without later rows it is too short for windows of 60."""
    noise = np.random.default_rng(5)
    lengths = [330] * FEWEST + [110]
    prices = price_table({f"S{number:02d}": 0.01 * noise.normal(size=size) for number, size in enumerate(lengths)})
    day, spec = prices["date"].unique()[-20], WindowSpec(60, (1, 20))
    before, after = (make_windows(one, spec, "24/5").panel for one in (prices, without_future(prices, day, "removed")))
    assert (len(before.symbols), len(after.symbols)) == (FEWEST + 1, FEWEST)
    old = (before.date <= np.datetime64(day, "D")) & (before.code < FEWEST)
    np.testing.assert_array_equal(after.outlook, before.outlook[old])
    assert (after.outlook[-1, -len(MARKET) :] != 0).all()


def test_a_symbol_that_never_moves_and_one_without_highs_and_volumes_stay_bounded(table):
    still = table.assign(open=5.0, high=5.0, low=5.0, close=5.0, volume=0.0)
    bare = table.assign(high=np.nan, low=np.nan, volume=np.nan, open=np.nan)
    for one in (still, bare):
        found = outlook(one)[WARM_UP + 60 :]
        assert np.isfinite(found).to_numpy().all()
        assert found.abs().to_numpy().max() <= LARGEST
