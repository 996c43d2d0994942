"""What the journal asks the ledger, in SQL."""

CHAMPION = "id, at, source, version, previous, reason, p_value, detail"

PUBLISH = """INSERT INTO forecast (source, symbol, origin, horizon, model, version, target, origin_close, quantiles,
    published_at, run_id) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 WHERE NOT EXISTS
    (SELECT 1 FROM forecast WHERE source = ?1 AND symbol = ?2 AND origin = ?3 AND horizon = ?4 AND model = ?5)"""

FORECASTS = """SELECT model, symbol, origin, horizon, target, origin_close, version, published_at,
    (SELECT value FROM actual WHERE actual.source = forecast.source AND actual.symbol = forecast.symbol
        AND actual.origin = forecast.origin AND actual.horizon = forecast.horizon ORDER BY known_at DESC LIMIT 1),
    quantiles FROM forecast WHERE source = ? AND origin BETWEEN ? AND ?
    ORDER BY origin, model, symbol, horizon"""

TOLD = {
    "model": "object", "symbol": "object", "origin": "datetime64[ns]", "horizon": "int64", "date": "datetime64[ns]",
    "origin_close": "float64", "version": "object", "published_at": "object", "actual": "float64",
}  # fmt: skip
"""What `FORECASTS` gives before the quantiles, in its order → the type; texts are objects."""

NEWEST_ORIGINS = """WITH RECURSIVE each(symbol) AS (SELECT min(symbol) FROM forecast WHERE source = ?1 UNION ALL
    SELECT (SELECT min(symbol) FROM forecast WHERE source = ?1 AND symbol > each.symbol) FROM each WHERE symbol NOTNULL)
    SELECT symbol, (SELECT max(origin) FROM forecast WHERE source = ?1 AND symbol = each.symbol) FROM each
    WHERE symbol NOTNULL ORDER BY symbol"""
"""Finds each symbol and its newest origin by seeking, whatever the years behind it."""

AWAITED = """SELECT DISTINCT symbol, origin, horizon FROM forecast WHERE source = ?1 AND origin >= ?2
    AND (origin >= ?3 OR NOT EXISTS (SELECT 1 FROM actual WHERE actual.source = forecast.source
        AND actual.symbol = forecast.symbol AND actual.origin = forecast.origin
        AND actual.horizon = forecast.horizon)) ORDER BY symbol, origin, horizon"""

ACTUAL = """SELECT known_at, value FROM actual WHERE source = ? AND symbol = ? AND origin = ? AND horizon = ?
    ORDER BY known_at DESC LIMIT 1"""

RECORD = """SELECT origin, horizon, (SELECT value FROM actual WHERE actual.source = ours.source
        AND actual.symbol = ours.symbol AND actual.origin = ours.origin AND actual.horizon = ours.horizon
        ORDER BY known_at DESC LIMIT 1), quantiles,
    (SELECT quantiles FROM forecast WHERE source = ours.source AND symbol = ours.symbol AND origin = ours.origin
        AND horizon = ours.horizon AND model = ?2 AND substr(published_at, 1, 10) <= target)
    FROM forecast AS ours WHERE source = ?1 AND origin >= ?4 AND model = ?3 AND substr(published_at, 1, 10) <= target
    ORDER BY origin"""
"""What was published on the day of its target or before, beside what another model said of the same."""
