"""Files are whole or not there, whatever happens while they are written."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.atomic import ensure_writable, publish_file, publish_folder, publish_text
from app.errors import StorageError

ROOT = Path(__file__).resolve().parents[1]


def test_a_published_file_is_there_and_nothing_else(tmp_path):
    publish_text(tmp_path / "deep" / "note.txt", "söund")
    assert (tmp_path / "deep" / "note.txt").read_text(encoding="utf-8") == "söund"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["note.txt"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    publish_text(tmp_path / "note.txt", "old")

    def fails(path):
        path.write_text("half of the n")
        raise RuntimeError("the writer broke")

    with pytest.raises(RuntimeError):
        publish_file(tmp_path / "note.txt", fails)
    assert (tmp_path / "note.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_a_failed_folder_is_not_there(tmp_path):
    def fails(folder):
        (folder / "a").write_text("a")
        raise RuntimeError("the writer broke")

    with pytest.raises(RuntimeError):
        publish_folder(tmp_path / "version", fails)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_not_replaced(tmp_path):
    publish_folder(tmp_path / "version", lambda folder: (folder / "a").write_text("first"))
    with pytest.raises(StorageError):
        publish_folder(tmp_path / "version", lambda folder: (folder / "a").write_text("second"))
    assert (tmp_path / "version" / "a").read_text() == "first"


def test_a_full_disk_is_said_in_one_line(tmp_path):
    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"the disk is full .*Free some space"):
        publish_file(tmp_path / "note.txt", full)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        ensure_writable(tmp_path / "file" / "folder")


WRITER = """
import sys
import time
from pathlib import Path
from app.atomic import publish_text
number = 0
while True:
    number += 1
    publish_text(Path(sys.argv[1]), f"{number} " * 400_000)
    print(number, flush=True)
"""


def test_killed_at_random_moments_the_file_is_whole_and_not_older_than_acknowledged(tmp_path):
    path, moments = tmp_path / "note.txt", random.Random(0)
    for attempt in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for _ in range(attempt % 4 + 1):
            acknowledged = int(writer.stdout.readline())
        time.sleep(moments.uniform(0, 0.05))
        os.kill(writer.pid, signal.SIGKILL)
        rest = [int(line) for line in writer.communicate()[0].split()]
        numbers = {int(word) for word in path.read_text().split()}
        assert len(numbers) == 1
        assert numbers.pop() >= max([acknowledged, *rest])
