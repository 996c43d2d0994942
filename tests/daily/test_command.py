"""The command line of the daily run, and a small soak: the whole thing, on Yahoo's loopback, with misfortunes."""

import json
import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

from app.cli import main
from app.daily.leftovers import ABANDONED_S, sweep
from app.daily.lock import locked
from app.home import PROJECT
from benchmarks import soak

QUICK = [
    "--source", "import", "--quiet", "--set", "daily.model=ewma", "--set", "daily.baselines=random-walk",
    "--set", "window.lookback=20", "--set", "window.horizons=1,5",
]  # fmt: skip


def test_a_day_on_the_command_line_and_its_status(home, monkeypatch, capsys):
    monkeypatch.setenv("STOCK_HOME", str(home.path))
    home.live_to(120)
    assert main(["daily", *QUICK, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    page = (home.path / "data" / "reports" / f"daily-import-{done['session']}" / "report.html").read_text()
    assert done["session"] in page
    assert (page.rstrip().endswith("</html>"), "http-equiv" in page) == (True, True)
    assert main(["daily", *QUICK]) == 0
    assert "nothing is due" in capsys.readouterr().out
    assert main(["status", "--source", "import"]) == 0
    assert done["session"] in capsys.readouterr().out
    log = next((home.path / "data" / "logs").glob("*.jsonl")).read_text().splitlines()
    assert all({"at", "level", "from", "says", "command", "process"} <= json.loads(line).keys() for line in log)
    assert any(json.loads(line)["says"].startswith("forecast 2 symbol(s)") for line in log)  # though --quiet


def test_while_another_is_at_work_the_command_leaves_with_5_and_touches_nothing(home):
    command = [sys.executable, "-X", "importtime", "-m", "app", "daily", *QUICK]
    before = sorted(home.path.rglob("*"))
    with locked(home.path):
        done = subprocess.run(
            command, cwd=PROJECT, env={**os.environ, "STOCK_HOME": str(home.path)}, capture_output=True, text=True
        )
    assert done.returncode == 5
    told = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(told) == 1
    assert f"process {os.getpid()}" in told[0]
    assert not [name for name in ("pandas", "numpy", "pydantic") if f" {name}\n" in done.stderr]
    assert {path.name for path in home.path.rglob("*")} - {path.name for path in before} == {"lock"}


def test_a_target_that_is_no_return_is_refused_before_anything_is_done(home, monkeypatch, capsys):
    monkeypatch.setenv("STOCK_HOME", str(home.path))
    home.live_to(120)
    assert main(["daily", *QUICK, "--set", "window.target=volatility"]) == 2
    assert "window.target must be 'return', got 'volatility'" in capsys.readouterr().err
    assert main(["daily", *QUICK, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["session"]


def test_status_of_an_empty_home_ends_with_7(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))
    assert main(["status", "--json"]) == 7
    assert capsys.readouterr().err.startswith("STALE: nothing has been forecast yet")
    assert list(tmp_path.iterdir()) == []


def test_leftovers_go_and_what_is_needed_stays(home):
    home.start()
    data = home.settings.data
    names = (
        "scratch/train-1/job.json",
        ".writing-x/a",
        "reports/daily-import-2020-01-02/report.html",
        "logs/2020-01-02.jsonl",
    )
    for name in (*names, "reports/mine/report.html"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("x")
    now = (data / "logs").stat().st_mtime
    sweep(home.settings, now)
    assert [(data / name).exists() for name in names] == [False, True, True, True]
    sweep(home.settings, now + 31 * 86400 + ABANDONED_S)
    assert [(data / name).exists() for name in names] == [False] * 4
    assert (data / "reports/mine/report.html").exists()
    assert home.journal.champion().version in {path.name for path in home.settings.versions.iterdir()}


def _small_soak(folder):
    """Eight sessions with an outage, a session told late, a partial day and a full disk."""
    plan = soak.Plan(
        sessions=8, outages=frozenset({2}), partial=frozenset({5}), missing={3: 1}, splits={4: ("AAA", 2.0)},
        late_split=(99, 1), doubled_split=(99, 1), dividends={4: "BBB"}, unit=(99, 1), sleeps={6: 1},
        kills=frozenset(), full=frozenset({4}), jumps={}, real=frozenset(), rollbacks=frozenset({7}),
    )  # fmt: skip
    made, tally = soak.live(folder, plan, seed=3)
    return dict(soak.conclude(folder, made, tally)), tally.wrong


def test_a_small_soak_holds(tmp_path):
    """In a process of its own: libcurl takes the address of its proxy from the environment it was loaded in."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        figures, wrong = process.submit(_small_soak, tmp_path).result()
    assert wrong == []
    assert figures["full disks"] == 1
    assert figures["sessions"].startswith("8: ")
