"""The ledger loses nothing it acknowledged, overwrites nothing, and tells what was known when."""

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.errors import DamageError, DataError, LockError, SettingsError, StorageError
from app.prices.database import kept_open, reading
from app.prices.sources import Files
from app.prices.store import Appended, Ledger
from app.prices.tables import APPLICATION, KEYS, TABLES, VERSION, upgrade_from
from app.schema import PRICE_COLUMNS, prices_table
from tests import reference

ROOT = Path(__file__).resolve().parents[2]
KILLS = 20
RUN_CHILD = (sys.executable, "-c")


def rows(closes: dict[str, float], symbol: str = "A", **columns) -> pd.DataFrame:
    """A price table from {"day of January 2024": close}; other columns in the same order."""
    dates = [f"2024-01-{day}" for day in closes]
    return prices_table(pd.DataFrame({"symbol": symbol, "date": dates, "close": closes.values(), **columns}))


def count(ledger: Ledger, table: str) -> int:
    return sqlite3.connect(ledger.path).execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def closes(ledger: Ledger, source: str = "yahoo", as_of=None) -> dict[str, float]:
    table = ledger.prices(source, as_of=as_of)
    return dict(zip(table["date"].dt.strftime("%d"), table["close"], strict=True))


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger(tmp_path / "data" / "ledger.db")


def test_what_is_appended_is_read_back(ledger):
    table = rows(
        {"03": 3.0, "02": 2.0}, open=[1.5, np.nan], high=[9.0, 8.0], low=[0.5, -1.0], volume=[np.nan, np.inf],
        dividend=[0.25, 0.0], split=[1.0, 2.0],
    )  # fmt: skip
    assert ledger.append(table, source="yahoo") == Appended(new=2)
    stored = ledger.prices("yahoo")
    pd.testing.assert_frame_equal(stored, table.sort_values("date", ignore_index=True))
    assert stored.dtypes.equals(table.dtypes)


def test_reading_a_ledger_that_does_not_exist_makes_nothing(ledger):
    empty = ledger.prices("yahoo", symbols=["A"])
    assert tuple(empty.columns) == PRICE_COLUMNS
    assert empty.dtypes.equals(rows({"02": 1.0}).dtypes)
    assert len(empty) == len(ledger.fetches()) == 0
    assert ledger.symbols("yahoo") == ()
    assert ledger.newest("yahoo", "A") is ledger.oldest("yahoo", "A") is None
    ledger.verify()
    assert not ledger.path.parent.exists()


def test_appending_twice_is_appending_once(ledger):
    table = rows({"02": 1.0, "03": 2.0}, volume=[np.nan, 5.0], dividend=[0.0, 0.1])
    ledger.append(table, source="yahoo")
    assert ledger.append(table, source="yahoo") == Appended(unchanged=2)
    assert count(ledger, "bar") == 2
    assert count(ledger, "action") == 1
    assert len(ledger.fetches()) == 2


def test_only_what_is_new_or_differs_is_written(ledger):
    ledger.append(rows({"02": 100.0, "03": 200.0, "04": 300.0}), source="yahoo")
    told = rows({"02": 100.0009, "03": 200.1, "05": 400.0})
    assert ledger.append(told, source="yahoo") == Appended(new=1, revised=1, unchanged=1)
    assert closes(ledger) == {"02": 100.0, "03": 200.1, "04": 300.0, "05": 400.0}
    assert count(ledger, "bar") == 5


@pytest.mark.parametrize("column", ["open", "high", "low", "volume", "dividend", "split"])
def test_a_change_in_any_column_is_a_revision(ledger, column):
    ledger.append(rows({"02": 1.0}, **{column: 7.0}), source="yahoo")
    assert ledger.append(rows({"02": 1.0}, **{column: 8.0}), source="yahoo") == Appended(revised=1)
    assert ledger.prices("yahoo")[column].tolist() == [8.0]


