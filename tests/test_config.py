"""Settings: who wins, what is refused, in which words."""

import pytest

from app.commands.work import shown
from app.config import load_settings
from app.errors import SettingsError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))
    return tmp_path


def test_defaults_are_those_of_the_stages(home):
    settings = load_settings()
    assert settings.window.lookback == 60
    assert settings.window.horizons == (1, 5, 20)
    assert settings.prices.source == "sample"
    assert settings.ledger == home / "data" / "ledger.sqlite"


def test_a_flag_wins_over_a_variable_over_the_file_over_the_default(home, monkeypatch):
    assert load_settings().network.epochs == 10
    (home / "settings.toml").write_text("[network]\nepochs = 4\nunits = 8\n")
    assert load_settings().network.epochs == 4
    monkeypatch.setenv("STOCK_NETWORK__EPOCHS", "5")
    assert load_settings().network.epochs == 5
    settings = load_settings({"network": {"epochs": "6"}})
    assert settings.network.epochs == 6
    assert settings.network.units == 8


def test_text_becomes_numbers_and_lists(home, monkeypatch):
    monkeypatch.setenv("STOCK_WINDOW__HORIZONS", "1, 3")
    monkeypatch.setenv("STOCK_SEED", "7")
    settings = load_settings({"models": "ewma,lstm", "prices": {"symbols": "A B", "source": "yahoo"}})
    assert settings.window.horizons == (1, 3)
    assert settings.seed == 7
    assert settings.models == ("ewma", "lstm")
    assert settings.prices.symbols == ("A", "B")


def test_a_list_may_be_written_as_in_the_settings_file(home):
    prices = {"symbols": "['BRK-B','^GSPC']", "source": "yahoo"}
    given = {"models": '["gru", "lstm:one-to-one"]', "window": {"horizons": "[1, 5]"}, "prices": prices}
    settings = load_settings(given)
    assert settings.models == ("gru", "lstm:one-to-one")
    assert settings.window.horizons == (1, 5)
    assert settings.prices.symbols == ("BRK-B", "^GSPC")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"network": {"epoch": 3}}, r"--set: unknown setting network.epoch; did you mean 'epochs'\?"),
        ({"networks": {"epochs": 3}}, r"--set: unknown setting 'networks'; did you mean 'network'\?"),
        ({"window": {"xyzzy": 3}}, r"unknown setting window.xyzzy; known are \['lookback', 'horizons'"),
        (
            {"network": {"xyzzy": 3}},
            r"network.xyzzy; the nearest are \['\w+', '\w+', '\w+'\], and `python -m app settings` lists all",
        ),
        ({"network": {"epochs": "many"}}, r"network.epochs: input should be a valid integer.*got 'many'"),
        ({"network": {"epochs": 0}}, "network.epochs must be 1 to 10000, got 0"),
        ({"network": 3}, "--set: network is a section, got 3"),
        ({"window": {"horizons": "1,x"}}, r"window.horizons.1: input should be a valid integer.*got 'x'"),
        ({"prices": {"source": "bloomberg"}}, "prices.source must be one of .*got 'bloomberg'"),
        ({"prices": {"start": "soon"}}, "prices.start must be a date such as 2014-01-31, got 'soon'"),
        ({"prices": {"start": "NaT"}}, "prices.start must be a date such as 2014-01-31, got 'NaT'"),
        ({"prices": {"start": "20140131"}}, "prices.start must be a date such as 2014-01-31, got '20140131'"),
        ({"prices": {"start": "2014-01-31", "stop": "2013-01-31"}}, "start 2014-01-31 is after prices.stop 2013-01-31"),
        ({"backtest": {"test_start": "2015-01-01", "test_stop": "2014-01-01"}}, "is after backtest.test_stop 2014"),
        ({"models": ""}, "models: none is named; `python -m app run --help` lists all"),
        (
            {"models": ["zebra"]},
            r"models: no 'zebra'; the nearest are \[.*\], and `python -m app run --help` lists all",
        ),
        ({"seed": "x"}, "seed: input should be a valid integer"),
        ({"seed": -5}, "^seed must be 0 to 2147483647, got -5"),
        ({"seed": 2**31 - 1, "network": {"seed": 1}}, "seed and network.seed must add up to 2147483647 at most"),
        ({"models": ["ltsm"]}, r"models: no 'ltsm'; did you mean 'lstm'\?"),
        ({"backtest": {"folds": 0}}, "backtest.folds must be 1 to 100000, got 0"),
        ({"reproduce": {"seeds": -1}}, "reproduce.seeds must be 0 to 100, got -1"),
        ({"network": {"learning_rate": "nan"}}, "network.learning_rate must be 1e-07 to 1.0, got nan"),
    ],
)
def test_what_is_not_allowed_is_said_in_one_line(home, flags, message):
    with pytest.raises(SettingsError, match=message) as refusal:
        load_settings(flags)
    assert "\n" not in str(refusal.value)


