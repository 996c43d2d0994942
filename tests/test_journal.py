"""The journal: forecasts stand, actuals may be corrected, the champion is the last one named, sessions end once."""

import datetime as dt
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError
from app.journal import DONE, SKIPPED, Journal
from app.schema import FORECAST_COLUMNS, LEVELS, QUANTILES

ORIGINS = ("2024-03-04", "2024-03-05")


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "ledger.sqlite", "yahoo")


def table(model="lstm", symbol="AAPL", shift=0.0):
    """One forecast for each origin, horizon 1; its quantiles are its levels over 100, plus a shift."""
    rows = [
        {"model": model, "symbol": symbol, "origin": day, "horizon": 1, "origin_close": 100.0,
         "date": pd.Timestamp(day) + pd.Timedelta(days=1), "actual": np.nan,
         **dict(zip(QUANTILES, np.array(LEVELS) / 100 + shift, strict=True))}
        for day in ORIGINS
    ]  # fmt: skip
    dates = dict.fromkeys(("origin", "date"), "datetime64[ns]")
    return pd.DataFrame(rows)[list(FORECAST_COLUMNS)].astype({**dates, "model": "str", "symbol": "str"})


def test_reading_makes_no_file(journal):
    assert journal.notes() == []
    assert journal.champion() is None
    assert len(journal.forecasts()) == 0
    assert not journal.path.exists()


def test_a_file_whose_maker_was_killed_is_read_as_empty(journal):
    """Its half transaction is in a hot journal, which a read-only connection may not roll back."""
    code = (
        "import os, sqlite3, sys\n"
        "maker = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "maker.execute('PRAGMA cache_size = 1')\n"
        "maker.execute('BEGIN'); maker.execute('CREATE TABLE half (x)')\n"
        "maker.executemany('INSERT INTO half VALUES (?)', [(b'x' * 4000,)] * 200)\n"
        "os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(journal.path)]).returncode == 9
    assert journal.path.with_name(f"{journal.path.name}-journal").stat().st_size > 0
    assert journal.notes() == []
    assert journal.begin("here", "daily", "1") == 1


def test_a_forecast_is_read_as_it_was_published_bit_for_bit(journal):
    run = journal.begin("here", "daily", "1")
    assert journal.publish(run, table(shift=1 / 3), {"lstm": "v1"}) == 2
    read = journal.forecasts()
    pd.testing.assert_frame_equal(read[list(FORECAST_COLUMNS)], table(shift=1 / 3), check_exact=True)
    assert set(read["version"]) == {"v1"}


def test_a_published_forecast_stands_whatever_is_published_after_it(journal):
    run = journal.begin("here", "daily", "1")
    journal.publish(run, table(), {"lstm": "v1"})
    assert journal.publish(run, table(shift=9.0), {"lstm": "v2"}) == 0
    assert journal.publish(run, table(model="ewma", shift=9.0), {"ewma": "v3"}) == 2
    read = journal.forecasts().set_index("model")
    assert set(read.loc["lstm", "q0.50"]) == {0.005}
    assert set(read.loc["lstm", "version"]) == {"v1"}


def test_forecasts_are_found_by_origin(journal):
    journal.publish(journal.begin("here", "daily", "1"), table(), {"lstm": "v1"})
    assert journal.forecasts(since=ORIGINS[1])["origin"].dt.strftime("%Y-%m-%d").tolist() == [ORIGINS[1]]
    assert journal.forecasts(until=ORIGINS[0])["origin"].dt.strftime("%Y-%m-%d").tolist() == [ORIGINS[0]]
    assert journal.newest_origins() == {"AAPL": ORIGINS[1]}


def test_what_is_no_forecast_is_refused_whole(journal):
    run = journal.begin("here", "daily", "1")
    broken = table()
    broken.loc[1, "q0.50"] = np.nan
    with pytest.raises(DataError, match="not finite"):
        journal.publish(run, broken, {"lstm": "v1"})
    assert len(journal.forecasts()) == 0


def test_the_newest_actual_counts_and_noise_is_no_news(journal):
    journal.publish(journal.begin("here", "daily", "1"), table(), {"lstm": "v1"})
    known = table()[["symbol", "origin", "horizon"]].assign(actual=[0.01, np.nan])
    assert journal.fill_in(known) == 1
    assert journal.fill_in(known.assign(actual=[0.01 + 1e-7, np.nan])) == 0
    assert journal.fill_in(known.assign(actual=[0.03, 0.02])) == 2
    assert journal.forecasts()["actual"].tolist() == [0.03, 0.02]


def test_sources_do_not_mix(journal):
    other = Journal(journal.path, "sample")
    run = journal.begin("here", "daily", "1")
    journal.publish(run, table(), {"lstm": "v1"})
    journal.note(run, "2024-03-04", "session", DONE)
    journal.crown("v1", "the first")
    assert (other.champion(), other.notes(), other.newest_origins(), other.last_note()) == (None, [], {}, None)


def test_a_stage_is_settled_by_done_or_skipped_only(journal):
    run = journal.begin("here", "daily", "1")
    journal.note(run, "2024-03-04", "session", "failed", "no answer")
    assert journal.settled() == {}
    journal.note_all(run, {"2024-03-05": (DONE, ""), "2024-03-04": (SKIPPED, "no answer")})
    assert {day: note.outcome for day, note in journal.settled().items()} == {"2024-03-04": SKIPPED, "2024-03-05": DONE}
    assert [note.outcome for note in journal.notes("2024-03-04")] == ["failed", SKIPPED]


def _fixed(moment):
    """A clock that stands still."""
    return (moment or dt.datetime(2024, 1, 1)).isoformat(timespec="microseconds")[:26] + "Z"


def test_notes_of_one_moment_keep_their_order(journal, monkeypatch):
    monkeypatch.setattr("app.journal._written", _fixed)
    run = journal.begin("here", "daily", "1")
    for outcome in ("failed", "partial", DONE):
        journal.note(run, "2024-03-04", "fetch", outcome)
    assert [note.outcome for note in journal.notes()] == ["failed", "partial", DONE]


def test_the_champion_is_the_last_one_named_and_knows_who_was_before(journal):
    journal.crown("v1", "the first")
    journal.crown("v2", "better", p_value=0.01)
    found = journal.crown("v1", "rollback: asked for")
    assert journal.champion() == found
    assert [(row.version, row.previous, row.p_value) for row in journal.champions()] == [
        ("v1", None, None), ("v2", "v1", 0.01), ("v1", "v2", None)
    ]  # fmt: skip


def test_the_pointer_moves_for_a_successor_only_from_where_it_was_judged(journal):
    assert journal.succeed(None, "v1", "the first", None, "").version == "v1"
    judged = journal.champion()
    journal.crown("v0", "forced: by hand, while v2 was trained")
    assert journal.succeed(judged, "v2", "better than v1", 0.01, "") is None
    assert journal.succeed(None, "v2", "the first", None, "") is None
    assert [row.version for row in journal.champions()] == ["v1", "v0"]
    assert journal.succeed(journal.champion(), "v2", "better than v0", 0.01, "").previous == "v0"


def test_the_last_note_is_that_of_the_newest_run(journal):
    first, second = (journal.begin("here", "daily", "1") for _ in range(2))
    journal.note(second, "2024-03-05", "fetch", DONE)
    journal.note(first, "2024-03-04", "session", DONE)
    assert (journal.last_note().run, journal.last_note().stage) == (second, "fetch")
