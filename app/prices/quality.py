"""What is wrong with a price table, by named rule, and the table without it.

Rules are declared as data (`RULES`). They run in stages, each on what the stage before left: rows
that are impossible by themselves, then spikes, then blocks in another unit, then jumps that stay, and
last dividends. Nothing is interpolated or rescaled: a row is kept, left out, or has a field declared
unknown. A verdict depends on nothing further than 260 rows after the row (`app.prices.jumps`), with one
exception: whether a calendar fits, and whether rows are daily, is judged on all dates of a symbol.

What these rules cannot see, because the table does not tell: a dividend that is missing or a few times
too small or too large; a wrong adjustment in a source's own adjusted prices; a wrong value that stays
within the usual range; the newest row, when it is a spike of which the next session would have told.
"""

import numpy as np
import pandas as pd

from app.prices.dividends import DIVIDENDS
from app.prices.jumps import JUMPS, SPIKES, UNITS
from app.prices.rules import FREQUENCY, GROSS, ROWS, VOLUMES, Bars, Finding, Rule, outside
from app.schema import ISSUE_COLUMNS, PRICE_FIELDS

STAGES = (FREQUENCY, ROWS, SPIKES, UNITS, JUMPS + VOLUMES, DIVIDENDS)
RULES: tuple[Rule, ...] = tuple(rule for stage in STAGES for rule in stage)
"""Every rule, in the order in which they run."""

UNKNOWN_RETURN = frozenset(rule.name for rule in RULES if rule.unknown_return)

LISTED = 20
"""More equal warnings than this about one symbol become one line with their number."""

LONGEST_GAP = np.timedelta64(14, "D")
"""A move over more days than this is not the return of a session."""

_KINDS = dict.fromkeys(ISSUE_COLUMNS, "str") | {"date": "datetime64[ns]"}

MOST_PASSES = 10
"""Leaving out a spike can reveal another beside it; a stage that leaves rows out runs again, this often at most."""


def inspect(prices: pd.DataFrame, calendar: str | None = None, today: pd.Timestamp | None = None) -> pd.DataFrame:
    """List what is wrong with a price table.

    Args:
        prices: price table (`app.schema.prices_table`), any order of rows, as delivered.
        calendar: name of the exchange calendar of all symbols; None means the one each symbol's
            suffix tells.
        today: the latest date that may have prices; None means today, anywhere on Earth.

    Returns:
        Issues table (`app.schema.ISSUE_COLUMNS`) sorted by symbol, date and rule: one line per row
        with an error, one line for all warnings of one rule about one symbol where they are many.
        Of two rows of one session that contradict each other, each has its line.

    Raises:
        SettingsError: there is no such calendar.
    """
    day = pd.Timestamp.now("UTC") + pd.Timedelta(hours=14) if today is None else pd.Timestamp(today)
    latest = day.tz_localize(None).to_datetime64().astype("datetime64[D]")
    bars, swept = _bars(prices, calendar=calendar, today=latest), False
    found = _listed(FREQUENCY, bars)
    if found:
        rest = prices.loc[~prices["symbol"].isin(_table(found)["symbol"].unique()).to_numpy()]
        bars = _bars(rest, calendar=calendar, today=latest)
    for stage in STAGES[1:]:
        for _ in range(MOST_PASSES):
            lines = _listed(stage, bars)
            found += lines
            errors = any(part["severity"][0] == "error" for part in lines)
            if errors or not swept or any(part["rule"][0] in UNKNOWN_RETURN for part in lines):  # else the rows stay
                bars, swept = _bars(_sound(bars, _table(lines)), calendar=calendar, today=latest), True
            if not errors or stage not in (SPIKES, UNITS):
                break
    return _table(found).sort_values(["symbol", "date", "rule"], kind="stable", ignore_index=True)


def sound(prices: pd.DataFrame, issues: pd.DataFrame) -> pd.DataFrame:
    """The rows that can be learnt from.

    Args:
        prices: price table, any order of rows.
        issues: what `inspect` said of it.

    Returns:
        A new price table sorted by symbol and date, with unique keys and without the rows that
        have an error. Unknown (NaN) are: an open, high or low that is not above 0 and finite, an
        open far outside low to high, a volume below 0 or infinite; and the dividend, and with it
        the total return, of a session whose move no action explains (rules of `UNKNOWN_RETURN`)
        or which follows a gap of more than 14 days.
        A split listed on a row that is left out is moved to the next row kept, so that no jump
        appears; a dividend on such a row is lost with it.
    """
    return _sound(_bars(prices), issues)


