"""Turns: whoever shares a folder shares the rate, and nobody who crashed or lies about the time stops the others.

Time passes only when somebody sleeps.
"""

import fcntl
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.prices.turns import Turns

PROCESS = """
import sys
from app.prices.turns import Turns
time = float(sys.argv[2])
def sleep(seconds):
    global time
    time += seconds
turns = Turns(__import__("pathlib").Path(sys.argv[1]), lambda: time, sleep)
for _ in range(3):
    turns.wait(2.0)
    print(time)
"""


@dataclass
class World:
    """A clock that runs only while somebody sleeps, and when requests began."""

    now: float = 1000.0
    begun: list[float] = field(default_factory=list)

    def turns(self, path: Path | None) -> Turns:
        return Turns(path, lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds < 100
        self.now += seconds

    def ask(self, turns: Turns, gap: float = 2.0) -> None:
        turns.wait(gap)
        self.begun.append(self.now)

    @property
    def gaps(self) -> list[float]:
        return [later - before for before, later in zip(self.begun, self.begun[1:], strict=False)]


@pytest.fixture
def world() -> World:
    return World()


def test_two_that_share_a_file_together_keep_the_rate(world, tmp_path):
    ours, theirs = (world.turns(tmp_path / "last") for _ in range(2))
    for turns in (ours, theirs, theirs, ours, ours, theirs):
        world.ask(turns)
    assert world.begun[0] == 1000.0
    assert world.gaps == [2.0] * 5


def test_a_process_goes_on_where_another_one_ended(world, tmp_path):
    path = tmp_path / "last"

    def process(start: float) -> list[float]:
        done = subprocess.run([sys.executable, "-c", PROCESS, path, str(start)], capture_output=True, text=True)
        return [float(line) for line in done.stdout.split()]

    assert process(1000.0) == [1000.0, 1002.0, 1004.0]
    assert process(1004.5) == [1006.0, 1008.0, 1010.0]
    world.now = 1011.0
    world.ask(world.turns(path))
    assert world.begun == [1012.0]


def test_another_that_asks_while_one_sleeps_has_its_turn_first(world, tmp_path):
    """Nobody sleeps with the file locked, and who wakes up looks again."""
    ours, theirs = (world.turns(tmp_path / "last") for _ in range(2))
    world.ask(ours)

    def sleep(seconds: float) -> None:
        world.now += seconds
        if len(world.begun) == 1:
            world.ask(theirs)

    ours.sleep = sleep
    world.ask(ours)
    assert world.begun == [1000.0, 1002.0, 1004.0]


def test_who_asks_seldom_waits_for_nothing(world, tmp_path):
    ours, theirs = (world.turns(tmp_path / "last") for _ in range(2))
    world.ask(ours)
    world.now += 60
    world.ask(theirs)
    assert world.begun == [1000.0, 1060.0]


def test_a_clock_set_back_stops_nobody(world, tmp_path):
    ours, theirs = (world.turns(tmp_path / "last") for _ in range(2))
    world.ask(ours)
    world.now = 5.0  # the machine started anew
    world.ask(theirs)
    world.ask(ours)
    assert world.begun == [1000.0, 5.0, 7.0]


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"soon", b"nan", b"inf", b"9" * 100])
def test_what_is_no_moment_stops_nobody(world, tmp_path, content):
    (tmp_path / "last").write_bytes(content)
    turns = world.turns(tmp_path / "last")
    world.ask(turns)
    world.ask(world.turns(tmp_path / "last"))
    assert world.begun == [1000.0, 1002.0]


@pytest.mark.parametrize("place", ["missing/last", ".", None])
def test_where_no_file_can_be_had_each_process_keeps_the_rate_by_itself(world, tmp_path, place):
    turns = world.turns(place and tmp_path / place)
    for _ in range(3):
        world.ask(turns)
    assert world.gaps == [2.0, 2.0]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_was_killed_with_the_file_locked_keeps_nobody_waiting(world, tmp_path):
    code = (
        "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path / "last"]).returncode == 9
    world.ask(world.turns(tmp_path / "last"))
    assert world.begun == [1000.0]


def test_what_another_wrote_while_the_file_was_locked_counts(world, tmp_path, monkeypatch):
    """The file is read only once it is locked."""
    path = tmp_path / "last"

    def flock(file: int, how: int) -> None:
        assert how == fcntl.LOCK_EX
        if not path.read_text():
            path.write_text("999.5")

    monkeypatch.setattr("app.prices.turns.fcntl.flock", flock)
    world.ask(world.turns(path))
    assert world.begun == [1001.5]
