"""Versions: whole, found again, refused when anything about them changed."""

import importlib.metadata
import json
import random
import shutil
import subprocess

import pytest

from app import registry
from app.errors import DamageError, SettingsError
from app.registry.versions import faults, folders

KERAS = importlib.metadata.version("keras")
CARD = {"model": "lstm", "made_at": "2026-01-02T03:04:05+00:00", "libraries": {"keras": KERAS}}


def write(folder):
    (folder / "weights").write_bytes(b"\x00\x01")


def test_a_version_is_named_by_its_moment_and_model(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    assert version.id == "20260102030405-lstm"
    assert version.card["model"] == "lstm"
    assert registry.newest(tmp_path, "lstm").folder == version.folder


def test_versions_of_one_second_are_kept_apart_and_the_latest_is_newest(tmp_path):
    ids = [registry.publish(tmp_path, CARD, write).id for _ in range(11)]
    assert ids[0] == "20260102030405-lstm"
    assert ids[10] == "20260102030405-lstm-11"
    assert [version.id for version in registry.versions(tmp_path)] == ids
    assert registry.newest(tmp_path, "lstm").id == ids[10]


def test_a_version_of_a_second_whose_older_ones_were_removed_is_still_the_newest(tmp_path):
    saved = [registry.publish(tmp_path, CARD, write) for _ in range(3)]
    for version in saved[:2]:
        shutil.rmtree(version.folder)
    after = registry.publish(tmp_path, CARD, write)
    assert registry.newest(tmp_path, "lstm").id == after.id


def test_a_shape_is_part_of_the_model_and_is_written_without_a_colon(tmp_path):
    card = {**CARD, "model": "lstm:many-to-many"}
    ids = [registry.publish(tmp_path, card, write).id for _ in range(2)]
    assert ids == ["20260102030405-lstm.many-to-many", "20260102030405-lstm.many-to-many-2"]
    assert registry.newest(tmp_path, "lstm:many-to-many").id == ids[1]
    assert registry.of_model(tmp_path / ids[1]) == "lstm:many-to-many"
    assert registry.versions(tmp_path, "lstm") == []


def test_versions_of_other_models_are_not_mixed_up(tmp_path):
    registry.publish(tmp_path, {**CARD, "model": "gru", "made_at": "2027-01-01T00:00:00+00:00"}, write)
    registry.publish(tmp_path, {**CARD, "model": "peephole-lstm", "made_at": "2027-01-01T00:00:00+00:00"}, write)
    lstm = registry.publish(tmp_path, CARD, write)
    assert registry.newest(tmp_path, "lstm").id == lstm.id
    assert len(registry.versions(tmp_path)) == 3


def test_the_seal_is_one_that_sha256sum_checks(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    checked = subprocess.run(
        ["sha256sum", "--check", "card.sha256"], cwd=version.folder, capture_output=True, text=True
    )
    assert checked.stdout == "card.json: OK\n"


def test_a_changed_file_is_refused(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    (version.folder / "weights").write_bytes(b"\x00\x02")
    with pytest.raises(DamageError, match=r"20260102030405-lstm/weights is missing or is not what was saved"):
        registry.newest(tmp_path, "lstm")


def test_a_missing_file_is_refused(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    (version.folder / "weights").unlink()
    with pytest.raises(DamageError, match="weights is missing"):
        registry.newest(tmp_path, "lstm")


def test_a_file_that_was_not_saved_with_it_is_refused(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    (version.folder / "member-9.keras").write_bytes(b"stranger")
    with pytest.raises(DamageError, match=r"member-9.keras was not saved with the version"):
        registry.newest(tmp_path, "lstm")


def test_a_changed_card_is_refused(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    (version.folder / "card.json").write_text(json.dumps({**version.card, "trained_to": "1999-12-31"}, indent=1))
    with pytest.raises(DamageError, match=r"card.json is not what was saved: its SHA-256 differs"):
        registry.read(version.folder)


@pytest.mark.parametrize("name", ["card.json", "card.sha256"])
def test_a_missing_card_or_seal_is_refused(name, tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    (version.folder / name).unlink()
    with pytest.raises(DamageError, match=r"card.json cannot be read \(No such file or directory\)"):
        registry.newest(tmp_path, "lstm")


def test_whichever_file_is_cut_or_has_a_bit_turned_the_version_is_refused(tmp_path):
    """60 truncations and 120 turned bits, spread over all the files of a version, its card and seal too."""
    version = registry.publish(tmp_path, CARD, lambda folder: (folder / "weights").write_bytes(bytes(range(256)) * 20))
    paths, draw, refused = sorted(version.folder.iterdir()), random.Random(0), 0
    for number in range(180):
        path = paths[number % 3]
        whole = path.read_bytes()
        place = draw.randrange(len(whole))
        turned = whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :]
        path.write_bytes(whole[:place] if number < 60 else turned)
        with pytest.raises(DamageError):
            registry.sound(registry.read(version.folder))
        refused += 1
        path.write_bytes(whole)
    assert refused == 180
    registry.sound(registry.read(version.folder))


def test_faults_name_each_damaged_version_and_no_other(tmp_path):
    made = [registry.publish(tmp_path, CARD, write) for _ in range(4)]
    (made[1].folder / "weights").unlink()
    (made[2].folder / "card.json").unlink()
    assert [version for version, _ in faults(tmp_path)] == [made[1].id, made[2].id]


def test_other_folders_are_no_versions(tmp_path):
    for name in ("2026", "20260102030405", ".writing-x", "notes", "20260102030405-lstm.old"):
        (tmp_path / name).mkdir()
    assert folders(tmp_path) == []


@pytest.mark.parametrize("name", ["", "nothing", "../../etc", "20260102030405-gru", "."])
def test_an_unknown_version_is_refused_with_those_there_are(name, tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    with pytest.raises(SettingsError, match=rf"no version '{name}'; the newest are {version.id}"):
        registry.find(tmp_path, name)


def test_without_a_version_the_way_out_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"no saved lstm yet: run `python -m app train --models lstm` first"):
        registry.newest(tmp_path, "lstm")


def test_a_writer_that_fails_leaves_no_version(tmp_path):
    def fails(folder):
        write(folder)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        registry.publish(tmp_path, CARD, fails)
    assert registry.versions(tmp_path) == []
    assert list(tmp_path.iterdir()) == []
