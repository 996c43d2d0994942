"""The jobs themselves, with a real network: a challenger that goes on from the champion, and what each says."""

import dataclasses
import functools
import json

import numpy as np
import pandas as pd
import pytest

from app import registry
from app.config import load_settings
from app.daily import work
from app.daily.work import HELD_OUT, LIVE, MADE, Job
from app.errors import DataError
from app.prices.calendar import sessions
from app.prices.store import Ledger
from app.schema import QUANTILES

NETWORK = {"units": 4, "epochs": 1, "updates": 5, "steps": 8}
HELD = 40


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """400 sessions of two symbols in a ledger."""
    folder = tmp_path_factory.mktemp("home")
    days = sessions("XNYS", np.datetime64("2023-01-03"), np.datetime64("2025-06-30"))[:400]
    close = {
        name: 100 * np.exp(np.cumsum(0.01 * np.random.default_rng(seed).normal(size=400)))
        for seed, name in ((1, "AAA"), (2, "BBB"))
    }
    bars = [pd.DataFrame({"symbol": name, "date": days, "close": values}) for name, values in close.items()]
    table = pd.concat(bars, ignore_index=True).assign(volume=1e6)
    for name in ("open", "high", "low"):
        table[name] = table["close"]
    Ledger(folder / "data" / "ledger.sqlite").append(table, source="import")
    return folder


def settings_of(home, **routine):
    daily = {"model": "lstm", "baselines": "random-walk", "held_out": HELD, "warm_epochs": 1, "warm_rate": 1e-4}
    flags = {"home": str(home), "prices": {"source": "import"}, "network": NETWORK, "daily": {**daily, **routine}}
    return load_settings({**flags, "window": {"lookback": 20, "horizons": "1,5"}, "backtest": {"validation": 60}})


@pytest.fixture
def settings(home):
    return functools.partial(settings_of, home)


def done(tmp_path, settings, kind, champions=(), made=""):
    """The folder of a job, what it says of itself."""
    folder = tmp_path / f"{kind}-{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    work.do(Job.of(kind, "2024-08-06", settings, list(champions), made).plain(), folder)
    return folder, json.loads((folder / MADE).read_text())


@pytest.fixture(scope="module")
def first(home, tmp_path_factory):
    """A network trained from scratch: the id of its version."""
    return done(tmp_path_factory.mktemp("first"), settings_of(home), "train")[1]["version"]


def test_a_challenger_that_was_crowned_before_the_kill_is_forecast_once(tmp_path, settings, first):
    """Killed between the promotion and its note: the one made already is champion by now."""
    folder, made = done(tmp_path, settings(), "train", [first], made=first)
    assert (made["version"], made["champion"], made["served"]) == (first, first, {first: "lstm"})
    assert not pd.read_parquet(folder / LIVE).duplicated(["model", "symbol", "horizon"]).any()


def test_after_a_change_of_horizons_both_are_judged_on_those_they_share(tmp_path, settings, first):
    other = dataclasses.replace(settings().window, horizons=(1, 3))
    folder, made = done(tmp_path, settings().model_copy(update={"window": other}), "train", [first])
    assert set(pd.read_parquet(folder / HELD_OUT)["horizon"]) == {1}
    live = pd.read_parquet(folder / LIVE)
    assert set(live.loc[live["model"] == made["version"], "horizon"]) == {1, 3}


def test_a_challenger_goes_on_from_the_champion_and_neither_knows_what_is_held_out(tmp_path, settings, first):
    """A tiny learning rate leaves the weights almost where they were: they were taken over, not drawn anew."""
    folder, second = done(tmp_path, settings(), "train", [first])
    versions = [registry.find(settings().versions, one) for one in (first, second["version"])]
    assert [one.card["started_from"] for one in versions] == [None, first]
    weights = [registry.load(one).models[0].get_weights() for one in versions]
    moved = max(float(np.abs(a - b).max()) for a, b in zip(*weights, strict=True))
    assert 0 < moved < 5e-3
    told = pd.read_parquet(folder / HELD_OUT)
    assert set(told["model"]) == {first, second["version"], "random-walk"}
    assert told["origin"].nunique() == HELD
    assert all(told["origin"].min() >= pd.Timestamp(one.card["trained_to"]) for one in versions)
    live = pd.read_parquet(folder / LIVE)
    assert set(live["model"]) == {first, second["version"], "random-walk"}
    assert live["origin"].nunique() == 1


@pytest.mark.parametrize("other", [{"units": 5}, {"shape": "many-to-many"}], ids=str)
def test_another_network_begins_anew(tmp_path, settings, first, other):
    wider = settings().model_copy(update={"network": dataclasses.replace(settings().network, **other)})
    _, second = done(tmp_path, wider, "train", [first])
    assert registry.find(wider.versions, second["version"]).card["started_from"] is None


def test_a_challenger_made_by_an_interrupted_run_is_taken(tmp_path, settings):
    cheap = settings(model="ewma")
    _, first = done(tmp_path, cheap, "train")
    folder, again = done(tmp_path, cheap, "train", made=first["version"])
    assert again["version"] == first["version"]
    assert np.isfinite(pd.read_parquet(folder / LIVE)[list(QUANTILES)]).all().all()


def test_a_damaged_champion_gives_way_to_the_one_before_it(tmp_path, settings):
    cheap = settings(model="ewma")
    versions = [done(tmp_path, cheap, "train")[1]["version"] for _ in range(2)]
    (cheap.versions / versions[1] / "ewma.json").write_text("{}")
    _, said = done(tmp_path, cheap, "forecast", reversed(versions))
    assert list(said["served"]) == [versions[0]]
    assert versions[1] in said["refused"][0]


def test_a_version_without_the_market_it_learnt_from_has_that_said_of_it(tmp_path, settings, monkeypatch):
    monkeypatch.setattr("app.registry.serving.FEWEST", 2)
    cheap = settings(model="har-x")
    _, first = done(tmp_path, cheap, "train")
    assert first["warnings"] == {first["version"]: []}
    fewer = cheap.model_copy(update={"prices": dataclasses.replace(cheap.prices, symbols=("AAA",))})
    _, said = done(tmp_path, fewer, "forecast", [first["version"]])
    assert "2 symbols of XNYS, and 1 of it" in said["warnings"][first["version"]][0]


def test_too_little_history_is_said(tmp_path, settings):
    with pytest.raises(DataError, match=r"daily\.held_out keeps 900"):
        done(tmp_path, settings(model="ewma", held_out=900), "train")


def test_a_job_is_told_no_address(settings):
    told = Job.of("train", "2024-08-06", settings(notify_url="https://example.com/secret"), [])
    assert "secret" not in json.dumps(told.plain())
