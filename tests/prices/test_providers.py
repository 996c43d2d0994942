"""Another provider is one module with a `Source` and one line in the table of providers."""

import importlib
import json

import numpy as np
import pandas as pd
import pytest

from app import cli, config, grammar, pipeline
from app.cli import main
from app.prices import providers
from app.prices.calendar import sessions


class Elsewhere:
    """Who tells prices that go up by one a session."""

    name = "elsewhere"
    version = "elsewhere 1"

    def __init__(self, **asked):
        self.asked = asked

    def now(self):
        return pd.Timestamp("2024-05-01", tz="UTC")

    def symbols(self):
        return ()

    def history(self, symbol, start=None, stop=None):
        days = sessions("XNYS", start or np.datetime64("2024-01-02"), np.datetime64("2024-04-30"))
        close = 100.0 + np.arange(len(days))
        return pd.DataFrame({"symbol": symbol, "date": days.astype("datetime64[ns]"), "close": close})


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.setitem(providers.PROVIDERS, "elsewhere", f"{__name__}:Elsewhere")
    monkeypatch.setattr(config, "SOURCES", (*config.SOURCES, "elsewhere"))
    monkeypatch.setattr(pipeline, "FIRST", {**pipeline.FIRST, "elsewhere": "fetch --source elsewhere"})
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))


def test_prices_of_another_provider_are_fetched_stored_and_shown(elsewhere, capsys):
    assert main(["fetch", "--source", "elsewhere", "--symbols", "acme", "--json"]) == 0
    fetched = json.loads(capsys.readouterr().out)["fetched"]
    assert [(one["symbol"], one["outcome"], one["new"]) for one in fetched] == [("ACME", "ok", 83)]
    assert main(["prices", "show", "--source", "elsewhere", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prices"][-1]["date"] == "2024-04-30"


def test_every_provider_can_be_made_with_what_the_settings_say():
    settings = config.load_settings({"fetch": {"tries": 2}})
    for name, place in providers.PROVIDERS.items():
        made = providers.provider(name, settings.fetch, "XLON")
        assert type(made) is getattr(importlib.import_module(place.split(":")[0]), place.split(":")[1])
        assert (made.name, made.tries, made.calendar) == (name, 2, "XLON")


def test_the_names_on_the_command_line_are_those_of_the_table(elsewhere):
    assert grammar.PROVIDERS is providers.PROVIDERS
    assert cli.USUAL in providers.PROVIDERS
