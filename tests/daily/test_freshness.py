"""Freshness is a question of calendar and clock: the answer is looked up day by day in a real December."""

import numpy as np
import pandas as pd
import pytest

from app.config import load_settings
from app.daily.freshness import freshness

TUESDAY = np.datetime64("2024-12-24")
"""New York closes at 13:00 (18:00 UTC) on this day; the 25th is a holiday."""


def at(moment, symbols=("AAPL",), origin=TUESDAY, **prices):
    settings = load_settings({"prices": {"source": "yahoo", "symbols": symbols, **prices}})
    return freshness(settings, dict.fromkeys(symbols, origin), pd.to_datetime(moment, utc=True))


@pytest.mark.parametrize(
    ("moment", "behind"),
    [
        ("2024-12-24 19:00", 0), ("2024-12-26 21:59", 0), ("2024-12-26 22:00", 1),
        ("2024-12-27 21:59", 1), ("2024-12-27 22:00", 2), ("2024-12-30 21:00", 2), ("2024-12-30 22:00", 3),
    ],
)  # fmt: skip
def test_holidays_and_weekends_do_not_age_it(moment, behind):
    found = at(moment)
    assert (found.age, found.stale is not None) == (behind, behind > 1)


def test_it_is_fresh_until_the_second_session_has_closed_for_an_hour():
    until = at("2024-12-24 20:00").until
    assert until == pd.Timestamp("2024-12-27 22:00", tz="UTC")
    assert at("2024-12-24 20:00").ends == "2024-12-27T22:00:00+00:00"
    assert at(until).stale
    assert not at(until - pd.Timedelta(seconds=1)).stale


def test_a_half_day_counts_from_its_own_close():
    day_before = np.datetime64("2024-12-23")
    assert at("2024-12-24 18:59", origin=day_before).age == 0
    assert at("2024-12-24 19:00", origin=day_before).age == 1


def test_summer_time_moves_the_hour_and_not_the_day():
    friday = np.datetime64("2024-03-08")  # clocks go forward on the 10th
    assert at("2024-03-11 20:59", origin=friday).age == 0
    assert at("2024-03-11 21:00", origin=friday).age == 1


def test_each_symbol_goes_by_its_own_exchange_and_the_worst_is_named():
    found = at("2024-12-27 16:00", symbols=("AAPL", "7203.T"))  # Tokyo traded on the 25th, 26th and 27th
    assert found.behind == {"AAPL": 1, "7203.T": 3}
    assert "1 symbol(s)" in found.stale
    assert "7203.T by 3" in found.stale


def test_what_never_was_cannot_be_stale_and_has_no_age():
    assert (freshness(load_settings({"prices": {"source": "yahoo"}}), {}).age, at("2030-01-02 12:00").stale[:5]) == (
        None, "STALE"
    )  # fmt: skip


def test_the_sample_ends_when_it_ends():
    found = freshness(load_settings({"prices": {"source": "sample"}}), {"^GSPC": np.datetime64("2018-12-31")})
    assert (found.stale, found.until) == (None, None)
