"""Versions: whole, found again, refused when damaged."""

import pytest

from app import registry
from app.errors import DamageError, SettingsError

CARD = {"model": "lstm", "made_at": "2026-01-02T03:04:05+00:00"}


def write(folder):
    (folder / "weights").write_bytes(b"\x00\x01")


def test_a_version_is_named_by_its_moment_and_model(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    assert version.id == "20260102030405-lstm"
    assert version.card["model"] == "lstm"
    assert registry.newest(tmp_path, "lstm").folder == version.folder


def test_two_versions_of_one_second_are_kept_apart_and_the_later_is_newest(tmp_path):
    first, second = (registry.publish(tmp_path, CARD, write) for _ in range(2))
    assert first.folder != second.folder
    assert registry.newest(tmp_path, "lstm").id == second.id


def test_versions_of_other_models_are_not_mixed_up(tmp_path):
    registry.publish(tmp_path, {**CARD, "model": "gru", "made_at": "2027-01-01T00:00:00+00:00"}, write)
    lstm = registry.publish(tmp_path, CARD, write)
    assert registry.newest(tmp_path, "lstm").id == lstm.id
    assert len(registry.versions(tmp_path)) == 2


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


def test_an_unreadable_card_is_refused(tmp_path):
    version = registry.publish(tmp_path, CARD, write)
    (version.folder / "card.json").write_text("{")
    with pytest.raises(DamageError, match=r"card.json cannot be read"):
        registry.newest(tmp_path, "lstm")


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