def test_an_action_that_is_taken_back_is_a_revision(ledger):
    ledger.append(rows({"02": 1.0}, dividend=0.5, split=2.0), source="yahoo", fetched_at="2024-01-02T22:00")
    assert ledger.append(rows({"02": 1.0}), source="yahoo", fetched_at="2024-01-03T22:00") == Appended(revised=1)
    assert ledger.prices("yahoo")[["dividend", "split"]].to_numpy().tolist() == [[0.0, 1.0]]
    assert ledger.prices("yahoo", as_of="2024-01-02")[["dividend", "split"]].to_numpy().tolist() == [[0.5, 2.0]]


def test_what_was_known_at_any_moment_is_told_again(ledger):
    for day, close in [("03", 1.0), ("05", 2.0), ("08", 3.0)]:
        ledger.append(rows({"02": close, day: 9.0}), source="yahoo", fetched_at=f"2024-01-{day}T21:30:00-05:00")
    assert closes(ledger) == {"02": 3.0, "03": 9.0, "05": 9.0, "08": 9.0}
    assert closes(ledger, as_of="2024-01-03") == {}  # it was the 4th in UTC
    assert closes(ledger, as_of="2024-01-04") == {"02": 1.0, "03": 9.0}
    assert closes(ledger, as_of="2024-01-06T02:29:59") == {"02": 1.0, "03": 9.0}
    assert closes(ledger, as_of=pd.Timestamp("2024-01-06T02:30", tz="UTC")) == {"02": 2.0, "03": 9.0, "05": 9.0}
    assert closes(ledger, as_of=np.datetime64("2024-01-06")) == {"02": 2.0, "03": 9.0, "05": 9.0}
    with pytest.raises(SettingsError, match="'some day' names no moment"):
        ledger.prices("yahoo", as_of="some day")
    with pytest.raises(SettingsError, match="names no moment"):
        ledger.prices("yahoo", as_of=pd.NaT)


def test_sources_never_mix(ledger):
    ledger.append(rows({"02": 1.0, "03": 1.0}, dividend=[0.0, 0.1]), source="yahoo")
    assert ledger.append(rows({"03": 2.0, "04": 2.0}), source="import") == Appended(new=2)
    ledger.append(rows({"05": 3.0}, symbol="B"), source="import")
    assert closes(ledger, "yahoo") == {"02": 1.0, "03": 1.0}
    assert ledger.prices("import", symbols=["A"])["dividend"].tolist() == [0.0, 0.0]
    assert (ledger.symbols("yahoo"), ledger.symbols("import"), ledger.symbols("sample")) == (("A",), ("A", "B"), ())
    assert ledger.newest("yahoo", "A") == np.datetime64("2024-01-03")
    assert ledger.oldest("import", "A") == np.datetime64("2024-01-03")
    assert ledger.newest("yahoo", "B") is None


def test_reads_what_is_asked_for_and_nothing_else(ledger):
    ledger.append(pd.concat([rows({"02": 1.0, "03": 2.0, "04": 3.0}, s) for s in "CAB"]), source="yahoo")
    table = ledger.prices("yahoo", ["C", "A", "X"], start=np.datetime64("2024-01-03"), stop=np.datetime64("2024-01-03"))
    assert table["symbol"].tolist() == ["A", "C"]
    assert table["close"].tolist() == [2.0, 2.0]


def test_a_gap_does_not_take_a_known_price_away(ledger):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    assert ledger.append(rows({"02": np.nan, "03": np.nan}), source="yahoo") == Appended()
    assert closes(ledger) == {"02": 1.0}


