"""The protocol of Feng et al. (2019): features, labels, parts and counts, by hand, by loops and on the real data."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError, SettingsError
from app.reproduce.acl18 import ACL18, DATA_SETS, FEATURES, Protocol, instances, load_grid, make_grid, split
from tests.reference import feng_features, feng_instances
from tests.reproduce.conftest import DAYS, bars


def grid_of(*adjusted):
    tables = {f"S{number}": bars(values) for number, values in enumerate(adjusted)}
    return make_grid(tables, DAYS.to_numpy(), Protocol())


def test_features_by_hand(tables):
    grid = make_grid(tables, DAYS.to_numpy(), Protocol())
    row = dict(zip(FEATURES, grid.features[40, 0], strict=True))
    assert [row["c_open"], row["c_high"], row["c_low"]] == pytest.approx([-1.0, 2.0, -3.0], abs=1e-4)
    assert [row["n_close"], row["n_adj_close"]] == pytest.approx([1.0, 1.0], abs=1e-4)
    assert row["mean_5"] == pytest.approx(100 * (sum(1.01**-age for age in range(5)) / 5 - 1), abs=1e-4)


def test_features_agree_with_loops(tables):
    grid = make_grid(tables, DAYS.to_numpy(), Protocol())
    for column, table in enumerate(tables.values()):
        slow = feng_features(table[["open", "high", "low", "close", "adjusted_close"]].to_numpy().tolist())
        np.testing.assert_allclose(grid.features[29:, column], slow[29:], rtol=1e-4, atol=1e-5)


def test_a_day_has_all_its_features_or_none(tables):
    features = make_grid(tables, DAYS.to_numpy(), Protocol()).features
    assert np.isnan(features[:29]).all()
    assert np.isfinite(features[29:]).all()


@pytest.mark.parametrize(("percent", "label"), [(0.5501, 1), (0.5499, 0), (-0.4999, 0), (-0.5001, -1), (3.0, 1)])
def test_a_small_move_is_neither_up_nor_down(percent, label):
    closes = np.full(len(DAYS), 100.0)
    closes[40:] *= 1 + percent / 100
    assert grid_of(closes).label[40, 0] == label
    assert grid_of(closes).label[41, 0] == 0


def test_an_instance_sees_the_days_before_its_own_and_no_more():
    closes = 100 * 1.01 ** np.arange(len(DAYS))
    closes[40:] *= 0.9
    found = instances(grid_of(closes), 5, DAYS[40], DAYS[42])
    assert found.day.tolist() == [DAYS[40].date(), DAYS[41].date()]
    assert found.up.tolist() == [False, True]
    newest = found.inputs[:, -1, FEATURES.index("n_adj_close")]
    assert newest == pytest.approx([1.0, -9.1], abs=1e-4)


def test_prices_of_the_day_forecast_change_no_input(tables):
    before = instances(make_grid(tables, DAYS.to_numpy(), Protocol()), 5, DAYS[45], DAYS[46])
    changed = {symbol: table.copy() for symbol, table in tables.items()}
    for table in changed.values():
        table.iloc[45:] *= 1.3
    after = instances(make_grid(changed, DAYS.to_numpy(), Protocol()), 5, DAYS[45], DAYS[46])
    chosen = np.isin(after.symbol, before.symbol)
    np.testing.assert_array_equal(after.inputs[chosen], before.inputs)


@pytest.mark.parametrize("lookback", [1, 5, 10])
def test_instances_agree_with_loops(tables, lookback):
    tables["WALK"] = tables["WALK"].drop(DAYS[[3, 47]])
    grid = make_grid(tables, DAYS.to_numpy(), Protocol())
    inside = (grid.day >= DAYS[32]) & (grid.day < DAYS[58])
    slow = feng_instances(grid.features, grid.label, lookback, inside)
    found = instances(grid, lookback, DAYS[32], DAYS[58])
    assert [(DAYS[day].date(), grid.symbols[symbol]) for day, symbol in slow] == [
        (day, symbol) for day, symbol in zip(found.day.tolist(), found.symbol.tolist(), strict=True)
    ]
    assert len(found) > 0


def test_parts_end_before_the_next_begins(tables, data):
    parts = split(make_grid(tables, DAYS.to_numpy(), Protocol()), data, 5)
    climbed = [part.day[part.symbol == "CLIMB"] for part in parts]
    expected = [DAYS[34:45], DAYS[45:50], DAYS[50:60]]
    assert [part.tolist() for part in climbed] == [[day.date() for day in days] for days in expected]


def test_files_newest_first_with_the_original_open(folder, tables, data):
    grid = load_grid(data, folder)
    assert grid.symbols == ("CLIMB", "WALK")
    np.testing.assert_allclose(
        grid.features, make_grid(tables, DAYS.to_numpy(), Protocol()).features, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("lookback", [5, 10])
def test_counts_of_the_paper_come_out_of_its_data(acl18, lookback):
    parts = split(acl18, ACL18, lookback)
    assert tuple(map(len, parts)) == {5: (20315, 2555, 3720), 10: (20309, 2555, 3720)}[lookback]
    assert [round(float(part.up.mean()), 3) for part in parts] == [0.507, 0.446, 0.513]


def test_facts_of_the_data_sets_are_in_order():
    for data in DATA_SETS.values():
        assert (np.diff(data.borders) > np.timedelta64(0)).all()
        assert {network.name for network in data.networks} <= {name for _, name, *_ in data.published}


def test_no_folder_is_wrong_usage(data, tmp_path):
    with pytest.raises(SettingsError, match="no such folder"):
        load_grid(data, tmp_path / "nowhere")


def test_another_number_of_symbols_is_refused(data, folder):
    (folder / "WALK.csv").unlink()
    with pytest.raises(DataError, match="1 symbols from 2020-01-01 to 2020-03-24, but acl18 has 2"):
        load_grid(data, folder)


def test_an_empty_folder_is_refused(data, tmp_path):
    with pytest.raises(DataError, match="0 symbols"):
        load_grid(data, tmp_path)


def test_another_number_of_sessions_is_refused(data, folder):
    with pytest.raises(DataError, match=r"60 sessions .* has 61"):
        load_grid(replace(data, sessions=61), folder)


def test_another_number_of_instances_is_refused(data, folder):
    with pytest.raises(DataError, match=r"has \(20, 10, 20\) with 5 sessions. Some prices differ"):
        load_grid(replace(data, instances={5: (20, 10, 20)}), folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda table: table.drop(columns="Adj Close"), "no adjusted close column"),
        (lambda table: pd.concat([table, table[:1]]), "2020-03-24 stands twice"),
        (lambda table: table.assign(Close="much"), r"60 value\(s\) of close are not numbers"),
    ],
    ids=["column", "twice", "text"],
)
def test_a_spoilt_file_is_named(data, folder, spoil, message):
    path = folder / "CLIMB.csv"
    spoil(pd.read_csv(path)).rename(columns={"Unnamed: 7": ""}).to_csv(path, index=False)
    with pytest.raises(DataError, match=f"CLIMB.csv: .*{message}"):
        load_grid(data, folder)
