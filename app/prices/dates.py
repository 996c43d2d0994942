"""The session dates that people and programs write, read without ever shifting a day."""

import re

import numpy as np
import pandas as pd

from app.errors import DataError

_CLOCK = r"(?:[T ]+\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?)?\s*(?:Z|UTC|GMT|[+-]\d{2}:?\d{2})?"
YEAR_FIRST = re.compile(r"(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})" + _CLOCK)
COMPACT = re.compile(r"(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})" + _CLOCK)
DAY_FIRST = re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?P<y>\d{4})" + _CLOCK)
EITHER = re.compile(r"(?P<a>\d{1,2})(?P<sep>[-/])(?P<b>\d{1,2})(?P=sep)(?P<y>\d{4})" + _CLOCK)
YEARS = range(1700, 2262)
"""What datetime64[ns] can hold."""


def session_dates(written: pd.Series, name: str) -> np.ndarray:
    """(rows,) datetime64[ns]: the day each text names, whatever its clock time and UTC offset.

    The offset says where the exchange is, and the day is the exchange's, so nothing is shifted:
    "2022-01-03 00:00:00+08:00" is 3 January. Known are 2022-01-03, 2022/01/03, 20220103, 03.01.2022,
    and 3/1/2022 or 1/3/2022 where some day of the column above 12 tells which number is the month.

    Args:
        written: (rows,) text.
        name: of the file, for the message.

    Raises:
        DataError: a text that names no day, or days that could be read two ways.
    """
    codes, different = pd.factorize(written.fillna("").astype("str"))
    texts = [str(text).strip() for text in different]
    day_first = _day_first([found for text in texts if (found := EITHER.fullmatch(text))], name)
    days = np.array([_day(text, day_first) for text in texts], dtype="datetime64[D]")
    unread = np.flatnonzero(np.isnat(days)[codes])
    if len(unread):
        raise DataError(
            f"{name}: {len(unread)} date(s) cannot be read, first {texts[codes[unread[0]]][:40]!r} in row "
            f"{unread[0] + 1} after the header. Write dates as YYYY-MM-DD."
        )
    return days[codes].astype("datetime64[ns]")


def _day_first(either: list[re.Match], name: str) -> bool:
    day_first = any(int(found["a"]) > 12 for found in either)
    month_first = any(int(found["b"]) > 12 for found in either)
    if either and day_first == month_first:
        raise DataError(
            f"{name}: dates such as {either[0].string!r} do not tell the day from the month. Write dates as YYYY-MM-DD."
        )
    return day_first


def _day(text: str, day_first: bool) -> np.datetime64:
    found = next(
        (found for known in (YEAR_FIRST, COMPACT, DAY_FIRST, EITHER) if (found := known.fullmatch(text))), None
    )
    if found is None or int(found["y"]) not in YEARS:
        return np.datetime64("NaT")
    parts = found.groupdict()
    if "a" in parts:
        parts["d"], parts["m"] = (parts["a"], parts["b"]) if day_first else (parts["b"], parts["a"])
    try:
        return np.datetime64(f"{int(parts['y']):04d}-{int(parts['m']):02d}-{int(parts['d']):02d}", "D")
    except ValueError:
        return np.datetime64("NaT")