def test_an_action_on_a_day_without_a_price_is_carried_to_the_next_one(ledger):
    told = rows(
        {"02": 8.0, "03": np.nan, "04": np.nan, "05": 1.0, "08": np.nan},
        dividend=[0.0, 0.5, 0.25, 0.0, 9.0], split=[1.0, 2.0, 4.0, 1.0, 7.0],
    )  # fmt: skip
    assert ledger.append(told, source="yahoo", fetched_at="2024-01-08T22:00") == Appended(new=5)
    assert closes(ledger) == {"02": 8.0, "05": 1.0}
    assert ledger.prices("yahoo")[["dividend", "split"]].to_numpy().tolist() == [[0.0, 1.0], [0.75, 8.0]]
    since = ledger.prices("yahoo", start=np.datetime64("2024-01-05"))
    assert since[["dividend", "split"]].to_numpy().tolist() == [[0.75, 8.0]]
    assert ledger.prices("yahoo", stop=np.datetime64("2024-01-04"))["split"].tolist() == [1.0]
    ledger.append(rows({"08": 1.0}, dividend=9.0, split=7.0), source="yahoo", fetched_at="2024-01-09T22:00")
    assert ledger.prices("yahoo")["split"].tolist() == [1.0, 8.0, 7.0]  # its own bar has come: nothing is carried
    assert ledger.prices("yahoo", as_of="2024-01-08")["split"].tolist() == [1.0, 8.0]


def test_a_later_fetch_of_other_days_does_not_erase_an_action_without_a_price(ledger):
    ledger.append(rows({"02": 8.0, "03": np.nan}, split=[1.0, 2.0]), source="yahoo")
    ledger.append(rows({"04": 4.0, "05": 4.5}), source="yahoo")
    assert ledger.prices("yahoo")["split"].tolist() == [1.0, 2.0, 1.0]
    ledger.append(rows({"04": 4.0, "05": 4.6}), source="yahoo")
    assert ledger.prices("yahoo")["split"].tolist() == [1.0, 2.0, 1.0]


def test_an_action_without_a_price_is_taken_back_by_a_fetch_around_its_day_that_lacks_it(ledger):
    """Yahoo listed a split for the 3rd, then for the 4th: it must not count twice."""
    ledger.append(rows({"02": 8.0, "03": np.nan}, split=[1.0, 2.0]), source="yahoo", fetched_at="2024-01-03T22:00")
    ledger.append(rows({"02": 8.0, "04": 4.0}, split=[1.0, 2.0]), source="yahoo", fetched_at="2024-01-04T22:00")
    assert ledger.prices("yahoo")["split"].tolist() == [1.0, 2.0]


def test_an_action_without_a_price_is_stated_again_whatever_comes_between(ledger):
    for day, split in [("08", 2.0), ("10", 2.0), ("09", 3.0)]:  # the fetch of the 9th is stored last
        told = rows({"02": 8.0, "03": np.nan, "04": 4.0}, split=[1.0, split, 1.0])
        ledger.append(told, source="yahoo", fetched_at=f"2024-01-{day}T22:00")
    assert ledger.prices("yahoo")["split"].tolist() == [1.0, 2.0]
    assert ledger.prices("yahoo", as_of="2024-01-09")["split"].tolist() == [1.0, 3.0]


def test_a_gap_keeps_what_is_known_of_its_day(ledger):
    ledger.append(rows({"02": 1.0}, dividend=0.5), source="yahoo")
    assert ledger.append(rows({"02": np.nan}, split=[2.0]), source="yahoo") == Appended(revised=1)
    assert ledger.prices("yahoo")[["close", "dividend", "split"]].to_numpy().tolist() == [[1.0, 0.5, 2.0]]


def test_rows_told_twice_alike_count_once_and_contradictions_are_refused(ledger):
    assert ledger.append(rows({"02": 1.0}).loc[[0, 0]], source="yahoo") == Appended(new=1)
    with pytest.raises(DataError, match=r"1 row\(s\) contradict.*first A 2024-01-03 with close 2"):
        ledger.append(pd.concat([rows({"03": 1.0, "04": 1.0}), rows({"03": 2.0})]), source="yahoo")
    assert closes(ledger) == {"02": 1.0}