def test_a_mistake_in_the_file_names_the_file(home):
    (home / "settings.toml").write_text("[window]\nlookbak = 30\n")
    with pytest.raises(
        SettingsError, match=r"settings.toml: unknown setting window.lookbak; did you mean 'lookback'\?"
    ):
        load_settings()
    (home / "settings.toml").write_text("[window\n")
    with pytest.raises(SettingsError, match=r"settings.toml: not readable as TOML"):
        load_settings()


def test_a_mistake_in_a_variable_names_the_variable(home, monkeypatch):
    monkeypatch.setenv("STOCK_NETWORX__EPOCHS", "3")
    with pytest.raises(SettingsError, match="variable STOCK_NETWORX__EPOCHS: unknown section 'networx'"):
        load_settings()
    monkeypatch.delenv("STOCK_NETWORX__EPOCHS")
    monkeypatch.setenv("STOCK_NETWORK__EPOX", "3")
    with pytest.raises(SettingsError, match=r"unknown setting network\.epox"):
        load_settings()


@pytest.mark.parametrize("name", ["STOCK_PHOTOS", "STOCK_API_KEY", "STOCK_PORT", "STOCK_DATA_DIR", "STOCKS_SEED"])
def test_variables_of_other_programs_are_left_alone(home, monkeypatch, name):
    monkeypatch.setenv(name, "many")
    assert load_settings().seed == 0


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STOCK_MODLES", "STOCK_MODELS"),
        ("STOCK_SED", "STOCK_SEED"),
        ("STOCK_HOMEE", "STOCK_HOME"),
        ("STOCK_NETWORK_EPOCHS", "STOCK_NETWORK__EPOCHS"),
        ("STOCK_EPOCHS", "STOCK_NETWORK__EPOCHS"),
        ("stock_symbols", "STOCK_PRICES__SYMBOLS"),
    ],
)
def test_a_variable_that_is_nearly_one_of_ours_is_refused(home, monkeypatch, name, meant):
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=rf"variable {name} is no setting; did you mean {meant}\?.*env -u {name} "):
        load_settings()


def test_the_home_folder_is_not_set_in_a_file_that_lies_in_it(home, tmp_path):
    (home / "settings.toml").write_text('home = "elsewhere"\n')
    with pytest.raises(SettingsError, match=r"settings.toml: home cannot be set .* use STOCK_HOME"):
        load_settings()
    (home / "settings.toml").unlink()
    assert load_settings({"home": str(tmp_path / "flag")}).home == tmp_path / "flag"


def test_a_source_is_taken_whole_from_the_highest_that_names_one(home, monkeypatch):
    (home / "settings.toml").write_text('[prices]\nsource = "files"\npath = "mine.csv"\noffline = true\n')
    assert load_settings().prices.path == "mine.csv"
    chosen = load_settings({"prices": {"source": "sample"}}).prices
    assert (chosen.source, chosen.path, chosen.offline) == ("sample", "", True)
    monkeypatch.setenv("STOCK_PRICES__SOURCE", "import")
    assert (load_settings().prices.source, load_settings().prices.path) == ("import", "")
    chosen = load_settings({"prices": {"path": "other.csv"}}).prices
    assert (chosen.source, chosen.path) == ("files", "other.csv")


def test_a_secret_is_not_shown(home):
    settings = load_settings({"daily": {"notify_url": "https://example.org/hook-4711"}})
    assert settings.daily.notify_url == "https://example.org/hook-4711"
    assert "4711" not in str(shown(settings))
    assert shown(settings)["network"]["epochs"] == 10


@pytest.mark.parametrize("text", ["ewma,lstm", "ewma lstm", '["ewma", "lstm"]'])
def test_a_variable_takes_a_list_as_a_flag_does(home, monkeypatch, text):
    monkeypatch.setenv("STOCK_MODELS", text)
    assert load_settings().models == ("ewma", "lstm")


def test_settings_cannot_be_changed_afterwards(home):
    with pytest.raises(Exception, match="frozen"):
        load_settings().seed = 3
