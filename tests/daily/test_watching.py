"""What somebody sees of the daily run: status, metrics, log lines, and what is sent when something happens."""

import dataclasses
import http.server
import json
import logging
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest

from app.cli import main
from app.config import PriceSettings, load_settings
from app.daily.day import daily, metrics_path
from app.daily.logs import logged
from app.daily.metrics import write_metrics
from app.daily.notify import Event, send, send_once
from app.daily.page import page_folder
from app.daily.status import status, text
from app.daily.steps import Tools
from app.errors import DamageError, SettingsError, SourceError, TrainingError
from app.prices.store import Ledger

CATCH = "import sys, json; open({path!r}, 'a').write(json.dumps([sys.argv[1:], json.load(sys.stdin)]) + '\\n')"


@pytest.fixture
def hook(tmp_path):
    """(the command of a hook, what it was given so far)."""
    path = tmp_path / "told.jsonl"
    script = tmp_path / "hook.py"
    script.write_text(CATCH.format(path=str(path)))
    return f"{sys.executable} {script}", lambda: [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def web():
    """A web hook on this machine: (its address, what was posted)."""
    posted = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if "mute" in self.path:
                self.wfile.write(b"what?\r\n\r\n")
                return
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *_):
            """Quiet."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", posted
    server.shutdown()


def test_a_failure_and_a_promotion_are_told_to_the_command_once_a_session(home, hook):
    command, told = hook
    home.flags = {"notify_command": command}
    home.start()
    home.live_to(1)
    home.failing = TrainingError("training: its process was killed by signal 9.")
    day = home.start()
    (first, told_first), (second, told_second) = told()
    assert told_first["kind"] == "promotion"
    assert first == [told_first["message"]]
    assert (told_second["kind"], told_second["session"]) == ("failure", day.session)
    assert "killed by signal 9" in second[0]


def test_the_same_is_told_once_a_session(home, hook):
    command, told = hook
    home.flags = {"notify_command": command}
    run = home.journal.begin("here", "daily", "1")
    for session in ("2024-01-02", "2024-01-02", "2024-01-03"):
        send_once(home.settings, home.journal, lambda: run, Event("stale", session, "STALE: as before"))
    assert [body["session"] for _, body in told()] == ["2024-01-02", "2024-01-03"]


def test_what_fails_before_a_session_is_known_is_told_once_a_day_and_again_on_the_next(home, hook):
    command, told = hook
    home.flags = {"notify_command": command}
    home.start()
    settings = home.settings.model_copy(
        update={"window": dataclasses.replace(home.settings.window, target="volatility")}
    )
    for day in ("2024-05-13 08:00", "2024-05-13 09:00", "2024-05-14 08:00"):
        moment = pd.Timestamp(day, tz="UTC")
        with pytest.raises(SettingsError):
            daily(settings, dataclasses.replace(home.tools, now=lambda moment=moment: moment))
    failures = [body["session"] for _, body in told() if body["kind"] == "failure"]
    assert failures == ["2024-05-13", "2024-05-14"]


def test_starts_with_nothing_to_do_tell_of_a_damaged_champion_once(home, hook):
    command, told = hook
    home.flags = {"notify_command": command, "notify_on": "drift"}
    home.start()
    (home.settings.versions / home.journal.champion().version / "random-walk.json").write_text("{}")
    for _ in range(3):
        assert home.start().result["did"] == "nothing"
    assert [body["kind"] for _, body in told()] == ["drift"]


def test_when_the_state_cannot_be_read_the_exit_code_is_still_in_the_metrics(home, monkeypatch):
    home.start()
    home.live_to(1)
    monkeypatch.setattr("app.daily.day.status", _damaged)
    home.failing = TrainingError("training: no finite model.")
    assert home.start().failure.exit_code == 6
    figures = metrics_path(home.settings).read_text()
    assert 'stock_last_run_exit_code{source="import"} 6' in figures
    assert "stock_champion{" not in figures


def _damaged(*_):
    raise DamageError("the ledger is damaged")


def test_an_event_that_is_not_wanted_is_not_told(home, hook):
    home.flags = {"notify_command": hook[0], "notify_on": "failure"}
    assert send(home.settings, Event("promotion", "2024-01-02", "better"))
    with pytest.raises(FileNotFoundError):
        hook[1]()


def test_the_address_is_posted_json_and_a_failing_one_fails_nothing_and_is_not_logged(home, web, caplog):
    address, posted = web
    home.flags = {"notify_url": f"{address}/key-1234"}
    assert send(home.settings, Event("failure", "2024-01-02", "no answer"))
    assert posted == [{"kind": "failure", "session": "2024-01-02", "message": "no answer", "text": "no answer"}]
    for broken in (
        f"{address}/broken-key-1234", "http://127.0.0.1:9/key-1234", f"{address}/mute-key-1234", f"{address}/a key-1234"
    ):  # fmt: skip
        home.flags = {"notify_url": broken}
        assert not send(home.settings, Event("failure", "2024-01-02", "no answer"))
    assert "notify_url failed" in caplog.text
    assert "key-1234" not in caplog.text


def test_a_command_that_fails_or_is_not_there_fails_nothing(home):
    for command in ("/nowhere/hook", f"{sys.executable} -c 'import sys; sys.exit(3)'", "'"):
        home.flags = {"notify_command": command}
        assert not send(home.settings, Event("failure", "2024-01-02", "no answer"))


def test_no_address_and_no_home_folder_is_logged(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    logging.getLogger("app").setLevel(logging.INFO)
    with logged(tmp_path, {"command": "daily"}):
        logging.getLogger("app.x").info(
            "to %s, in %s", "https://hooks.example.com/T0/secret?key=1", "/home/somebody/data"
        )
    (line,) = [json.loads(line) for path in (tmp_path / "logs").iterdir() for line in path.read_text().splitlines()]
    assert (line["says"], line["level"], line["command"]) == ("to <address>, in ~/data", "info", "daily")


def test_every_line_says_at_which_session_and_stage_the_run_was(home, tmp_path):
    logging.getLogger("app").setLevel(logging.INFO)
    with logged(tmp_path, {"command": "daily"}):
        day = home.start()
    lines = [json.loads(line) for path in (tmp_path / "logs").iterdir() for line in path.read_text().splitlines()]
    said = {line["says"].split(" ")[0]: line for line in lines}
    assert {line["session"] for line in lines} == {day.session}
    assert {line["run"] for line in lines} == {day.run}
    assert [said[word]["stage"] for word in ("0", "promoted:", "forecast")] == ["fetch", "train", "forecast"]
    with logged(tmp_path / "next", {}):
        logging.getLogger("app").info("later")
    assert "session" not in json.loads(next((tmp_path / "next" / "logs").iterdir()).read_text())


def test_the_error_that_ends_a_start_is_in_the_log(tmp_path):
    with pytest.raises(TrainingError), logged(tmp_path, {}):
        raise TrainingError("no finite loss")
    with logged(tmp_path, {}) as note:
        note(TrainingError("another"))
    (path,) = (tmp_path / "logs").iterdir()
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["level"], line["says"]) for line in said] == [
        ("error", "TrainingError: no finite loss"), ("error", "TrainingError: another")
    ]  # fmt: skip


def test_status_of_nothing_is_stale_and_not_all_right(home):
    found = status(home.settings)
    assert found.stale.startswith("STALE: nothing has been forecast yet")
    assert "none yet" in text(found)


def test_status_says_who_forecast_what_and_until_when(home):
    day = home.start()
    found = status(home.settings)
    plain = found.plain()
    assert (plain["newest_forecast"], plain["age_sessions"], plain["stale"]) == (day.session, 0, None)
    assert plain["champion"]["version"] == day.result["champion"]
    assert plain["sessions"] == {"done": 1, "skipped": 0}
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_status_of_imported_prices_does_not_say_that_they_are_up_to_the_market(home):
    home.start()
    shown = text(status(home.settings))
    assert "these prices end when they end and are never called stale" in shown
    assert "behind" not in shown


def test_status_of_a_symbol_never_forecast_is_stale(home):
    home.start()
    settings = home.settings.model_copy(update={"prices": load_settings({"prices": {"symbols": "AAA,ZZZ"}}).prices})
    settings = settings.model_copy(update={"prices": type(settings.prices)(source="import", symbols=("AAA", "ZZZ"))})
    assert "such as ZZZ" in status(settings).stale


def test_a_damaged_champion_is_an_alarm(home):
    home.start()
    folder = home.settings.versions / home.journal.champion().version
    (folder / "random-walk.json").write_text("{}")
    assert "the champion cannot serve" in status(home.settings).alarms[0]


def test_the_metrics_are_prometheus_text(home):
    home.start()
    figures = {}
    for line in metrics_path(home.settings).read_text().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            assert name.split("{")[0].isidentifier()
            figures[name.split("{")[0]] = float(value)
    assert (figures["stock_last_run_exit_code"], figures["stock_forecast_stale"], figures["stock_champion"]) == (
        0,
        0,
        1,
    )
    assert figures["stock_disk_bytes"] > 0


def test_the_metrics_of_a_forecast_on_a_market_say_until_when_it_is_fresh(home, tmp_path):
    home.start()
    yahoo = type(home.settings.prices)(source="yahoo", symbols=("AAA", "BBB"))
    settings = home.settings.model_copy(update={"prices": yahoo})
    run = (journal := type(home.journal)(settings.ledger, "yahoo")).begin("here", "daily", "1")
    journal.publish(run, home.journal.forecasts(), {"ewma": "v", "random-walk": "w"})
    now = pd.Timestamp("2024-05-10 23:00", tz="UTC")
    shown = write_metrics(tmp_path / "m.prom", status(settings, now), 3).read_text()
    assert 'stock_forecast_fresh_until_seconds{source="yahoo"} 1715720400' in shown  # 2024-05-14 21:00 UTC
    assert 'stock_last_run_exit_code{source="yahoo"} 3' in shown


class Silent:
    """A source that is down."""

    name = "yahoo"

    def symbols(self):
        return ()

    def history(self, symbol, start=None, stop=None):
        raise SourceError("Yahoo did not answer.")


@pytest.fixture
def forecast_yesterday(home, undrawn):
    """Settings of Yahoo, with prices and forecasts up to 10 May 2024 in the ledger."""
    home.start()
    settings = home.settings.model_copy(update={"prices": PriceSettings(source="yahoo", symbols=("AAA", "BBB"))})
    Ledger(settings.ledger).append(Ledger(settings.ledger).prices("import"), source="yahoo")
    journal = type(home.journal)(settings.ledger, "yahoo")
    journal.publish(journal.begin("here", "daily", "1"), home.journal.forecasts(), {"ewma": "v", "random-walk": "w"})
    return settings.model_copy(update={"daily": dataclasses.replace(settings.daily, report=True)})


def test_the_page_is_marked_stale_when_the_source_has_been_down_for_days(forecast_yesterday):
    settings = forecast_yesterday
    newest = max(status(settings).origins.values())
    later = pd.Timestamp(newest, tz="UTC") + pd.Timedelta(days=10)
    done = daily(settings, Tools(now=lambda: later, source=lambda _: Silent()))
    assert done.failure.exit_code == 3
    page = (page_folder(settings, newest) / "report.html").read_text()
    assert "<strong>Stale.</strong> STALE: the newest forecast of 2 symbol(s) is behind the market" in page


def test_status_writes_a_page_of_the_moment_it_was_asked(forecast_yesterday, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STOCK_HOME", str(forecast_yesterday.home))
    asked = ["status", "--symbols", "AAA", "BBB", "--out", str(tmp_path / "now"), "--json"]
    assert main(asked) == 7
    page = Path(json.loads(capsys.readouterr().out)["report"])
    assert page == tmp_path / "now" / "report.html"
    assert "<strong>Stale.</strong>" in page.read_text()
    assert main(asked) == 7  # a page of its own making is replaced
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("mine")
    capsys.readouterr()
    assert main([*asked[:5], str(tmp_path / "mine")]) == 2
    assert "name another folder" in capsys.readouterr().err
