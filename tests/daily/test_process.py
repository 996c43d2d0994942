"""A job's own process: its errors arrive as they were raised, and over time, over memory or killed it is stopped."""

import os
import signal
import subprocess
import sys
import time

import pytest

from app.daily import process
from app.daily.process import Bounds, in_own_process
from app.errors import DataError, TrainingError

ROOMY = Bounds(seconds=60, bytes=8e9)


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Run some lines as the job: a module of their own, in the folder in which children start."""
    monkeypatch.setattr(process, "PROJECT", tmp_path)

    def run(code, bounds=ROOMY):
        (tmp_path / "made_up_job.py").write_text(code)
        in_own_process("made_up_job", {"kind": "test"}, tmp_path / "scratch", bounds)

    return run


def test_the_job_finds_what_it_was_given(job, tmp_path):
    job("import sys, pathlib; p = pathlib.Path(sys.argv[1]); (p / 'seen').write_text((p / 'job.json').read_text())")
    assert (tmp_path / "scratch" / "seen").read_text() == '{"kind": "test"}'


def test_what_the_job_says_is_in_the_log_of_its_parent(job, caplog):
    caplog.set_level("INFO", "app")
    job("import sys; print('epoch 1 of 10', file=sys.stderr)")
    assert ("app.daily.process", "epoch 1 of 10") in [(line.name, line.message) for line in caplog.records]


def test_what_the_job_was_refused_for_arrives_as_its_own_error(job):
    left = "{'kind': 'DataError', 'text': 'too short'}"
    with pytest.raises(DataError, match="too short"):
        job(f"import sys, json; json.dump({left}, open(sys.argv[1] + '/failed.json', 'w')); sys.exit(4)")


@pytest.mark.parametrize(
    ("code", "bounds", "match"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", ROOMY, "killed by signal 9"),
        ("import sys; sys.exit(3)", ROOMY, "ended with code 3"),
        ("import time; time.sleep(60)", Bounds(0.5, 8e9), "stopped after 0.5 s"),
        ("import time; held = b'x' * 300_000_000; time.sleep(60)", Bounds(60, 200e6), "allows 0.2"),
    ],
    ids=["killed", "ends badly", "hangs", "takes too much memory"],
)
def test_a_job_that_does_not_end_well_is_a_failed_training(job, code, bounds, match):
    with pytest.raises(TrainingError, match=match):
        job(code, bounds)


def test_a_job_dies_with_its_parent(tmp_path):
    """The parent is killed, so nothing of it can clean up; the child's stdin closes."""
    code = (
        "import subprocess, sys\n"
        "child = 'import time; from app.daily.process import die_with_parent as watch; '\n"
        "child += 'watch(); print(1, flush=True); time.sleep(60)'\n"
        "c = subprocess.Popen([sys.executable, '-c', child], stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "c.stdout.readline(); print(c.pid, flush=True); c.wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    for _ in range(200):
        if not alive(child):
            break
        time.sleep(0.05)
    assert not alive(child)


def alive(pid):
    """Whether a process runs; one that nobody has waited for yet (Z) has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
