"""A source's answers other than prices: what it says of symbols that it does not have, day by day."""

from app.prices.database import Connection

MISSING = "not found"

DAYS = """SELECT count(DISTINCT substr(at, 1, 10)) FROM answer WHERE source = ?1 AND symbol = ?2 AND outcome = ?3
    AND at > coalesce((SELECT max(f.fetched_at) FROM coverage AS c JOIN fetch AS f ON f.id = c.fetch_id
        WHERE c.symbol = ?2 AND f.source = ?1), '')"""


def note_missing(connection: Connection, source: str, symbol: str, detail: str, at: str) -> int:
    """Note that a source says it has no such symbol, once a day.

    Returns:
        On how many days (UTC) it has said so since it last told prices of the symbol.
    """
    asked = (source, symbol, MISSING)
    today = "SELECT 1 FROM answer WHERE source = ? AND symbol = ? AND outcome = ? AND substr(at, 1, 10) = ?"
    if connection.execute(today, (*asked, at[:10])).fetchone() is None:
        connection.execute("INSERT INTO answer VALUES (?, ?, ?, ?, ?)", (source, symbol, at, MISSING, detail))
    return int(connection.execute(DAYS, asked).fetchone()[0])
