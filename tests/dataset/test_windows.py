"""Windows: index arithmetic checked by eye, selection by what was known, nothing of the future."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from app.dataset import make_windows
from app.dataset.features import FEATURES, WARM_UP
from app.dataset.windows import WindowSpec
from app.errors import DataError, SettingsError
from app.prices.calendar import sessions, sessions_after

SPEC = WindowSpec(lookback=10, horizons=(1, 5))


@pytest.fixture
def windows(prices):
    return make_windows(prices, SPEC)


def close_of(prices, symbol, day):
    return prices.set_index(["symbol", "date"])["close"][symbol, pd.Timestamp(day)]


def test_first_and_last_window_by_hand(windows, prices):
    """UP closes at 100 + t, so that every value tells its session."""
    up = windows.of("UP")
    dates = prices.loc[prices["symbol"] == "UP", "date"].to_numpy().astype("datetime64[D]")
    first = WARM_UP + SPEC.lookback - 1
    assert up.origin[0] == dates[first]
    assert up.origin_close[0] == 100 + first
    assert up.date[0].tolist() == [dates[first + 1].item(), dates[first + 5].item()]
    np.testing.assert_allclose(np.exp(up.actual[0]), [(101 + first) / (100 + first), (105 + first) / (100 + first)])
    assert up.origin[-1] == dates[-1]
    assert np.isnan(up.actual[-1]).all()
    assert up.date[-1].tolist() == sessions_after("XNYS", dates[-1], 5)[[0, 4]].tolist()


def test_there_are_as_many_windows_as_there_should_be(windows):
    assert len(windows) == 2 * (300 - WARM_UP - SPEC.lookback + 1)
    assert len(windows.known_by(windows.origin.max())) == 2 * (300 - WARM_UP - SPEC.lookback + 1 - 5)


def test_inputs_are_the_rows_up_to_the_origin(windows):
    some = windows.originating(np.datetime64("2024-06-03"), np.datetime64("2024-06-05"))
    inputs = some.gather()
    assert inputs.shape == (4, 10, len(FEATURES))
    for window, end in zip(inputs, some.ends, strict=True):
        np.testing.assert_array_equal(window, some.panel.features[end - 9 : end + 1])


def test_no_window_reaches_into_another_symbol(windows):
    begins = windows.ends - SPEC.lookback + 1
    np.testing.assert_array_equal(windows.panel.code[begins], windows.panel.code[windows.ends])


def test_no_window_reaches_into_another_symbol_even_where_every_row_is_known(windows):
    known = dataclasses.replace(windows.panel, features=np.zeros_like(windows.panel.features))
    ends = known.usable_ends(10)
    np.testing.assert_array_equal(known.code[ends - 9], known.code[ends])
    assert len(ends) == 2 * (300 - 9)


def test_known_by_purges_targets_not_yet_seen(windows):
    day = np.datetime64("2024-10-01")
    known = windows.known_by(day)
    assert known.date.max() <= day
    assert np.isfinite(known.actual).all()
    left_out = set(windows.ends) - set(known.ends)
    late = windows.date[[end in left_out for end in windows.ends]]
    assert (late[:, -1] > day).all()


def test_originating_includes_the_start_and_not_the_stop(windows):
    some = windows.originating(np.datetime64("2024-06-03"), np.datetime64("2024-06-05"))
    assert sorted(set(some.origin.tolist())) == [np.datetime64("2024-06-03").item(), np.datetime64("2024-06-04").item()]


def test_newest_is_one_window_a_symbol(windows):
    assert windows.newest().symbol.tolist() == ["NOISE", "UP"]
    assert (windows.newest().origin == windows.origin.max()).all()


@pytest.mark.parametrize("removed", [1, 20, 100])
def test_windows_know_nothing_of_the_future(prices, windows, removed):
    """Rows after an origin removed: inputs, scale and targets already known stay as they are."""
    days = np.unique(prices["date"])
    cut = make_windows(prices[prices["date"] <= days[-1 - removed]], SPEC)
    same = windows.originating(windows.origin.min(), cut.origin.max() + 1)
    np.testing.assert_array_equal(cut.gather(), same.gather())
    np.testing.assert_array_equal(cut.volatility, same.volatility)
    np.testing.assert_array_equal(cut.date, same.date)
    known = np.isfinite(cut.actual)
    np.testing.assert_array_equal(cut.actual[known], same.actual[known])


def test_a_missing_session_shifts_no_horizon(prices):
    """The row of one session is taken out: what was to be its target is unknown, the others are as before."""
    up = prices[prices["symbol"] == "UP"].reset_index(drop=True)
    whole = make_windows(up, SPEC)
    holed = make_windows(up.drop(index=200), SPEC)
    missing = up["date"].to_numpy()[200].astype("datetime64[D]")
    for window in range(len(holed)):
        twin = whole.originating(holed.origin[window], holed.origin[window] + 1)
        np.testing.assert_array_equal(holed.date[window], twin.date[0])
        gone = holed.date[window] == missing
        assert np.isnan(holed.actual[window][gone]).all()
        np.testing.assert_allclose(holed.actual[window][~gone], twin.actual[0][~gone])


def test_a_dividend_is_part_of_the_return(prices):
    up = prices[prices["symbol"] == "UP"].reset_index(drop=True)
    paid = up.copy()
    paid.loc[100, "dividend"] = 10.0
    plain, with_dividend = (make_windows(table, SPEC) for table in (up, paid))
    before = np.flatnonzero(plain.origin == up["date"].to_numpy()[99].astype("datetime64[D]"))[0]
    assert np.exp(plain.actual[before, 0]) == pytest.approx(200 / 199)
    assert np.exp(with_dividend.actual[before, 0]) == pytest.approx(200 / (199 - 10))


def test_chunks_supervise_each_chosen_row_once(windows):
    known = windows.known_by(np.datetime64("2024-12-31"))
    chunks = known.chunks(steps=8)
    assert chunks.length == SPEC.lookback + 7
    rows = (chunks.ends[:, None] + np.arange(-7, 1))[np.isfinite(chunks.targets).all(axis=-1)]
    assert len(rows) == len(set(rows.tolist()))
    assert set(rows.tolist()) <= set(known.ends.tolist())
    assert len(rows) >= len(known) - 2 * 7


def test_chunk_targets_are_scaled_actuals_and_nothing_else(windows):
    chosen = windows.originating(np.datetime64("2024-08-01"), np.datetime64("2024-12-01"))
    chunks = chosen.chunks(steps=6)
    scaled = dict(zip(chosen.ends.tolist(), chosen.actual / chosen.scale, strict=True))
    for end, targets in zip(chunks.ends, chunks.targets, strict=True):
        for row, target in zip(range(end - 5, end + 1), targets, strict=True):
            if row in scaled:
                np.testing.assert_allclose(target, scaled[row], rtol=1e-5)
            else:
                assert np.isnan(target).all()


def test_a_row_with_unknown_features_is_in_no_window(prices):
    windows = make_windows(prices, SPEC)
    features = windows.panel.features.copy()
    features[150] = np.nan
    object.__setattr__(windows.panel, "features", features)
    ends = windows.panel.usable_ends(10)
    assert not set(range(150, 160)) & set(ends.tolist())
    assert {149, 160} <= set(ends.tolist())


def test_the_panel_cannot_be_written(windows):
    with pytest.raises(ValueError, match="read-only"):
        windows.panel.features[0] = 0


def test_a_short_symbol_is_left_out_and_said(prices, caplog):
    short = prices[prices["symbol"] == "NOISE"].iloc[:34].assign(symbol="NEW")
    windows = make_windows(pd.concat([prices, short]), SPEC)
    assert windows.panel.symbols == ("NOISE", "UP")
    assert "left out: NEW: 34 sessions; window.lookback 10 + horizon 5 + 20 to warm up need 35" in caplog.text


def test_nothing_but_short_symbols_is_refused(prices):
    with pytest.raises(DataError, match=r"UP: 30 sessions.*need 35.*shorten --lookback"):
        make_windows(prices[prices["symbol"] == "UP"].iloc[:30], SPEC)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lookback": 0}, "window.lookback must be 1 to 2000 sessions, got 0"),
        ({"horizons": ()}, r"window.horizons must be 1 to 250 sessions ahead, got \[\]"),
        ({"horizons": (0, 1)}, "window.horizons must be 1 to 250"),
        ({"horizons": (5, 1)}, "window.horizons must rise"),
        ({"horizons": (1, 1)}, "window.horizons must rise"),
    ],
)
def test_nonsense_is_refused(values, message):
    with pytest.raises(SettingsError, match=message):
        WindowSpec(**values)


def test_weekends_and_holidays_are_counted_as_the_calendar_has_them(windows):
    """2024-07-03 is a Wednesday before Independence Day: the next session is two days away."""
    day = windows.originating(np.datetime64("2024-07-03"), np.datetime64("2024-07-04"))
    column = [feature.name for feature in FEATURES].index("days_to_next")
    assert day.gather()[0, -1, column] == pytest.approx(np.log(2))
    assert np.datetime64("2024-07-04") not in sessions("XNYS", np.datetime64("2024-07-01"), np.datetime64("2024-07-08"))
