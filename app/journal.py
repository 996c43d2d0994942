"""The journal: what the daily run did for each session, what was forecast, what came true, who is champion.

It lives in the ledger's file, so that one backup holds everything, and like the ledger it only grows.
Each method is one transaction: after it returns, a kill or a power cut changes nothing.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from app import queries
from app.evaluation.drift import Record
from app.evaluation.verdict import RANDOM_WALK
from app.prices.database import Connection, reading, writing
from app.schema import FORECAST_COLUMNS, QUANTILES, check_forecasts

WAIT_S = 30.0

DONE, SKIPPED = "done", "skipped"
"""The outcomes that settle a stage of a session; every other one is tried again."""

SESSION = "session"
"""The stage that stands for a session as a whole: each session that was due ends as DONE or SKIPPED."""

UNKNOWN = np.full(len(QUANTILES), np.nan).astype("<f8").tobytes()
"""The quantiles of a forecast that nobody made."""

TOLERANCE = 1e-5
"""An actual that moved by less, as a log return, is the one that is known already."""


@dataclass(frozen=True)
class Note:
    """What became of one stage of a session, in the words of the run that noted it."""

    session: str
    stage: str
    run: int
    at: str
    outcome: str
    detail: str


@dataclass(frozen=True)
class Champion:
    """One row of the champion table: who came into service, after whom, when and why.

    p_value: of the test that promoted it; None where a person decided. detail: what else is worth keeping.
    """

    id: int
    at: str
    source: str
    version: str
    previous: str | None
    reason: str
    p_value: float | None
    detail: str


@dataclass(frozen=True)
class Journal:
    """What is kept about one source of prices.

    Args:
        path: the ledger's file; the first note makes it, reading never does.
        source: "sample", "yahoo", "import".
        wait_s: how long to wait for another writer, in seconds.
    """

    path: Path
    source: str
    wait_s: float = WAIT_S

    def begin(self, process: str, command: str, version: str, now: dt.datetime | None = None) -> int:
        """Number a new run; `process` says where it runs, `version` what it runs."""
        with writing(self.path, self.wait_s) as connection:
            (run,) = connection.execute(
                "INSERT INTO run (started_at, process, command, version) VALUES (?, ?, ?, ?) RETURNING id",
                (_written(now), process, command, version),
            ).fetchone()
        return run

    def note(self, run: int, session: str, stage: str, outcome: str, detail: str = "") -> None:
        """Write down what became of a stage of a session."""
        self.note_all(run, {session: (outcome, detail)}, stage)

    def note_all(self, run: int, outcomes: Mapping[str, tuple[str, str]], stage: str = SESSION) -> None:
        """Write down one stage of many sessions, session → (outcome, detail), at once or not at all."""
        newest = "SELECT max(at) FROM stage WHERE source = ? AND session = ? AND stage = ? AND run_id = ?"
        with writing(self.path, self.wait_s) as connection:
            for session, (outcome, detail) in outcomes.items():
                key = (self.source, session, stage, run)
                at = _after(connection.execute(newest, key).fetchone()[0])
                connection.execute("INSERT INTO stage VALUES (?, ?, ?, ?, ?, ?, ?)", (*key, at, outcome, detail))

    def notes(self, session: str | None = None, stage: str | None = None) -> list[Note]:
        """Everything noted of a session or of a stage, or of both, in the order it was noted."""
        asked = {"session": session, "stage": stage}
        where = "".join(f" AND {name} = ?" for name, value in asked.items() if value is not None)
        values = [value for value in asked.values() if value is not None]
        query = (
            f"SELECT session, stage, run_id, at, outcome, detail FROM stage WHERE source = ?{where} ORDER BY run_id, at"
        )
        return [Note(*row) for row in self._rows(query, (self.source, *values))]

    def last_note(self) -> Note | None:
        """The newest note of the newest run, or None before the first."""
        query = (
            "SELECT session, stage, run_id, at, outcome, detail FROM stage WHERE source = ? "
            "ORDER BY run_id DESC, at DESC LIMIT 1"
        )
        found = self._rows(query, (self.source,))
        return Note(*found[0]) if found else None

    def settled(self, stage: str = SESSION) -> dict[str, Note]:
        """Session → the note that settled the stage, for every session where one did, in order of sessions."""
        found = {note.session: note for note in self.notes(stage=stage) if note.outcome in (DONE, SKIPPED)}
        return dict(sorted(found.items()))

    def publish(
        self, run: int, forecasts: pd.DataFrame, versions: Mapping[str, str], now: dt.datetime | None = None
    ) -> int:
        """Put forecasts on record; what was forecast before for the same key stands.

        Args:
            forecasts: a forecasts table; `actual` is not read.
            versions: model → which version of it made them.
            now: the moment; the clock by default.

        Returns:
            How many rows were new.

        Raises:
            DataError: it is not a forecasts table.
        """
        rows = check_forecasts(forecasts)
        quantiles = rows[list(QUANTILES)].to_numpy().astype("<f8")
        days = {name: rows[name].dt.strftime("%Y-%m-%d").tolist() for name in ("origin", "date")}
        at, added = _written(now), 0
        with writing(self.path, self.wait_s) as connection:
            for number, row in enumerate(rows[["symbol", "horizon", "model", "origin_close"]].itertuples(index=False)):
                key = (self.source, row.symbol, days["origin"][number], int(row.horizon), row.model)
                told = (
                    versions[row.model],
                    days["date"][number],
                    row.origin_close,
                    quantiles[number].tobytes(),
                    at,
                    run,
                )
                added += connection.execute(queries.PUBLISH, (*key, *told)).rowcount
        return added

    def forecasts(self, since: str = "", until: str = "9999") -> pd.DataFrame:
        """Published forecasts with the newest actual of each, and beside the table's columns version, published_at.

        Args:
            since: first origin wanted, ISO date. until: last origin wanted.
        """
        rows = self._rows(queries.FORECASTS, (self.source, since, until))
        *told, said = zip(*rows, strict=True) if rows else [()] * (len(queries.TOLD) + 1)
        columns = {name: np.array(part, kind) for (name, kind), part in zip(queries.TOLD.items(), told, strict=True)}
        table = pd.DataFrame(columns | dict(zip(QUANTILES, _quantiles(said).T, strict=True)))
        return table.astype({"model": "str", "symbol": "str"})[[*FORECAST_COLUMNS, "version", "published_at"]]

    def record(self, model: str, since: str = "") -> Record:
        """What a model said, on the day of the target at the latest, beside the random walk and what came true.

        Args:
            model: its name. since: first origin wanted, ISO date.
        """
        rows = self._rows(queries.RECORD, (self.source, RANDOM_WALK, model, since))
        known = [row for row in rows if row[2] is not None]
        origin, horizon, actual, said, naive = zip(*known, strict=True) if known else [()] * 5
        return Record(
            model=model,
            origin=np.array(origin, "datetime64[D]"),
            horizon=np.array(horizon, "int64"),
            actual=np.array(actual, "float64"),
            quantiles=_quantiles(said),
            naive=_quantiles([one or UNKNOWN for one in naive]),
        )

    def awaited(self, since: str, settled_before: str) -> pd.DataFrame:
        """What was forecast and may have come true: symbol, origin and horizon, each once.

        Args:
            since: first origin wanted, ISO date. settled_before: origins from this one on are wanted also where
                their actual is known, because it may be revised.
        """
        rows = self._rows(queries.AWAITED, (self.source, since, settled_before))
        table = pd.DataFrame(rows, columns=["symbol", "origin", "horizon"])
        return table.astype({"symbol": "str", "origin": "datetime64[ns]", "horizon": "int64"})

    def origins(self, newest: int) -> list[str]:
        """The newest origins that anything was forecast from, as ISO dates, oldest first."""
        query = "SELECT DISTINCT origin FROM forecast WHERE source = ? ORDER BY origin DESC LIMIT ?"
        return [origin for (origin,) in reversed(self._rows(query, (self.source, newest)))]

    def newest_origins(self) -> dict[str, str]:
        """Symbol → the newest origin forecast, as ISO date."""
        return dict(self._rows(queries.NEWEST_ORIGINS, (self.source,)))

    def fill_in(self, actuals: pd.DataFrame) -> int:
        """Put on record what came true: columns symbol, origin, horizon, actual; an actual that moved is added.

        Returns:
            How many were not known, or known otherwise.
        """
        rows, added = actuals[actuals["actual"].notna()], 0
        days = rows["origin"].dt.strftime("%Y-%m-%d")
        with writing(self.path, self.wait_s) as connection:
            for symbol, day, horizon, actual in zip(rows["symbol"], days, rows["horizon"], rows["actual"], strict=True):
                key = (self.source, symbol, day, horizon)
                known = connection.execute(queries.ACTUAL, key).fetchone()
                if known is not None and abs(known[1] - actual) <= TOLERANCE:
                    continue
                at = _after(known[0] if known else None)
                connection.execute("INSERT INTO actual VALUES (?, ?, ?, ?, ?, ?)", (*key, at, actual))
                added += 1
        return added

    def champions(self) -> list[Champion]:
        """The champions of the source in the order they came into service; the last is in service."""
        query = f"SELECT {queries.CHAMPION} FROM champion WHERE source = ? ORDER BY id"
        return [Champion(*row) for row in self._rows(query, (self.source,))]

    def champion(self) -> Champion | None:
        """The one in service, or None before the first."""
        found = self.champions()
        return found[-1] if found else None

    def crown(self, version: str, reason: str, p_value: float | None = None, detail: str = "") -> Champion:
        """Move the pointer to a version: one row, in one transaction, and the row.

        The reason of a rollback begins with `app.registry.succession.ROLLBACK`.
        """
        with writing(self.path, self.wait_s) as connection:
            return self._crowned(connection, version, reason, p_value, detail)

    def succeed(
        self, champion: Champion | None, version: str, reason: str, p_value: float | None, detail: str
    ) -> Champion | None:
        """The same if the pointer still stands where `champion` put it (None: nowhere); else nothing, and None."""
        with writing(self.path, self.wait_s) as connection:
            newest = connection.execute("SELECT max(id) FROM champion WHERE source = ?", (self.source,)).fetchone()[0]
            if newest != (champion and champion.id):
                return None
            return self._crowned(connection, version, reason, p_value, detail)

    def _crowned(
        self, connection: Connection, version: str, reason: str, p_value: float | None, detail: str
    ) -> Champion:
        before = connection.execute(
            "SELECT version FROM champion WHERE source = ? ORDER BY id DESC LIMIT 1", (self.source,)
        ).fetchone()
        row = connection.execute(
            "INSERT INTO champion (at, source, version, previous, reason, p_value, detail) "
            f"VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING {queries.CHAMPION}",
            (_written(None), self.source, version, before and before[0], reason, p_value, detail),
        ).fetchone()
        return Champion(*row)

    def _rows(self, query: str, values: tuple) -> list[tuple]:
        with reading(self.path, self.wait_s) as connection:
            return [] if connection is None else _fetched(connection, query, values)


def _fetched(connection: Connection, query: str, values: tuple) -> list[tuple]:
    return connection.execute(query, values).fetchall()


def _quantiles(stored: Sequence[bytes]) -> np.ndarray:
    """(rows, levels) as the ledger keeps them."""
    return np.frombuffer(b"".join(stored), "<f8").reshape(len(stored), len(QUANTILES))


def _written(moment: dt.datetime | None) -> str:
    """UTC as the ledger writes it; None is now."""
    utc = (moment or dt.datetime.now(dt.UTC)).astimezone(dt.UTC)
    return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _after(newest: str | None) -> str:
    """Now, or just after `newest` when the clock stands before it: what is written later always counts as newer."""
    now = _written(None)
    if newest is None or newest < now:
        return now
    return _written(dt.datetime.fromisoformat(newest) + dt.timedelta(microseconds=1))
