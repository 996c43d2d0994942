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

from app.atomic import ensure_replaceable, ensure_writable, publish_file, publish_folder, publish_text, replace_folder
from app.errors import SettingsError, StorageError

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


OURS = frozenset({"verdict.json", "scores.csv", "figures"})


def results(number: int):
    """A run's results: the same number in every file, and a figure of its own."""

    def write(draft):
        (draft / "verdict.json").write_text(str(number))
        (draft / "scores.csv").write_text(str(number))
        (draft / "figures").mkdir()
        (draft / "figures" / f"{number}.png").write_text("")

    return write


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_second_run_leaves_nothing_of_the_first_and_everything_of_the_users(tmp_path):
    folder = tmp_path / "results"
    replace_folder(folder, results(1), OURS)
    (folder / "notes.txt").write_text("mine")
    replace_folder(folder, results(2), OURS)
    assert names(folder) == ["figures/2.png", "notes.txt", "scores.csv", "verdict.json"]
    assert (folder / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_a_run_that_fails_while_it_writes_leaves_the_results_of_the_one_before(tmp_path):
    folder = tmp_path / "results"
    replace_folder(folder, results(1), OURS)

    def breaks(draft):
        results(2)(draft)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="the disk is full"):
        replace_folder(folder, breaks, OURS)
    assert names(folder) == ["figures/1.png", "scores.csv", "verdict.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_where_the_new_folder_cannot_be_put_in_place_the_old_one_comes_back(tmp_path, monkeypatch):
    folder = tmp_path / "results"
    replace_folder(folder, results(1), OURS)
    rename = os.rename

    def refuses_drafts(source, target):
        if ".writing-" in str(source):
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr("app.atomic.os.rename", refuses_drafts)
    with pytest.raises(StorageError, match="Input/output error"):
        replace_folder(folder, results(2), OURS)
    assert names(folder) == ["figures/1.png", "scores.csv", "verdict.json"]


@pytest.mark.parametrize(
    ("theirs", "named"),
    [("scores.csv", "scores.csv"), ("figures/mine.png", "figures"), ("thesis/chapter.tex", "thesis")],
)
def test_a_folder_of_the_users_with_folders_or_names_of_ours_is_refused(tmp_path, theirs, named):
    path = tmp_path / "work" / theirs
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(SettingsError, match=f"holds '{named}', which no run wrote"):
        replace_folder(tmp_path / "work", results(1), OURS)
    assert names(tmp_path) == [f"work/{theirs}"]


def test_the_current_folder_is_refused_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match="the current folder: name a folder in it"):
        ensure_replaceable(tmp_path, OURS)


def test_a_link_to_a_folder_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    replace_folder(tmp_path / "link", results(1), OURS)
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == ["figures/1.png", "scores.csv", "verdict.json"]