def _sound(bars: Bars, issues: pd.DataFrame) -> pd.DataFrame:
    """The rows of `bars` that can be learnt from, as `sound`."""
    again = ~bars.first & (np.diff(bars.column("date"), prepend=np.datetime64(0, "ns")) == np.timedelta64(0))
    table, code = bars.table.loc[~again].reset_index(drop=True), bars.code[~again]
    errors = _marked(table, issues[issues["severity"] == "error"])
    unexplained = _marked(table, issues[issues["rule"].isin(UNKNOWN_RETURN)])
    values = {name: table[name].to_numpy() for name in PRICE_FIELDS}
    values["split"] = _moved_splits(values["split"], code, errors)
    values["dividend"] = np.where(unexplained, np.nan, values["dividend"])
    table, code, values = table[~errors], code[~errors], {name: column[~errors] for name, column in values.items()}
    gap = np.diff(table["date"].to_numpy()) > LONGEST_GAP
    values["dividend"][1:][gap & (np.diff(code) == 0)] = np.nan
    for name in ("open", "high", "low", "volume"):
        usable = values[name] >= 0 if name == "volume" else values[name] > 0
        values[name] = np.where(usable & np.isfinite(values[name]), values[name], np.nan)
    table = table.reset_index(drop=True).assign(**values)
    broken = outside(table, "open") > GROSS
    return table.assign(open=np.where(broken, np.nan, values["open"]))


def _moved_splits(split: np.ndarray, code: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """(rows,) the splits, each of a row with an error multiplied into the next row without, of the same symbol."""
    moved = split.copy()
    lost = np.flatnonzero(errors & (split > 0) & np.isfinite(split) & (split != 1))
    kept = np.flatnonzero(~errors)
    for row, k in zip(lost, np.searchsorted(kept, lost), strict=True):
        if k < len(kept) and code[kept[k]] == code[row]:
            moved[kept[k]] *= split[row]
    return moved


def _marked(table: pd.DataFrame, issues: pd.DataFrame) -> np.ndarray:
    """(rows,) whether the row's symbol and date are in the issues."""
    marked = np.zeros(len(table), bool)
    if len(issues):
        some = np.flatnonzero(table["symbol"].isin(issues["symbol"].unique()).to_numpy())
        keys = pd.MultiIndex.from_frame(table.iloc[some][["symbol", "date"]])
        marked[some] = keys.isin(pd.MultiIndex.from_frame(issues[["symbol", "date"]]))
    return marked


def _bars(prices: pd.DataFrame, calendar: str | None = None, today: np.datetime64 | None = None) -> Bars:
    """The table by symbol and date, ready to be judged; not a copy if it is in that order."""
    code, symbols = pd.factorize(prices["symbol"], sort=True)
    dates = prices["date"].to_numpy()
    place = np.lexsort((dates, code))
    if not (np.diff(place) == 1).all():
        prices, code = prices.iloc[place], code[place]
    table = prices.reset_index(drop=True)
    latest = np.datetime64("NaT") if today is None else today
    return Bars(table, place, code, np.asarray(symbols, object), calendar, latest)


def _listed(rules: tuple[Rule, ...], bars: Bars) -> list[dict[str, np.ndarray]]:
    """The columns of the issues table for each rule that found something."""
    findings = [(rule, rule.find(bars)) for rule in rules]
    return [_lines(rule, finding, bars) for rule, finding in findings if len(finding.rows)]


def _table(parts: list[dict[str, np.ndarray]]) -> pd.DataFrame:
    """The issues table of what `_listed` gave."""
    none = np.array([], object)
    columns = {name: np.concatenate([part[name] for part in parts] or [none]) for name in ISSUE_COLUMNS}
    return pd.DataFrame({name: pd.array(column, dtype=_KINDS[name]) for name, column in columns.items()})


def _lines(rule: Rule, finding: Finding, bars: Bars) -> dict[str, np.ndarray]:
    """The columns of the issues table for one rule that found something, equal warnings gathered."""
    rows = finding.rows
    symbols = bars.symbols[bars.code[rows]]
    dates = (bars.column("date")[rows] if finding.dates is None else finding.dates).astype("datetime64[ns]")
    _, group = np.unique(bars.code[rows], return_inverse=True)
    count = np.bincount(group)[group]
    gather = (rule.severity == "warning") & (not rule.unknown_return) & (count > LISTED)
    leading = np.append(True, group[1:] != group[:-1])
    shown = np.flatnonzero(~gather | leading)
    last = dates[np.append(np.flatnonzero(leading)[1:], len(rows)) - 1]
    words = [finding.words.format(*(values[i] for values in finding.values)) for i in shown]
    for k, i in enumerate(shown):
        if gather[i]:
            until = np.datetime_as_string(last[group[i]], "D")
            words[k] += f"; {count[i]:,} times from {np.datetime_as_string(dates[i], 'D')} to {until}"
    return {
        "symbol": symbols[shown],
        "date": dates[shown],
        "rule": np.full(len(shown), rule.name, object),
        "severity": np.full(len(shown), rule.severity, object),
        "detail": np.array(words, object),
    }