def test_a_symbol_that_could_be_a_path_is_refused(ledger):
    with pytest.raises(SettingsError, match="is not allowed"):
        ledger.append(rows({"02": 1.0}, symbol="../../x"), source="yahoo")
    assert not ledger.path.exists()


def test_every_fetch_is_on_record(ledger):
    ledger.append(
        rows({"02": 1.0}), source="yahoo", version="yfinance 1.7.0", fetched_at="2024-01-02T22:00", note="daily"
    )
    ledger.append(rows({}), source="import")
    fetches = ledger.fetches()
    assert fetches[["id", "source", "version", "note", "rows"]].to_numpy().tolist() == [
        [1, "yahoo", "yfinance 1.7.0", "daily", 1], [2, "import", "", "", 0],
    ]  # fmt: skip
    assert fetches["fetched_at"][0] == pd.Timestamp("2024-01-02T22:00Z")
    assert abs(fetches["fetched_at"][1] - pd.Timestamp.now("UTC")) < pd.Timedelta(hours=1)


def test_what_comes_later_counts_as_newer_even_if_the_clock_was_set_back(ledger):
    ledger.append(rows({"02": 1.0}), source="yahoo", fetched_at="2999-01-01")
    ledger.append(rows({"02": 2.0}), source="yahoo")
    assert closes(ledger) == {"02": 2.0}


# --- any order of the same fetches

FETCHES = st.lists(
    st.dictionaries(st.integers(0, 4), st.tuples(st.integers(1, 3), st.integers(0, 1), st.integers(1, 2)), max_size=5),
    min_size=1,
    max_size=5,
)


@settings(max_examples=30, phases=[Phase.explicit, Phase.generate])
@given(fetches=FETCHES, data=st.data())
def test_any_order_of_the_same_fetches_is_the_same_ledger_at_every_moment(tmp_path_factory, fetches, data):
    """Each fetch maps days to (close, dividend, split); fetch number i is from day i of January 2024."""
    ledger = Ledger(tmp_path_factory.mktemp("any") / "ledger.db")
    order = data.draw(
        st.permutations([*range(len(fetches)), *data.draw(st.lists(st.sampled_from(range(len(fetches)))))])
    )
    for number in order:
        told = sorted(fetches[number].items())
        events = {"dividend": [row[1] for _, row in told], "split": [row[2] for _, row in told]}
        table = rows({f"{day + 10}": float(row[0]) for day, row in told}, **events)
        ledger.append(table, source="yahoo", fetched_at=f"2024-01-{number + 1:02d}T12:00")
    for known in range(len(fetches) + 1):
        table = ledger.prices("yahoo", as_of=f"2024-01-{known:02d}" if known else "2023-12-31")
        view = {row.date.day - 10: (row.close, row.dividend, row.split) for row in table.itertuples()}
        assert view == reference.newest_word(fetches[:known])
    ledger.verify()


# --- append only

RUN = "INSERT INTO run VALUES (1, 't', 'p', 'daily', '1')"
ONE_ROW = {
    "quarantine": ["INSERT INTO quarantine VALUES ('A', '2024-01-03', 1, 'r', 'why', 1, 1, 1, 1, 1, 0, 1)"],
    "release": ["INSERT INTO release VALUES ('A', '2024-01-03', 1, 'agreed', 1, '')"],
    "answer": ["INSERT INTO answer VALUES ('yahoo', 'A', 't', 'refused', '')"],
    "run": [RUN],
    "stage": [RUN, "INSERT INTO stage VALUES ('yahoo', '2024-01-02', 'fetch', 1, 't', 'done', '')"],
    "forecast": [
        RUN,
        "INSERT INTO forecast VALUES ('yahoo', 'A', '2024-01-02', 1, 'm', 'v', '2024-01-03', 1, zeroblob(152), 't', 1)",
    ],
    "actual": ["INSERT INTO actual VALUES ('yahoo', 'A', '2024-01-02', 1, 't', 0.1)"],
    "champion": ["INSERT INTO champion VALUES (1, 't', 'yahoo', 'v', NULL, 'first', NULL, '')"],
}
"""What puts a row into each table that an append leaves empty."""


