"""The command line: what a person types, what comes out, and one clear line when it is wrong."""

import errno
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.cli import main
from app.config import load_settings
from app.forecasters.recipe import Network

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty STOCK_HOME."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("STOCK_HOME", str(folder))
    return folder


@pytest.fixture
def file(prices, tmp_path):
    """Two symbols of 300 sessions in one tidy CSV file."""
    path = tmp_path / "prices.csv"
    prices[["symbol", "date", "open", "high", "low", "close", "volume"]].to_csv(path, index=False)
    return str(path)


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


QUICK = "--lookback 10 --horizons 1 5 --set backtest.validation=30 --set backtest.folds=1 --quiet".split()


def test_help_loads_neither_tensorflow_nor_pandas():
    code = (
        "import sys; from app.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('tensorflow', 'keras', 'pandas', 'pydantic', 'sklearn') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip().endswith("[]")
    for command in ("run", "fetch", "backtest", "train", "forecast", "report", "prices", "doctor"):
        assert command in answer.stdout


@pytest.mark.parametrize("command", ["run", "fetch", "backtest", "train", "forecast", "report", "prices", "doctor"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert "usage: python -m app" in capsys.readouterr().out


def test_commands_that_do_not_train_leave_tensorflow_alone(home, file):
    code = (
        "import sys; from app.cli import main\n"
        f"assert main(['backtest', '--prices', {file!r}, '--models', 'random-walk', 'ewma', *{QUICK}]) == 0\n"
        f"assert main(['prices', 'check', {file!r}, '--quiet']) == 0\n"
        "print([name for name in ('tensorflow', 'keras', 'jax') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip().endswith("[]")


def test_a_look_at_prices_loads_no_library_of_a_model(home, file):
    code = (
        "import sys; from app.cli import main\n"
        f"assert main(['prices', 'check', {file!r}, '--quiet']) == 0\n"
        "slow = ('keras', 'sklearn', 'skops', 'arch', 'scipy.signal', 'scipy.stats')\n"
        "print([name for name in slow if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip().endswith("[]")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "required: COMMAND"),
        (["fly"], 2, "invalid choice: 'fly'"),
        (["backtest", "--lookbak", "3"], 2, "unrecognized arguments: --lookbak 3"),
        (["bactest"], 2, "invalid choice: 'bactest'; did you mean 'backtest'?"),
        (["fetch", "--out", "results"], 2, "unrecognized arguments: --out results"),
        (["train", "--out", "results"], 2, "unrecognized arguments: --out results"),
        (["train", "--seed", "-5", "--prices", "FILE"], 2, "seed must be 0 to 2147483647, got -5"),
        (["reproduce", "acl18", "--seeds", "1000"], 2, "reproduce.seeds must be 0 to 100, got 1000"),
        (["backtest", "--models", "ltsm"], 2, "no 'ltsm'; did you mean 'lstm'?"),
        (["backtest", "--set", "network.epoch=3"], 2, "unknown setting network.epoch; did you mean 'epochs'?"),
        (["backtest", "--set", "network.units=0"], 2, "network.units must be 1 to 4096, got 0"),
        (["backtest", "--models", "clockwork-rnn", "--set", "network.units=18"], 2, "must be a multiple of 4"),
        (["backtest", "--set", "network.shape=many"], 2, "network.shape must be one of"),
        (
            ["backtest", "--models", "lstm", "mlp", "--set", "network.shape=many-to-many"],
            2,
            "network.shape 'many-to-many' has no meaning for 'mlp': it has no recurrence to unroll over the horizons",
        ),
        (
            ["backtest", "--models", "lstm:many"],
            2,
            "'lstm:many' has a shape that is none; those of 'lstm' are [",
        ),
        (["backtest", "--models", "transformer:one-to-one"], 2, "has no meaning: all attention goes to the only row."),
        (["train", "--models", "garch:one-to-one"], 2, "'garch:one-to-one' has a shape, and 'garch' is no network."),
        (["train", "--models", "ltsm:one-to-one"], 2, "no 'ltsm'; did you mean 'lstm'?"),
        (["train", "--set", "network.cell=gru"], 2, "the model's name says it: --models lstm gru"),
        (["backtest", "--set", "garch.asymmetric=true"], 2, "the model's name says it: --models garch gjr-garch"),
        (["backtest", "--set", "epochs"], 2, "--set takes KEY=VALUE such as network.epochs=3, got 'epochs'"),
        (["backtest", "--lookback", "0"], 2, "window.lookback must be 1 to 2000 sessions, got 0"),
        (["backtest", "--horizons", "5", "1"], 2, "window.horizons must rise"),
        (["backtest", "--horizons", "one"], 2, "got 'one'"),
        (["backtest", "--start", "soon"], 2, "prices.start must be a date such as 2014-01-31, got 'soon'"),
        (["backtest", "--test-start", "2014-13-01"], 2, "backtest.test_start must be a date"),
        (["backtest", "--prices", "FILE", "--symbols", "NOPE"], 2, "NOPE"),
        (["backtest", "--source", "sample", "--symbols", "AAPL"], 2, "AAPL"),
        (["backtest", "--symbols", "../../etc/passwd"], 2, "symbol '../../etc/passwd' is not allowed"),
        (["backtest", "--prices", "nowhere.csv"], 2, "nowhere.csv"),
        (["backtest", "--prices", "FILE", "--source", "sample"], 2, "exclude each other"),
        (["backtest", "--prices", "FILE", "--lookback", "290"], 4, "300 sessions, but window.lookback 290"),
        (["backtest", "--prices", "FILE", "--test-start", "2030-01-01"], 4, "test_start 2030-01-01"),
        (["backtest", "--prices", "FILE", "--start", "2040-01-01"], 4, "no sound row"),
        (["backtest", "--prices", "EMPTY"], 4, "empty"),
        (["backtest", "--prices", "NOCLOSE"], 4, "close"),
        (["backtest", "--prices", "FILE", "--out", "FILE/results"], 9, "cannot be written"),
        (
            ["forecast", "--prices", "FILE", "--models", "ewma"],
            2,
            "no saved ewma yet: run `python -m app train --models ewma` first",
        ),
        (["train", "--source", "import"], 2, "nothing from 'import' yet: run `python -m app prices import PATH` first"),
        (["train", "--source", "yahoo", "--offline"], 2, "yet: run `python -m app fetch --symbols AAPL MSFT` first"),
        (["train", "--symbols", "XOM", "--offline"], 2, "yet: run `python -m app fetch --symbols XOM` first"),
        (["report"], 4, "run `python -m app run` first"),
        (["report", "."], 2, "holds no findings of a run"),
        (["prices", "check", "FILE", "--start", "2040-01-01"], 4, "there is nothing to check"),
        (["prices", "import"], 2, "prices import needs a path"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_clear_line_with_its_exit_code_and_changes_nothing(
    arguments, code, words, home, file, tmp_path, capsys
):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "noclose.csv").write_text("symbol,date,open\nA,2024-01-02,1\n")
    places = {
        "FILE": file,
        "FILE/results": f"{file}/results",
        "EMPTY": str(tmp_path / "empty.csv"),
        "NOCLOSE": str(tmp_path / "noclose.csv"),
    }
    given = [places.get(word, word) for word in arguments]
    before = everything_in(home)
    assert main([*given, "--quiet"] if given else []) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert words in printed.err
    assert everything_in(home) == before
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ([], "files"),
        (["--source", "sample"], "sample"),
        (["--symbols", "AAPL"], "yahoo"),
        (["--symbols", "UP", "--set", "prices.source=import"], "import"),
        (["--prices", "other.csv", "--symbols", "UP"], "files"),
    ],
)
def test_a_flag_wins_over_files_named_by_a_variable(arguments, source, home, monkeypatch, capsys):
    monkeypatch.setenv("STOCK_PRICES__SOURCE", "files")
    monkeypatch.setenv("STOCK_PRICES__PATH", "mine.csv")
    assert main(["settings", "--json", *arguments]) == 0
    prices = json.loads(capsys.readouterr().out)["prices"]
    assert prices["source"] == source
    assert bool(prices["path"]) == (source == "files")


def test_settings_lists_every_one_as_it_is_set(home, capsys):
    assert main(["settings", "--lookback", "30"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "window.lookback = 30" in lines
    assert f'home = "{home}"' in lines
    assert [line.partition(" = ")[0] for line in lines if line.startswith("network.")] == [
        f"network.{field.name}" for field in fields(Network)
    ]


def test_help_states_the_defaults_as_they_are(home, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    settings = load_settings()
    assert f"(default {' '.join(settings.models)})" in text
    assert f"(default: the last {settings.backtest.folds * settings.backtest.refit} sessions)" in text
    assert f"sessions ahead (default {' '.join(map(str, settings.window.horizons))})" in text
    assert f"sessions a model sees (default {settings.window.lookback})" in text
    assert f"seed of everything random (default {settings.seed})" in text


def test_an_unknown_symbol_leaves_the_ledger_as_it_was(home, capsys):
    assert main(["fetch", "--source", "sample", "--quiet"]) == 0
    before = everything_in(home)
    assert main(["fetch", "--source", "sample", "--symbols", "AAPL", "--quiet"]) == 2
    assert everything_in(home) == before


def test_backtest_writes_the_table_the_scores_and_a_verdict_that_agree(home, file, tmp_path, capsys):
    out = tmp_path / "results"
    models = ["--models", "random-walk", "ewma"]
    assert main(["backtest", "--prices", file, *models, "--out", str(out), "--json", *QUICK]) == 0
    answer = json.loads(capsys.readouterr().out)
    table = pd.read_parquet(out / "forecasts.parquet")
    scores = pd.read_csv(out / "scores.csv")
    verdicts = json.loads((out / "verdict.json").read_text())["verdicts"]
    assert answer["verdicts"] == verdicts
    levels = np.round(np.arange(1, 20) * 0.05, 2)
    known = table.dropna(subset="actual")
    error = known["actual"].to_numpy()[:, None] - known[[f"q{level:.2f}" for level in levels]].to_numpy("float64")
    known = known.assign(crps=2 * np.maximum(levels * error, (levels - 1) * error).mean(axis=1))
    for row in scores.itertuples():
        mine = known[(known["model"] == row.model) & (known["horizon"] == row.horizon)]
        assert row.crps == pytest.approx(mine["crps"].mean())
        assert row.n == len(mine)
    days = known.groupby(["model", "horizon", "origin"])["crps"].mean().groupby(["model", "horizon"]).mean()
    for verdict in verdicts:
        if verdict["metric"] == "crps":
            ratio = days[verdict["model"], verdict["horizon"]] / days[verdict["reference"], verdict["horizon"]]
            assert verdict["difference"] == pytest.approx(ratio - 1)
    sheets = {path.stem: pd.read_csv(path) for path in out.glob("*.csv")}
    assert set(sheets) == {"scores", "calibration", "pit", "comparison", "superiority", "direction"}
    whole = sheets["calibration"].query("volatility == 'all' and nominal == 0.9")
    assert whole["reached"].tolist() == pytest.approx(scores["coverage_90"].tolist())


def test_train_then_forecast_in_prices(home, file, capsys):
    assert main(["train", "--prices", file, "--models", "ewma", *QUICK]) == 0
    assert main(["forecast", "--prices", file, "--models", "ewma", "--json", "--quiet"]) == 0
    rows = json.loads(capsys.readouterr().out.split("\n", 1)[1])["forecasts"]
    assert {row["symbol"] for row in rows} == {"UP", "NOISE"}
    up = next(row for row in rows if row["symbol"] == "UP" and row["horizon"] == 1)
    assert up["origin_close"] == 399
    assert up["date"] > up["origin"]
    assert list((home / "data" / "forecasts").glob("*.parquet"))


def test_a_forecast_of_other_horizons_than_were_trained_is_refused(home, file, capsys):
    assert main(["train", "--prices", file, "--models", "ewma", *QUICK]) == 0
    given = ["forecast", "--prices", file, "--models", "ewma", "--quiet"]
    assert main([*given, "--horizons", "1", "5", "--lookback", "10"]) == 0
    capsys.readouterr()
    assert main([*given, "--horizons", "1", "3"]) == 2
    printed = capsys.readouterr()
    assert "was trained with window.horizons (1, 5), asked for (1, 3). Leave it out, or train again" in printed.err
    assert printed.out == ""
    assert main([*given, "--lookback", "20"]) == 2
    assert "window.lookback 10, asked for 20" in capsys.readouterr().err


def test_a_version_without_the_market_it_learnt_from_says_so_once(home, file, capsys, monkeypatch):
    monkeypatch.setattr("app.registry.serving.FEWEST", 2)
    assert main(["train", "--prices", file, "--models", "har-x", *QUICK]) == 0
    capsys.readouterr()
    asked = ["forecast", "--prices", file, "--models", "har-x", "--json", "--quiet"]
    assert main([*asked, "--symbols", "UP"]) == 0
    printed = capsys.readouterr()
    (warning,) = json.loads(printed.out)["warnings"]
    assert (
        "learnt from the market of 2 symbols of XNYS, and 1 of it are at hand: fewer than 2 make no market" in warning
    )
    assert printed.err.count(warning) == len(printed.err.splitlines()) == 1
    assert main(asked) == 0
    printed = capsys.readouterr()
    assert (json.loads(printed.out)["warnings"], printed.err) == ([], "")


def test_a_model_of_other_prices_says_so_and_forecasts(home, file, capsys):
    assert main(["train", "--prices", file, "--models", "ewma", *QUICK]) == 0
    assert main(["prices", "import", file, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["forecast", "--prices", file, "--models", "ewma", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["forecast", "--source", "import", "--models", "ewma", "--quiet"]) == 0
    assert "was trained on prices from 'files', not from 'import'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("models", "said"),
    [
        (["ewma"], "no verdict: ewma ran alone. At h = 1 its CRPS is 0."),
        (["garch", "ewma"], "ewma does not beat garch at h = 1|ewma beats garch|ewma is worse than garch"),
        (["random-walk", "gjr-garch"], "gjr-garch .* the random walk at h = 1"),
    ],
)
def test_something_is_said_of_whatever_was_run(models, said, home, file, capsys, undrawn):
    assert main(["run", "--prices", file, "--models", *models, *QUICK]) == 0
    assert re.search(said, capsys.readouterr().out)


def test_reports_of_two_files_that_end_alike_lie_side_by_side(home, file, tmp_path, capsys, undrawn):
    other = tmp_path / "other prices.csv"
    other.write_bytes(Path(file).read_bytes())
    for path in (file, str(other)):
        assert main(["run", "--prices", path, "--models", "random-walk", "ewma", *QUICK]) == 0
    for kind in ("reports", "forecasts"):
        found = sorted(path.stem for path in (home / "data" / kind).iterdir())
        day = found[0].removeprefix("files-other-prices-")
        assert found == [f"files-other-prices-{day}", f"files-prices-{day}"]


def test_a_second_back_test_replaces_the_first_and_spares_what_is_not_its_own(home, file, tmp_path, capsys):
    out = tmp_path / "results"
    given = ["backtest", "--prices", file, "--out", str(out), *QUICK]
    assert main([*given, "--models", "random-walk", "ewma"]) == 0
    (out / "notes.txt").write_text("mine")
    assert main([*given, "--models", "random-walk"]) == 0
    assert set(pd.read_csv(out / "scores.csv")["model"]) == {"random-walk"}
    assert (out / "notes.txt").read_text() == "mine"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "scores.csv").write_text("mine")
    capsys.readouterr()
    assert main(["backtest", "--prices", "nowhere.csv", "--out", str(tmp_path / "mine"), "--quiet"]) == 2
    assert "holds 'scores.csv', which no run wrote: name another folder" in capsys.readouterr().err
    assert (tmp_path / "mine" / "scores.csv").read_text() == "mine"


@pytest.mark.parametrize("name", ["shown.csv", "shown.parquet", "folder"])
def test_prices_shown_into_a_file_can_be_imported_as_they_are(name, home, file, tmp_path, capsys):
    assert main(["prices", "import", file, "--quiet"]) == 0
    place = tmp_path / name
    assert main(["prices", "show", "--source", "import", "--out", str(place), "--quiet"]) == 0
    capsys.readouterr()
    assert main(["prices", "import", str(place), "--quiet"]) == 0
    assert "2 symbols: 0 new rows, 0 revised, 600 known already" in capsys.readouterr().out


def test_imported_prices_can_be_shown_and_used(home, file, capsys):
    assert main(["prices", "import", file, "--quiet"]) == 0
    assert "2 symbols: 600 new rows" in capsys.readouterr().out
    assert main(["prices", "import", file, "--quiet"]) == 0
    assert "0 new rows" in capsys.readouterr().out
    show = "prices show --source import --symbols UP --start 2024-01-02 --end 2024-01-04 --json --quiet"
    assert main(show.split()) == 0
    rows = json.loads(capsys.readouterr().out)["prices"]
    assert [row["close"] for row in rows] == [101, 102, 103]
    assert main(["backtest", "--source", "import", "--symbols", "UP", "--models", "random-walk", "ewma", *QUICK]) == 0


def test_check_lists_issues_by_rule(home, prices, tmp_path, capsys):
    bad = prices.copy()
    bad.loc[10, "close"] = -1.0
    path = tmp_path / "bad.csv"
    bad.to_csv(path, index=False)
    assert main(["prices", "check", str(path), "--json", "--quiet"]) == 0
    issues = json.loads(capsys.readouterr().out)["issues"]
    found = [issue for issue in issues if issue["severity"] == "error"]
    assert [(issue["symbol"], issue["date"]) for issue in found] == [("UP", str(bad["date"][10].date()))]
    assert set(found[0]) == {"symbol", "date", "rule", "severity", "detail"}
    assert main(["prices", "check", str(path), "--out", str(tmp_path / "found"), "--quiet"]) == 0
    table = pd.read_csv(tmp_path / "found" / "issues.csv")
    assert table[["symbol", "date", "rule"]].to_dict("records") == [
        {name: issue[name] for name in ("symbol", "date", "rule")} for issue in issues
    ]


def test_an_unexpected_fault_is_one_line_unless_debugging(home, monkeypatch, capsys):
    def breaks(settings, options):
        raise RuntimeError("the spring\nis broken")

    monkeypatch.setattr("app.commands.work.doctor", breaks)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().err == "error: unexpected RuntimeError: the spring. Run again with --debug.\n"
    assert main(["doctor", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EIO, errno.ENOSPC, errno.EACCES])
def test_an_error_of_the_system_is_one_line_and_json_stays_empty(number, home, monkeypatch, capsys):
    def breaks(settings, options):
        raise OSError(number, os.strerror(number), "/some/file")

    monkeypatch.setattr("app.commands.work.doctor", breaks)
    assert main(["doctor", "--json"]) == (9 if number in (errno.ENOSPC, errno.EACCES) else 1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "/some/file" in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_an_answer_that_the_disk_cannot_take_is_one_line_too(home):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "app", "settings", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 9
    assert done.stderr.startswith("error: stdout: the disk is full")
    assert done.stderr.count("\n") == 1


def test_looking_at_the_sample_stores_nothing(home, capsys):
    assert main(["prices", "check", "--quiet"]) == 0
    assert main(["prices", "show", "--end", "1999-02-01", "--quiet"]) == 0
    assert list(home.iterdir()) == []


def test_forecasts_of_other_symbols_stay_published(home, file, capsys):
    assert main(["train", "--prices", file, "--models", "ewma", *QUICK]) == 0
    for symbol in ("UP", "NOISE"):
        assert main(["forecast", "--prices", file, "--symbols", symbol, "--models", "ewma", "--quiet"]) == 0
    (published,) = (home / "data" / "forecasts").glob("*.parquet")
    assert set(pd.read_parquet(published)["symbol"]) == {"UP", "NOISE"}


def test_doctor_answers_before_anything_was_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STOCK_HOME", str(tmp_path / "not" / "yet"))
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["writable"] is True


def test_doctor_says_where_data_live_and_what_runs(home, capsys):
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["home"] == str(home)
    assert facts["versions"]["keras"].startswith("3.")
    assert facts["backend"] in ("tensorflow", "jax")
    assert "gru yes" in facts["cudnn"]
