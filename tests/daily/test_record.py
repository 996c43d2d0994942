"""The live record: what was said in time, beside the random walk, and the figures that a slow loop takes from it."""

import numpy as np
import pandas as pd
import pytest

from app.daily.record import LOOKED_AT, live_forecasts, live_record
from app.journal import Journal
from app.prices.calendar import sessions
from app.schema import LEVELS, QUANTILES
from tests import reference

DAYS = sessions("XNYS", np.datetime64("2024-01-02"), np.datetime64("2024-06-28"))
MODELS = ("ewma", "random-walk")
FORECAST = 90
"""Sessions that anything is forecast from."""

LATE, LACKING = 70, 75
"""The session that was forecast after its targets, by the random walk the next one, too; and the one of which the
random walk lacks a symbol."""


@pytest.fixture(scope="module")
def journal(tmp_path_factory) -> Journal:
    """90 sessions of two models and three symbols, 1 and 5 ahead; the newest targets are not known yet."""
    made = Journal(tmp_path_factory.mktemp("record") / "ledger.sqlite", "yahoo")
    random = np.random.default_rng(4)
    run = made.begin("here", "daily", "1")
    said = pd.concat([_said(random, number) for number in range(FORECAST)], ignore_index=True)
    said = said[(said["model"] == "ewma") | (said["symbol"] != "A") | (said["origin"] != DAYS[LACKING])]
    late = (said["origin"] == DAYS[LATE]) | ((said["origin"] == DAYS[LATE + 1]) & (said["model"] == "random-walk"))
    for rows, day in ((said[~late], DAYS[0]), (said[late], DAYS[-1])):
        at = pd.Timestamp(day, tz="UTC") + pd.Timedelta(hours=22)
        made.publish(run, rows.reset_index(drop=True), {"ewma": "v", "random-walk": "w"}, at.to_pydatetime())
    for factor in (2.0, 1.0):  # the first actual was revised
        told = made.forecasts()
        rows = told[told["date"] < "2024-05-10"][["symbol", "origin", "horizon"]].drop_duplicates()
        made.fill_in(rows.assign(actual=factor * 0.01 * np.random.default_rng(5).standard_normal(len(rows))))
    return made


def _said(random: np.random.Generator, number: int) -> pd.DataFrame:
    rows = []
    for model, width in (("ewma", 0.01), ("random-walk", 0.02)):
        for symbol in "ABC":
            for horizon in (1, 5):
                said = dict(zip(QUANTILES, width * np.sort(random.standard_normal(len(LEVELS))), strict=True))
                rows.append({"model": model, "symbol": symbol, "horizon": horizon, "origin": DAYS[number]} | said)
    table = pd.DataFrame(rows)
    ahead = DAYS[number + table["horizon"].to_numpy()]
    dates = dict.fromkeys(("origin", "date"), "datetime64[ns]")
    return table.assign(date=ahead, origin_close=100.0, actual=np.nan).astype(dates)


def _slowly(journal: Journal, horizon: int) -> tuple[int, float, float]:
    """(days, coverage of the 80 % interval, mean excess) of the newest sessions, row by row."""
    table = live_forecasts(journal)
    known = table[(table["horizon"] == horizon) & table["actual"].notna()]
    said = {(row["model"], row["origin"], row["symbol"]): row for _, row in known.iterrows()}
    days = sorted({day for model, day, _ in said if model == "ewma"})
    held, means = [], []
    for day in days:
        ours, walk = ({s: said[m, d, s] for m, d, s in said if (m, d) == (name, day)} for name in MODELS)
        held.append([row["q0.10"] <= row["actual"] <= row["q0.90"] for row in ours.values()])
        both = [symbol for symbol in ours if symbol in walk]
        if both:
            means.append([np.mean([_crps(side[symbol]) for symbol in both]) for side in (ours, walk)])
    mine, theirs = np.array(means).T
    excess = (mine - theirs) / theirs.mean()
    return min(len(days), LOOKED_AT), np.concatenate(held[-LOOKED_AT:]).mean(), excess[-LOOKED_AT:].mean()


def _crps(row: pd.Series) -> float:
    return reference.crps_of_quantiles(row[list(QUANTILES)].tolist(), row["actual"], LEVELS)


def test_its_figures_are_those_of_a_slow_loop_over_the_published_table(journal):
    lines, alarms = live_record(journal, "ewma", str(DAYS[FORECAST - 1]))
    assert [line.horizon for line in lines] == [1, 5]
    for line in lines:
        days, coverage, excess = _slowly(journal, line.horizon)
        assert line.days == days
        assert (line.coverage, line.excess) == pytest.approx((coverage, excess), rel=1e-12)
    assert alarms == []


def test_it_leaves_out_what_was_said_after_its_target_and_what_is_not_known_yet(journal):
    record = journal.record("ewma")
    assert DAYS[LATE] not in record.origin
    assert DAYS[LATE + 1] in record.origin
    assert record.origin.max() < DAYS[FORECAST - 1]
    assert np.isfinite(record.actual).all()


def test_the_newest_actual_counts(journal):
    record, table = journal.record("ewma"), live_forecasts(journal)
    known = table[(table["model"] == "ewma") & table["actual"].notna()]
    assert sorted(record.actual) == sorted(known["actual"])
    assert np.std(record.actual) < 0.015  # those of the first time were twice as large


def test_where_the_random_walk_said_nothing_it_is_not_known(journal):
    record = journal.record("ewma")
    unknown = np.isnan(record.naive).all(axis=1)
    assert sorted(record.origin[unknown]) == [DAYS[LATE + 1]] * 6 + [DAYS[LACKING]] * 2
    assert np.isfinite(record.naive[~unknown]).all()


def test_the_random_walk_is_not_compared_with_itself(journal):
    lines, alarms = live_record(journal, "random-walk", str(DAYS[FORECAST - 1]))
    assert {line.excess for line in lines} == {None}
    assert alarms  # its quantiles are twice too wide
    assert all("% interval" in alarm for alarm in alarms)


def test_before_the_first_forecast_there_is_none(tmp_path):
    assert live_record(Journal(tmp_path / "ledger.sqlite", "yahoo"), "ewma", "") == ([], [])
