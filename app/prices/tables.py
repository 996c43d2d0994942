"""The tables of the ledger: what each holds, by what it is known, and since which version of the file.

Every one only grows: triggers refuse to change, replace or delete a row, whoever tries. Moments are
UTC, ISO 8601 with microseconds, so that texts sort as they do. The columns of a key come first:
elsewhere SQLite 3.40 raises a false alarm (NULL value) in integrity_check.
"""

from dataclasses import dataclass

APPLICATION = 0x70726963
"""Marks the file as a ledger ("pric" in ASCII), in SQLite's application_id."""

VERSION = 2

BAR = "open REAL, high REAL, low REAL, close REAL, volume REAL"


@dataclass(frozen=True)
class Table:
    """name: of the table. key: its columns that tell a row from others. columns: in SQL. since: which version."""

    name: str
    key: tuple[str, ...]
    columns: str
    since: int = 1

    @property
    def statement(self) -> str:
        """What makes it; a key of one number is SQLite's own row id."""
        numbered = self.key == ("id",)
        primary = "" if numbered else f", PRIMARY KEY ({', '.join(self.key)})"
        return f"CREATE TABLE {self.name} ({self.columns}{primary}) STRICT{'' if numbered else ', WITHOUT ROWID'}"

    def guards(self) -> dict[str, str]:
        """Name → trigger. INSERT OR REPLACE fires no DELETE trigger, so it needs a guard of its own."""
        same = " AND ".join(f"{key} = NEW.{key}" for key in self.key)
        moments = {
            "update": f"BEFORE UPDATE ON {self.name}",
            "delete": f"BEFORE DELETE ON {self.name}",
            "replace": f"BEFORE INSERT ON {self.name} WHEN EXISTS (SELECT 1 FROM {self.name} WHERE {same})",
        }
        return {
            f"{self.name}_no_{verb}": f"CREATE TRIGGER {self.name}_no_{verb} {moment} "
            f"BEGIN SELECT RAISE(ABORT, 'the ledger only appends: no {verb} of {self.name}'); END"
            for verb, moment in moments.items()
        }


TABLES = (
    Table(
        "fetch",
        ("id",),
        "id INTEGER PRIMARY KEY, source TEXT NOT NULL, fetched_at TEXT NOT NULL, version TEXT NOT NULL, "
        "note TEXT NOT NULL, rows INTEGER NOT NULL",
    ),
    Table(
        "bar",
        ("symbol", "date", "fetch_id"),
        f"symbol TEXT NOT NULL, date TEXT NOT NULL, fetch_id INTEGER NOT NULL REFERENCES fetch, {BAR}",
    ),
    Table(
        "action",
        ("symbol", "date", "kind", "fetch_id"),
        "symbol TEXT NOT NULL, date TEXT NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('dividend', 'split')), "
        "fetch_id INTEGER NOT NULL REFERENCES fetch, value REAL NOT NULL",
    ),
    Table(
        "coverage",
        ("symbol", "fetch_id"),
        "symbol TEXT NOT NULL, fetch_id INTEGER NOT NULL REFERENCES fetch, first TEXT NOT NULL, days BLOB NOT NULL",
    ),
    Table(
        "quarantine",
        ("symbol", "date", "fetch_id"),
        "symbol TEXT NOT NULL, date TEXT NOT NULL, fetch_id INTEGER NOT NULL REFERENCES fetch, rule TEXT NOT NULL, "
        f"reason TEXT NOT NULL, {BAR}, dividend REAL NOT NULL, split REAL NOT NULL",
        since=2,
    ),
    Table(
        "release",
        ("symbol", "date", "fetch_id"),
        "symbol TEXT NOT NULL, date TEXT NOT NULL, fetch_id INTEGER NOT NULL REFERENCES fetch, "
        "verdict TEXT NOT NULL CHECK (verdict IN ('agreed', 'dropped')), "
        "by_fetch INTEGER NOT NULL REFERENCES fetch, detail TEXT NOT NULL",
        since=2,
    ),
    Table(
        "answer",
        ("source", "symbol", "at"),
        "source TEXT NOT NULL, symbol TEXT NOT NULL, at TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL",
        since=2,
    ),
    Table(
        "run",
        ("id",),
        "id INTEGER PRIMARY KEY, started_at TEXT NOT NULL, process TEXT NOT NULL, command TEXT NOT NULL, "
        "version TEXT NOT NULL",
        since=2,
    ),
    Table(
        "stage",
        ("source", "session", "stage", "run_id", "at"),
        "source TEXT NOT NULL, session TEXT NOT NULL, stage TEXT NOT NULL, run_id INTEGER NOT NULL REFERENCES run, "
        "at TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL",
        since=2,
    ),
    Table(
        "forecast",
        ("source", "symbol", "origin", "horizon", "model", "version"),
        "source TEXT NOT NULL, symbol TEXT NOT NULL, origin TEXT NOT NULL, horizon INTEGER NOT NULL, "
        "model TEXT NOT NULL, version TEXT NOT NULL, target TEXT NOT NULL, origin_close REAL NOT NULL, "
        "quantiles BLOB NOT NULL CHECK (length(quantiles) = 152), published_at TEXT NOT NULL, "
        "run_id INTEGER NOT NULL REFERENCES run",
        since=2,
    ),
    Table(
        "actual",
        ("source", "symbol", "origin", "horizon", "known_at"),
        "source TEXT NOT NULL, symbol TEXT NOT NULL, origin TEXT NOT NULL, horizon INTEGER NOT NULL, "
        "known_at TEXT NOT NULL, value REAL NOT NULL",
        since=2,
    ),
    Table(
        "champion",
        ("id",),
        "id INTEGER PRIMARY KEY, at TEXT NOT NULL, source TEXT NOT NULL, version TEXT NOT NULL, previous TEXT, "
        "reason TEXT NOT NULL, p_value REAL, detail TEXT NOT NULL",
        since=2,
    ),
)
"""`coverage` says for which dates a fetch was believed, changed or not: one bit a calendar day from
`first`, the highest bit first. `quarantine` holds rows that were told and not believed, `release` how each
was settled, by which later fetch. `answer` is a source's answers other than prices, one a moment.

Of `stage` a session's stage is done when one row says "done". `quantiles` of a forecast are 19 little-endian
doubles, in the order of `app.schema.LEVELS`. The newest `actual` of a key counts: prices are revised.
The champion of a source is its row of the highest id."""

INDEXES = (
    ("fetch_by_source", "fetch (source, fetched_at)", 1),
    ("champion_by_source", "champion (source, id)", 2),
    ("forecast_by_origin", "forecast (source, origin)", 2),
)
"""(name, what is sorted, since which version)."""

KEYS = {table.name: table.key for table in TABLES}


def upgrade_from(version: int) -> list[str]:
    """The statements that bring a file of an older version to this one; version 0 is an empty file."""
    new = [table for table in TABLES if table.since > version]
    made = [table.statement for table in new]
    guards = [guard for table in new for guard in table.guards().values()]
    sorted_by = [f"CREATE INDEX {name} ON {what}" for name, what, since in INDEXES if since > version]
    marks = [f"PRAGMA application_id = {APPLICATION}", f"PRAGMA user_version = {VERSION}"]
    return [*made, *guards, *sorted_by, *marks]
