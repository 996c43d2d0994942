"""Which figures a report shows, in what order, and what each says in words."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from app.report import figures, path_figures
from app.report.pricing import BESIDE, chance_of_rise, history, main_model, priced
from app.report.style import ahead
from app.report.wording import percent
from app.schema import FORECAST_KEYS, MEDIAN

SYMBOLS_AGAINST_ACTUALS = 6
SYMBOLS_NEWEST = 12
NETWORKS = 12
TEST_SESSIONS = 120


@dataclass(frozen=True)
class Picture:
    """A figure with the name of its file, what it shows for those who cannot see it, what to see
    in it, and the same figure for a narrow screen where the first would be too small."""

    name: str
    figure: Figure
    alt: str
    caption: str = ""
    narrow: Figure | None = None


def skill_picture(ratios: pd.DataFrame, reference: str | None) -> Iterator[Picture]:
    """The figure of skill by horizon, if there is anything to compare."""
    if reference is None or ratios.empty:
        return
    said = "; ".join(f"{row.model} at {row.horizon}: {row.ratio:.3f}" for row in ratios.itertuples())
    alt = f"CRPS relative to {reference} by horizon in sessions. {said}."
    narrow = figures.skill(ratios, reference) if ratios["horizon"].nunique() > 1 else None
    yield Picture("skill", figures.skill(ratios, reference, columns=3), alt, narrow=narrow)


def coverage_pictures(coverage: pd.DataFrame, model: str | None) -> Iterator[Picture]:
    """One figure per horizon: the main model first, beside the naive model and GJR-GARCH."""
    for horizon, part in _main_first(coverage, model):
        first = part[part["model"] == part["model"].iloc[0]]
        worst = first.loc[(first["reached"] - first["nominal"]).abs().idxmax()]
        promised, reached = percent(worst["nominal"], 0), percent(worst["reached"], 1)
        caption = f"Furthest off for {part['model'].iloc[0]}: {promised} promised, {reached} reached."
        figure = figures.coverage(part, ahead(horizon))
        yield Picture(
            f"coverage-{horizon}", figure, f"Coverage promised and reached, {ahead(horizon)}. {caption}", caption
        )


def pit_pictures(pit: pd.DataFrame, model: str | None) -> Iterator[Picture]:
    """One histogram per horizon: the main model first, beside the naive model and GJR-GARCH."""
    for horizon, part in _main_first(pit, model):
        share = part.loc[part["model"] == part["model"].iloc[0]].sort_values("above")["share"].to_numpy()
        tails = f"{percent(share[0], 1)} fell below the lowest quantile, {percent(share[-1], 1)} above the highest"
        caption = f"Of the actuals, {tails}; 5 % belong in each."
        figure = figures.pit(part, ahead(horizon))
        yield Picture(f"pit-{horizon}", figure, f"Where actuals fell, {ahead(horizon)}. {caption}", caption)


def _main_first(table: pd.DataFrame, model: str | None) -> Iterator[tuple[int, pd.DataFrame]]:
    """The rows of each horizon: those of the main model, then of the naive model and GJR-GARCH."""
    shown = list(dict.fromkeys(name for name in (model, *BESIDE) if name in set(table["model"])))
    rows = table[table["model"].isin(shown)]
    yield from rows.sort_values("model", key=lambda names: names.map(shown.index), kind="stable").groupby("horizon")


def actual_pictures(forecasts: pd.DataFrame, prices: pd.DataFrame) -> Iterator[Picture]:
    """The main model against what happened, as prices and returns."""
    for name, title, rows in _against_actuals(forecasts):
        figure = path_figures.against_actuals(priced(rows, prices), rows, title)
        caption = _against_naive(rows)
        yield Picture(name, figure, f"Forecasts against actuals, {title}. {caption}", caption)


def volatility_pictures(forecasts: pd.DataFrame) -> Iterator[Picture]:
    """The main model against what happened, where the quantiles are of the log of a volatility."""
    keys = list(FORECAST_KEYS[1:])
    naive = forecasts[forecasts["model"] == BESIDE[0]].set_index(keys)[MEDIAN]
    for name, title, rows in _against_actuals(forecasts):
        last = naive.reindex(pd.MultiIndex.from_frame(rows[keys])).set_axis(rows.index)
        figure = path_figures.volatility_against_actuals(rows, last, title)
        off, carried = (np.expm1((rows["actual"] - level).abs().mean()) for level in (rows[MEDIAN], last))
        beside = f", the random walk's {percent(carried, 0)}" if np.isfinite(carried) else ""
        caption = f"The median was {percent(off, 0)} off on average{beside}. {_outside(rows)}"
        yield Picture(name, figure, f"Forecasts of volatility against actuals, {title}. {caption}", caption)


def _against_actuals(forecasts: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Name, title and newest rows of each picture: some symbols at the shortest horizon, the first at the longest."""
    mine = forecasts[(forecasts["model"] == main_model(forecasts)) & forecasts["actual"].notna()]
    symbols = list(dict.fromkeys(mine["symbol"]))[:SYMBOLS_AGAINST_ACTUALS]
    horizons = sorted(mine["horizon"].unique())
    wanted = [(symbol, horizons[0]) for symbol in symbols]
    wanted += [(symbols[0], horizons[-1])] if len(horizons) > 1 else []
    for place, (symbol, horizon) in enumerate(wanted, start=1):
        rows = mine[(mine["symbol"] == symbol) & (mine["horizon"] == horizon)].sort_values("date").tail(TEST_SESSIONS)
        yield f"actual-{place:02d}-{horizon}", f"{symbol} · {ahead(horizon)}", rows