def content(path: Path, table: str) -> list[tuple]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table}").fetchall()


@pytest.mark.parametrize("table", KEYS)
@pytest.mark.parametrize(
    "change", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "INSERT OR REPLACE INTO {0} SELECT * FROM {0}"]
)
def test_whoever_tries_to_overwrite_is_refused(ledger, table, change):
    ledger.append(rows({"02": 1.0}, dividend=0.5), source="yahoo")
    with sqlite3.connect(ledger.path) as connection:
        for statement in ONE_ROW.get(table, ()):
            connection.execute(statement)
    before = content(ledger.path, table)
    assert len(before)
    with sqlite3.connect(ledger.path) as connection, pytest.raises(sqlite3.IntegrityError, match="only appends"):
        connection.execute(change.format(table, KEYS[table][0]))
    assert content(ledger.path, table) == before


def test_a_fetch_is_stored_whole_or_not_at_all(ledger, monkeypatch):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    monkeypatch.setattr("app.prices.revisions._bits", lambda dates: None)  # the last step of a symbol fails
    with pytest.raises(sqlite3.IntegrityError):
        ledger.append(rows({"03": 1.0}), source="yahoo")
    assert closes(ledger) == {"02": 1.0}
    assert len(ledger.fetches()) == 1


def test_it_is_synced_to_disk_and_logged_ahead(ledger):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    assert sqlite3.connect(ledger.path).execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert sqlite3.connect(ledger.path).execute("PRAGMA application_id").fetchone() == (APPLICATION,)
    source = (ROOT / "app" / "prices" / "database.py").read_text(encoding="utf-8")
    assert "synchronous = FULL" in source


# --- an older file


