import numpy as np
import pandas as pd
import pytest

from app.errors import SettingsError
from app.prices.calendar import (
    DEFAULT,
    EXCHANGES,
    calendar_for,
    days_to_next,
    last_closed_session,
    sessions,
    sessions_after,
)
from app.prices.sources import Sample


def day(text):
    return np.datetime64(text, "D")


def test_new_york_1999_to_2018_is_exactly_the_dates_that_have_prices():
    dates = Sample().history("^GSPC")["date"].to_numpy().astype("datetime64[D]")
    assert len(dates) == 5031
    assert sessions("XNYS", dates[0], dates[-1]).tolist() == dates.tolist()


def test_both_ends_are_included_and_holidays_are_not():
    assert sessions("XNYS", day("2024-07-03"), day("2024-07-05")).astype(str).tolist() == ["2024-07-03", "2024-07-05"]


def test_a_span_without_a_session_is_empty():
    assert len(sessions("XNYS", day("2024-07-06"), day("2024-07-07"))) == 0
    assert len(sessions("XNYS", day("2024-07-05"), day("2024-07-01"))) == 0


@pytest.mark.parametrize("early", ["2024-07-03", "2024-11-29", "2024-12-24"])
def test_a_day_that_closes_early_is_a_session(early):
    assert day(early) in sessions("XNYS", day("2024-01-01"), day("2024-12-31"))


def test_the_surprise_closure_of_9_january_2025_is_known():
    assert day("2025-01-09") not in sessions("XNYS", day("2025-01-01"), day("2025-01-31"))


@pytest.mark.parametrize("calendar", sorted({DEFAULT, "24/5", "24/7", *EXCHANGES.values()} - {"XKRX"}))
def test_every_calendar_of_the_table_has_the_next_thirty_sessions(calendar):
    today = np.datetime64("today", "D")
    ahead = sessions_after(calendar, today, 30)
    assert len(ahead) == 30
    assert ahead[0] > today
    assert (np.diff(ahead) > np.timedelta64(0)).all()


@pytest.mark.parametrize("calendar", ["XSHG", "XBOM", "XSES"])
def test_beyond_the_holidays_on_record_every_weekday_is_a_session(calendar):
    far = sessions(calendar, day("2055-03-01"), day("2055-03-31"))
    assert len(far) == 23
    assert np.is_busday(far).all()


@pytest.mark.parametrize(
    ("calendar", "start"), [("XSHG", "1985-06-03"), ("XTKS", "1989-06-05"), ("XBOM", "1993-06-07")]
)
def test_before_the_holidays_on_record_every_weekday_is_a_session(calendar, start):
    assert len(sessions(calendar, day(start), day(start) + 6)) == 5
    assert len(sessions(calendar, day(start), day("2005-12-31"))) > 2000


def test_sessions_after_do_not_include_the_day_itself():
    assert sessions_after("XNYS", day("2024-07-03"), 2).astype(str).tolist() == ["2024-07-05", "2024-07-08"]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2024-05-31 16:59-04:00", "2024-05-30"),
        ("2024-05-31 17:00-04:00", "2024-05-31"),
        ("2024-06-02 12:00-04:00", "2024-05-31"),
        ("2024-07-03 13:59-04:00", "2024-07-02"),
        ("2024-07-03 14:00-04:00", "2024-07-03"),
        ("2024-03-11 16:59-04:00", "2024-03-08"),
        ("2024-06-01 06:00+09:00", "2024-05-31"),
    ],
    ids=["an hour is not over", "it is over", "weekend", "early close, not over", "early close", "after DST", "Tokyo"],
)
def test_a_session_is_closed_an_hour_after_its_close(now, expected):
    assert last_closed_session("XNYS", pd.Timestamp(now)) == day(expected)


def test_beyond_the_record_the_last_known_time_of_close_counts():
    assert last_closed_session("XSHG", pd.Timestamp("2029-03-06 07:59Z")) == day("2029-03-05")
    assert last_closed_session("XSHG", pd.Timestamp("2029-03-06 08:00Z")) == day("2029-03-06")


def test_an_instant_without_a_time_zone_is_refused():
    with pytest.raises(SettingsError, match="no time zone"):
        last_closed_session("XNYS", pd.Timestamp("2024-05-31 18:00"))


@pytest.mark.parametrize(
    ("symbol", "calendar"),
    [("AAPL", "XNYS"), ("BRK-B", "XNYS"), ("^GSPC", "XNYS"), ("VOD.L", "XLON"), ("0700.HK", "XHKG"),
     ("EURUSD=X", "24/5"), ("BTC-USD", "24/7"), ("ES=F", "XNYS"), ("SAP.F", "XFRA")],
)  # fmt: skip
def test_the_suffix_tells_the_exchange(symbol, calendar):
    assert calendar_for(symbol) == calendar


def test_the_calendar_asked_for_always_wins():
    assert calendar_for("VOD.L", name="XNYS") == "XNYS"


def test_a_calendar_that_does_not_fit_gives_way_to_weekdays_or_every_day():
    every_day = np.arange(day("2024-01-01"), day("2024-12-31"))
    assert calendar_for("AAPL", sessions("XNYS", day("2024-01-01"), day("2024-12-31"))) == "XNYS"
    assert calendar_for("AAPL", every_day[np.is_busday(every_day)]) == "24/5"
    assert calendar_for("AAPL", every_day) == "24/7"


def test_unknown_and_unusable_calendars_are_refused_in_one_line():
    with pytest.raises(SettingsError, match=r"prices\.calendar must be .*'XNYS'.* got 'NOPE'") as refused:
        sessions("NOPE", day("2024-01-01"), day("2024-01-31"))
    assert "\n" not in str(refused.value)


def test_answers_cannot_be_changed_by_who_asked():
    days = sessions("XNYS", day("2024-01-01"), day("2024-01-31"))
    with pytest.raises(ValueError, match="read-only"):
        days[0] = day("2000-01-01")


def test_without_a_session_there_is_no_next_one():
    assert days_to_next("XNYS", np.array([], "datetime64[D]")).shape == (0,)


@pytest.mark.parametrize(
    ("calendar", "day", "known"),
    [
        ("XNYS", "2001-09-10", 1),  # the next session was the 17th
        ("XNYS", "2012-10-26", 3),  # Sandy was expected, and the exchange to open on the Monday
        ("XNYS", "2012-10-31", 1),
        ("XNYS", "2018-12-04", 2),  # the day of mourning for a president was announced
        ("XNYS", "2023-12-29", 4),
        ("XTAI", "2024-10-01", 1),  # typhoon Krathon
        ("24/7", "2012-10-26", 1),
    ],
)
def test_the_days_to_the_next_session_are_those_that_were_known(calendar, day, known):
    first = np.datetime64(day)
    days = sessions(calendar, first - 10, first)
    assert days_to_next(calendar, days)[-1] == known
    later = sessions(calendar, first - 10, first + 60)
    np.testing.assert_array_equal(days_to_next(calendar, later)[: len(days)], days_to_next(calendar, days))