def _against_naive(rows: pd.DataFrame) -> str:
    """How far the median went from the naive line, and how often the band held, in words."""
    moved, foreseen = rows["actual"].abs().mean(), rows[MEDIAN].abs().mean()
    near = ": it is nearly the naive line" if foreseen < moved / 4 else ""
    return f"The price moved {percent(moved)} on average, the median {percent(foreseen)}{near}. {_outside(rows)}"


def _outside(rows: pd.DataFrame) -> str:
    """How often the 90 % band did not hold."""
    outside = (~rows["actual"].between(rows["q0.05"], rows["q0.95"])).sum()
    return (
        f"{outside} of {len(rows)} actuals ({percent(outside / len(rows), 0)}) fell outside the 90 % band, where 10 % "
        "belong."
    )


def newest_pictures(live: pd.DataFrame, prices: pd.DataFrame) -> Iterator[Picture]:
    """The newest forecast of the first symbols."""
    mine = live[live["model"] == main_model(live)]
    sessions = int(min(60, 20 + 2 * mine["horizon"].max())) if len(mine) else 0
    for place, symbol in enumerate(list(dict.fromkeys(mine["symbol"]))[:SYMBOLS_NEWEST], start=1):
        rows = mine[mine["symbol"] == symbol].sort_values("horizon")
        last = rows.iloc[-1]
        past = history(prices[prices["date"] <= last["origin"]], symbol, sessions)
        money = priced(rows, prices)
        figure = path_figures.newest(past, money, f"{symbol} · after {last['origin']:%-d %b %Y}")
        chance = np.round(100 * chance_of_rise(rows.tail(1))[0])
        alt = (
            f"Newest forecast of {symbol}: {ahead(last['horizon'])} between {money['q0.05'].iloc[-1]:,.2f} and "
            f"{money['q0.95'].iloc[-1]:,.2f} with 90 % probability, chance of a rise {chance:.0f} %."
        )
        yield Picture(f"newest-{place:02d}", figure, alt)


def learning_pictures(curves: dict[str, pd.DataFrame]) -> Iterator[Picture]:
    """The training curve of each network."""
    for place, (name, curve) in enumerate(list(curves.items())[:NETWORKS], start=1):
        if len(curve):
            low = f"{curve['validation_loss'].min():.4f}" if curve["validation_loss"].notna().any() else "not measured"
            alt = f"Training of {name}: {curve['epoch'].max():.0f} epochs, lowest validation loss {low}."
            yield Picture(f"training-{place:02d}", figures.learning(curve, name), alt)