@pytest.fixture
def old_ledger(tmp_path) -> Ledger:
    """A file as version 1 of the application wrote it: two fetches, one that revises."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((Path(__file__).parent / "ledger_version_1.sql").read_text(encoding="utf-8"))
    return Ledger(path)


OLD_TABLES = ("fetch", "bar", "action", "coverage")


def test_an_older_ledger_keeps_every_row_and_gains_the_new_tables(old_ledger):
    before = {table: content(old_ledger.path, table) for table in OLD_TABLES}
    told = old_ledger.prices("yahoo")
    assert told["close"].tolist() == [1.0, 2.5, 3.0]
    assert old_ledger.append(rows({"05": 4.0}), source="yahoo") == Appended(new=1)
    for table, then in before.items():
        assert content(old_ledger.path, table)[: len(then)] == then
    assert sqlite3.connect(old_ledger.path).execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert {table.name for table in TABLES} == {
        name
        for (name,) in sqlite3.connect(old_ledger.path).execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    }
    old_ledger.verify()
    pd.testing.assert_frame_equal(old_ledger.prices("yahoo").iloc[:3], told)


def test_an_older_ledger_is_read_without_a_change_and_its_new_tables_are_empty(old_ledger):
    before = old_ledger.path.read_bytes()
    old_ledger.verify()
    with reading(old_ledger.path, 1.0) as connection:
        for table in TABLES:
            (count,) = connection.execute(f"SELECT count(*) FROM {table.name}").fetchone()
            assert (count > 0) == (table.name in OLD_TABLES)
    assert old_ledger.path.read_bytes() == before


def test_an_upgrade_that_fails_changes_nothing(old_ledger, monkeypatch):
    monkeypatch.setattr("app.prices.database.upgrade_from", lambda version: [*upgrade_from(version), "not SQL"])
    with pytest.raises(sqlite3.OperationalError):
        old_ledger.append(rows({"05": 4.0}), source="yahoo")
    with closing(sqlite3.connect(old_ledger.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert not connection.execute("SELECT name FROM sqlite_schema WHERE name = 'champion'").fetchall()
    monkeypatch.undo()
    assert old_ledger.append(rows({"05": 4.0}), source="yahoo") == Appended(new=1)


# --- damage, locks, disks


def test_a_newer_ledger_is_refused_unread(ledger):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("PRAGMA user_version = 99")
    for act in (
        lambda: ledger.prices("yahoo"),
        lambda: ledger.append(rows({"02": 1.0}), source="yahoo"),
        ledger.verify,
    ):
        with pytest.raises(DamageError, match="version 99, this application knows up to 2") as refusal:
            act()
        assert refusal.value.exit_code == 8


def test_a_file_that_is_not_ours_is_refused_and_left_alone(ledger):
    ledger.path.parent.mkdir()
    with sqlite3.connect(ledger.path) as connection:
        connection.execute("CREATE TABLE mine (x)")
    before = ledger.path.read_bytes()
    for act in (lambda: ledger.prices("yahoo"), lambda: ledger.append(rows({"02": 1.0}), source="yahoo")):
        with pytest.raises(DamageError, match="not a ledger of this application"):
            act()
    assert ledger.path.read_bytes() == before
    ledger.path.write_bytes(b"Date,Close\n" * 1000)
    with pytest.raises(DamageError, match="damaged"):
        ledger.prices("yahoo")


def test_an_empty_file_is_a_ledger_that_was_not_begun(ledger):
    ledger.path.parent.mkdir()
    ledger.path.touch()
    assert len(ledger.prices("yahoo")) == 0
    ledger.append(rows({"02": 1.0}), source="yahoo")
    assert closes(ledger) == {"02": 1.0}


def test_a_ledger_kept_open_keeps_its_log_until_the_end_and_all_that_is_stored_is_read(ledger):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    log = ledger.path.with_name(f"{ledger.path.name}-wal")
    assert not log.exists()
    with kept_open(ledger.path):
        ledger.append(rows({"03": 2.0}), source="yahoo")
        assert log.exists()
        assert closes(ledger) == {"02": 1.0, "03": 2.0}
    assert not log.exists()
    assert closes(ledger) == {"02": 1.0, "03": 2.0}


def test_kept_open_makes_no_file_and_leaves_what_is_wrong_with_one_to_its_readers(ledger):
    with kept_open(ledger.path):
        assert not ledger.path.exists()
    ledger.path.parent.mkdir()
    ledger.path.write_bytes(b"Date,Close\n" * 1000)
    with kept_open(ledger.path), pytest.raises(DamageError, match="damaged"):
        ledger.prices("yahoo")


def test_verify_finds_a_page_that_was_changed(ledger):
    days = pd.bdate_range("2000-01-01", periods=3000)
    ledger.append(prices_table(pd.DataFrame({"symbol": "A", "date": days, "close": 1.0})), source="yahoo")
    ledger.verify()
    content = bytearray(ledger.path.read_bytes())
    content[40 * 1024 : 60 * 1024] = os.urandom(20 * 1024)
    ledger.path.write_bytes(content)
    with pytest.raises(DamageError, match="damaged"):
        ledger.verify()


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        ("DROP TRIGGER bar_no_delete", "bar_no_delete was removed"),
        ("INSERT INTO action VALUES ('A', '2024-01-02', 'split', 99, 2)", "no fetch"),
    ],
)
def test_verify_finds_what_was_done_behind_its_back(ledger, tamper, words):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    with sqlite3.connect(ledger.path) as connection:
        connection.execute(tamper)
    with pytest.raises(DamageError, match=words):
        ledger.verify()


def test_another_writer_is_waited_for_then_named(ledger):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    other = sqlite3.connect(ledger.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    hasty = Ledger(ledger.path, wait_s=0.05)
    with pytest.raises(LockError, match=r"locked for 0\.05 s"):
        hasty.append(rows({"03": 1.0}), source="yahoo")
    assert closes(hasty) == {"02": 1.0}  # readers never wait
    other.execute("ROLLBACK")
    assert hasty.append(rows({"03": 1.0}), source="yahoo") == Appended(new=1)


def test_an_unwritable_place_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        Ledger(tmp_path / "file" / "ledger.db").append(rows({"02": 1.0}), source="yahoo")
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        Ledger(tmp_path / "folder.db").append(rows({"02": 1.0}), source="yahoo")


def test_a_full_disk_is_named_and_changes_nothing(ledger):
    ledger.append(rows({"02": 1.0}), source="yahoo")
    days = pd.bdate_range("1990-01-01", periods=9000)
    table = prices_table(pd.DataFrame({"symbol": "B", "date": days, "close": 1.0}))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(StorageError, match=r"ledger\.db: ") as refusal:
            ledger.append(table, source="yahoo")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert refusal.value.exit_code == 9
    assert ledger.prices("yahoo")["symbol"].tolist() == ["A"]
    ledger.verify()
    assert ledger.append(table, source="yahoo") == Appended(new=9000)


def test_a_full_database_counts_as_a_full_disk(ledger, monkeypatch):
    ledger.append(rows({"02": 1.0}), source="yahoo")

    def full(*_):
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("app.prices.store.append", full)
    with pytest.raises(StorageError, match="the disk is full"):
        ledger.append(rows({"03": 1.0}), source="yahoo")


# --- kill -9

CHILD = """
import sys
import pandas as pd
from app.prices.store import Ledger
from app.schema import prices_table
ledger, start = Ledger(sys.argv[1]), int(sys.argv[2])
for number in range(start, start + 100_000):
    day = pd.Timestamp("1990-01-01") + pd.Timedelta(days=number)
    table = pd.DataFrame({"symbol": ["A", "B"], "date": day, "close": float(number + 1), "dividend": [0.5, 0.0]})
    ledger.append(prices_table(table), source="yahoo")
    print(number, flush=True)
