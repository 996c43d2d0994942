"""The lock: one at a time, let go by any end of the process, and the loser is told who is at work."""

import os
import signal
import subprocess
import sys

import pytest

from app.daily.lock import locked
from app.errors import LockError, StorageError

HOLD = """
import sys
from app.daily.lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is told, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_loser_is_told_who_is_at_work(holder, tmp_path):
    with pytest.raises(LockError, match=rf"process {holder.pid}, since \d{{4}}-.* is at work"), locked(tmp_path):
        pytest.fail("both hold it")


def test_a_killed_holder_leaves_no_lock(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        pass


def test_it_is_free_again_after_the_block_and_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path):
            raise ZeroDivisionError
    with locked(tmp_path / "new" / "home"):
        pass


def test_a_child_does_not_inherit_it(tmp_path):
    with locked(tmp_path):
        command = [sys.executable, "-c", "print('up', flush=True); input()"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, close_fds=False)
        assert child.stdout.readline() == "up\n"
    with locked(tmp_path):
        child.kill()
        child.communicate()


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError), locked(tmp_path / "file"):
        pass


def test_the_lock_is_reached_before_anything_slow_is_loaded():
    code = "import sys, app.daily.lock; print([m for m in ('numpy', 'pandas', 'pydantic') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
