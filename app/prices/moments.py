"""Moments as the ledger writes them: UTC, ISO 8601 with microseconds, so that texts sort as moments do."""

import datetime as dt
import logging

import pandas as pd

from app.errors import SettingsError
from app.prices.database import Connection

log = logging.getLogger(__name__)

SLACK = dt.timedelta(minutes=1)
"""Several fetches of one update bear its moment: by so little a clock need not have been set back."""


def written(moment: dt.date | dt.datetime | str) -> str:
    """A moment as the ledger writes it; naive means UTC, a bare day is its last microsecond.

    Raises:
        SettingsError: it names no moment.
    """
    bare = isinstance(moment, dt.date) and not isinstance(moment, dt.datetime)
    bare |= (isinstance(moment, str) and len(moment) == 10) or getattr(moment, "dtype", None) == "datetime64[D]"
    try:
        parsed = pd.to_datetime(moment, utc=True)
        if parsed is pd.NaT:
            raise ValueError("not a time")
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{str(moment)[:40]!r} names no moment. Write 2024-03-01 or 2024-03-01T18:00.") from error
    utc = parsed.to_pydatetime(warn=False)
    if bare:
        utc += dt.timedelta(days=1, microseconds=-1)
    return utc.isoformat(timespec="microseconds").replace("+00:00", "Z")


def next_moment(connection: Connection, source: str, now: dt.datetime | None = None) -> str:
    """The present, or just after the newest fetch of the source when the clock was set back since.

    Args:
        now: the present; None is what the clock says.
    """
    present = written(dt.datetime.now(dt.UTC) if now is None else now)
    newest = connection.execute("SELECT max(fetched_at) FROM fetch WHERE source = ?", (source,)).fetchone()[0]
    if newest is None or newest < present:
        return present
    last = dt.datetime.fromisoformat(newest)
    if last - dt.datetime.fromisoformat(present) > SLACK:
        log.warning("the newest fetch of %s is from %s, which the clock has not reached yet", source, newest)
    return written(last + dt.timedelta(microseconds=1))
