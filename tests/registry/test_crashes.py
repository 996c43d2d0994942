"""Killed at random moments, nothing acknowledged is lost (benchmarks/crashes.py does it 200 times each)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash import survive

ROOT = Path(__file__).resolve().parents[2]


def test_ten_kills_each_of_publish_promote_and_rollback_lose_nothing():
    command = [sys.executable, "-m", "benchmarks.crashes", "--kills", "10", "--seed", "1", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tolls = json.loads(done.stdout.splitlines()[-1])
    assert {name: toll["kills"] for name, toll in tolls.items()} == {"publish": 10, "promote": 10, "rollback": 10}
    assert sum(toll["acknowledged"] for toll in tolls.values()) > 0


SABOTAGED = """
import os, sys
from pathlib import Path
from tests.crash import survive
path = Path(sys.argv[1])
path.write_text("")
def work(acknowledge):
    number = 0
    while True:
        number += 1
        acknowledge(str(number))          # acknowledged before it is done
        path.write_text(f"{number}" * 200_000)
def check(acknowledged):
    whole = path.read_text()
    assert not acknowledged or whole == acknowledged[-1] * 200_000, "lost"
survive(work, check, kills=60, within_s=0.05)
"""


def test_the_harness_catches_a_file_rewritten_in_place_and_acknowledged_too_early(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SABOTAGED, str(tmp_path / "file")], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "AssertionError: lost" in done.stderr


def test_a_child_that_ends_by_itself_is_no_kill():
    code = "from tests.crash import survive\nsurvive(lambda acknowledge: 1 / 0, print, kills=1, within_s=5.0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "ZeroDivisionError" in done.stderr
    assert "the child ended before it was killed" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks")
def test_a_harness_without_kills_kills_nobody():
    assert survive(lambda acknowledge: None, lambda told: None, kills=0).kills == 0
