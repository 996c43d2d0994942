"""The files of deploy/: filled in, nothing is left open, and each is what its reader expects."""

import re
import shutil
import subprocess

import pytest
import yaml

from app.cli import main
from app.config import load_settings
from app.daily.schedule import FILES, fill
from app.home import PROJECT
from app.routine import SCHEDULES

SETTINGS = {"home": "/srv/stock home", "prices": {"source": "yahoo", "symbols": "AAPL,BRK-B,^GSPC"}}


@pytest.fixture
def filled():
    return lambda kind: fill(kind, load_settings(SETTINGS))


@pytest.mark.parametrize("kind", SCHEDULES)
def test_nothing_is_left_open(filled, kind):
    assert not re.findall(r"@[A-Z]+@", filled(kind))
    assert set(FILES) == set(SCHEDULES)


def test_every_file_of_deploy_is_printed_by_some_kind():
    assert {path.name for path in (PROJECT / "deploy").iterdir()} == {
        name for names in FILES.values() for name in names
    }


def test_the_crontab_has_one_line_of_five_fields_and_a_command(filled):
    lines = [line for line in filled("cron").splitlines() if line and line[0] != "#"]
    *variables, job = lines
    assert all(re.fullmatch(r"[A-Z_]+=.*", line) for line in variables)
    fields = job.split(maxsplit=5)
    assert fields[:5] == ["7,37", "*", "*", "*", "*"]
    assert "%" not in fields[5]  # cron reads it as the end of the line
    assert "--symbols AAPL BRK-B '^GSPC'" in fields[5]
    assert variables[-1] == "STOCK_HOME='/srv/stock home'"
    assert subprocess.run(["sh", "-n", "-c", fields[5]]).returncode == 0


def test_the_cron_job_never_runs_two_at_once(filled):
    volume, job = yaml.safe_load_all(filled("kubernetes"))
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "CronJob")
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    template = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert container["args"] == ["daily", "--quiet", "--symbols", "AAPL", "BRK-B", "^GSPC"]
    assert template["restartPolicy"] == "Never"
    assert template["volumes"][0]["persistentVolumeClaim"]["claimName"] == volume["metadata"]["name"]
    assert container["volumeMounts"][0]["mountPath"] == container["env"][0]["value"]


def test_the_workflow_is_one_that_github_reads(filled):
    flow = yaml.safe_load(filled("github"))
    assert flow[True]["schedule"] == [{"cron": "37 21,22,23 * * 1-5"}]  # YAML 1.1 reads "on" as true
    assert flow["concurrency"]["cancel-in-progress"] is False
    steps = flow["jobs"]["daily"]["steps"]
    assert steps[-1]["if"] == "always()"
    assert any("python -m app daily --symbols" in step.get("run", "") for step in steps)
    if shutil.which("sh"):
        script = next(step["run"] for step in steps if "gh run" in step.get("run", ""))
        assert subprocess.run(["sh", "-n"], input=script, text=True, capture_output=True).returncode == 0


def test_the_timer_makes_up_for_a_start_that_was_slept_through(filled):
    sections = filled("systemd")
    assert "Persistent=true" in sections
    assert "SuccessExitStatus=3 5" in sections


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_accepts_the_unit(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    whole = fill("systemd", load_settings({**SETTINGS, "home": str(home)}))
    place = whole.index("# As ~/.config/systemd/user/stock-daily.timer")
    (tmp_path / "stock-daily.service").write_text(whole[:place])
    (tmp_path / "stock-daily.timer").write_text(whole[place:])
    units = [str(tmp_path / name) for name in FILES["systemd"]]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert not [line for line in done.stderr.splitlines() if "stock-daily" in line and "man" not in line], done.stderr


def test_the_containerfile_copies_what_there_is(filled):
    lines = filled("container").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert all((PROJECT / name).exists() for names in copied for name in names)
    assert lines.index("USER stock") > max(place for place, line in enumerate(lines) if line.startswith("RUN"))


def test_the_command_prints_it(capsys):
    assert main(["schedule", "--print", "cron", "--symbols", "AAPL", "--quiet"]) == 0
    assert "-m app daily --quiet --symbols AAPL" in capsys.readouterr().out