"""


def test_every_acknowledged_row_survives_kill_9(ledger):
    """Killed 20 times between the start of the process and its hundredth append."""
    chance, acknowledged, start = random.Random(7), set(), 0
    for _ in range(KILLS):
        child = subprocess.Popen([*RUN_CHILD, CHILD, str(ledger.path), str(start)], stdout=subprocess.PIPE, cwd=ROOT)
        for _ in range(chance.randrange(1, 12)):
            acknowledged.add(int(child.stdout.readline()))
        time.sleep(chance.random() * 0.05)
        os.kill(child.pid, signal.SIGKILL)
        acknowledged |= {int(line) for line in child.stdout.read().split()}
        child.wait()
        child.stdout.close()
        ledger.verify()
        stored = ledger.prices("yahoo")
        by_symbol = {symbol: set(part["close"].astype(int) - 1) for symbol, part in stored.groupby("symbol")}
        assert by_symbol["A"] == by_symbol["B"]  # a fetch is there whole or not at all
        assert by_symbol["A"] >= acknowledged
        assert (stored["dividend"] == np.where(stored["symbol"] == "A", 0.5, 0.0)).all()
        start = max(acknowledged) + 1
    assert len(acknowledged) >= KILLS


# --- real prices


def test_two_hundred_real_stocks_come_back_as_they_went_in(price_data, ledger):
    table = Files(price_data / "us_daily.parquet").table(start=np.datetime64("2016-01-01"))
    assert ledger.append(table, source="import") == Appended(new=len(table))
    stored = ledger.prices("import")
    pd.testing.assert_frame_equal(stored, table.sort_values(["symbol", "date"], ignore_index=True))
    assert len(ledger.symbols("import")) == 200
