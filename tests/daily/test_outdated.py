"""After an upgrade: a champion that was trained on other features gives way, and no day goes without a forecast."""

import pytest

from app import registry
from app.daily import work
from app.daily.status import status
from app.daily.steps import Tools
from app.evaluation.gate import Decision
from tests.registry.saved import resealed

SESSIONS = 200
JOBS = Tools(work=lambda job, folder, bounds: work.do(job, folder))


@pytest.fixture
def upgraded(home):
    """(a home whose champion knows other features than there are now, its id), a training not being due."""
    home.flags = {"every": 50}
    home.live_to(SESSIONS)
    first = home.start(JOBS).result["champion"]
    old = registry.find(home.settings.versions, first)
    resealed(old, "ewma.json", (old.folder / "ewma.json").read_bytes(), features=["return_over_volatility"])
    home.live_to(SESSIONS + 1)
    return home, first


def said_by(home):
    """The models that forecast the newest session."""
    table = home.journal.forecasts()
    return set(table.loc[table["origin"] == table["origin"].max(), "model"])


def test_it_is_an_alarm_before_anything_is_started(upgraded):
    home, first = upgraded
    assert status(home.settings).alarms == [
        f"the champion cannot serve: {first} was trained on other features. Train again: `python -m app train`; "
        "the next `daily` does."
    ]


def test_a_version_is_trained_anew_comes_into_service_and_forecasts(upgraded):
    home, first = upgraded
    done = home.start(JOBS)
    assert done.failure is None
    assert any(f"{first} was trained on other features" in line for line in done.lines)
    assert done.result["champion"] not in (first, None)
    assert said_by(home) == {"ewma", "random-walk"}
    assert status(home.settings).alarms == []
    card = registry.find(home.settings.versions, done.result["champion"]).card
    assert card["started_from"] is None


def test_where_the_new_one_is_not_let_in_the_baselines_forecast_and_the_day_is_done(upgraded, monkeypatch):
    home, first = upgraded
    no = Decision(False, "it is nonsense", None, None, 60, 2)
    monkeypatch.setattr("app.daily.steps.decide", lambda *given, **named: no)
    for day in (1, 2):
        home.live_to(SESSIONS + day)
        done = home.start(JOBS)
        assert done.failure is None
        assert any("with the baselines alone, until a version trained anew" in line for line in done.lines)
        assert said_by(home) == {"random-walk"}
        assert home.start(JOBS).result["did"] == "nothing"
    assert home.journal.champion().version == first


def test_a_champion_of_these_features_is_not_trained_anew_before_its_time(home):
    home.flags = {"every": 50}
    home.live_to(SESSIONS)
    home.start(JOBS)
    home.live_to(SESSIONS + 1)
    done = home.start(JOBS)
    assert "promoted" not in done.result
    assert "outdated" not in done.result


def test_a_challenger_that_an_interrupted_run_of_before_left_is_not_taken_for_this_ones(upgraded):
    home, first = upgraded
    old = registry.find(home.settings.versions, first)
    resealed(old, "ewma.json", (old.folder / "ewma.json").read_bytes(), session=home.live_to(SESSIONS + 1))
    assert home.start(JOBS).failure is None
    assert said_by(home) == {"ewma", "random-walk"}


def test_a_damaged_champion_whose_forerunner_is_outdated_is_trained_anew(upgraded):
    home, first = upgraded
    home.live_to(SESSIONS + 1)
    second = home.start(JOBS).result["champion"]
    (home.settings.versions / second / "card.json").write_text("{", encoding="utf-8")
    home.live_to(SESSIONS + 2)
    done = home.start(JOBS)
    assert any(f"{first} was trained on other features" in line for line in done.lines)
    assert done.result["champion"] not in (first, second)
    assert f"forecast 2 symbol(s) with {done.result['champion']}" in done.lines
