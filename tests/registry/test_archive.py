"""What may be inside a .keras file, decided before Keras sees it."""

import json
import random
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.errors import DamageError
from app.forecasters.networks import forecaster
from app.forecasters.recipe import CELLS, Network
from app.registry.archive import MEMBERS, check_archive

ROOT = Path(__file__).resolve().parents[2]

LAYER = {"module": "keras.layers", "class_name": "LSTM", "config": {"units": 2}, "registered_name": None}
NETWORK = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "registered_name": "Functional",
    "config": {"layers": [LAYER]},
}
CONTENT = {
    "metadata.json": b'{"keras_version": "3.15.1"}',
    "config.json": json.dumps(NETWORK).encode(),
    "model.weights.h5": bytes(range(256)) * 8,
}


def archive(path, content=None, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in (content or CONTENT).items():
            file.writestr(name, data)
    return path


def holding(path, part):
    """A network with one more part in it."""
    network = {**NETWORK, "config": {"layers": [LAYER, {"config": {"inner": [part]}}]}}
    return archive(path, {**CONTENT, "config.json": json.dumps(network).encode()})


def test_a_plain_network_passes(tmp_path):
    check_archive(archive(tmp_path / "member.keras"))


@pytest.mark.parametrize("cell", CELLS)
def test_every_network_of_ours_passes(cell, tmp_path):
    recurrent = {"truncation": 4} if cell in ("lstm", "gru", "peephole-lstm") else {}
    recipe = Network(cell=cell, units=4, dropout=0.1, recurrent_initializer="random_normal", **recurrent)
    start = np.tile(np.linspace(-1, 1, 19), (2, 1))
    forecaster(recipe, (6, 3), np.zeros(3), np.ones(3), start).save(tmp_path / "member.keras")
    check_archive(tmp_path / "member.keras")


HOSTILE = {
    "Lambda": {"module": "keras.layers", "class_name": "Lambda", "config": {"function": "x"}},
    "a lambda by itself": {"class_name": "__lambda__", "config": {"value": "x"}},
    "TFSMLayer": {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/tmp/x"}},
    "StringLookup with a path": {
        "module": "keras.layers", "class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"},
    },
    "TorchModuleWrapper": {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}},
    "a function of a module": {
        "module": "os", "class_name": "function", "config": "system", "registered_name": "system",
    },
    "a builtin": {"module": "builtins", "class_name": "function", "config": "eval", "registered_name": "function"},
    "our class from elsewhere": {"module": "evil", "class_name": "QuantileHead", "config": {}},
    "our class under another name": {
        "module": "app.forecasters.networks", "class_name": "QuantileHead", "config": {},
        "registered_name": "evil>Head",
    },
    "a class that is no text": {"module": "keras.layers", "class_name": ["LSTM"], "config": {}},
    "a module that is no text": {"module": ["keras.layers"], "class_name": "LSTM", "config": {}},
}  # fmt: skip


@pytest.mark.parametrize("part", HOSTILE.values(), ids=HOSTILE)
def test_anything_no_network_of_ours_is_made_of_is_refused(part, tmp_path):
    with pytest.raises(DamageError, match=r"member.keras names .*It is not loaded"):
        check_archive(holding(tmp_path / "member.keras", part))


def test_one_more_member_or_one_less_is_refused(tmp_path):
    for content in (
        {**CONTENT, "assets/x": b""},
        {**CONTENT, "../x": b""},
        {name: CONTENT[name] for name in ("metadata.json", "config.json")},
        {"model.h5": b"x"},
    ):
        with pytest.raises(DamageError, match=r"member.keras holds \["):
            check_archive(archive(tmp_path / "member.keras", content))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_that_stands_twice_is_refused(tmp_path):
    path = archive(tmp_path / "member.keras")
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("config.json", CONTENT["config.json"])
    with pytest.raises(DamageError, match=r"member.keras holds \["):
        check_archive(path)


def test_a_bomb_is_refused_by_what_it_declares(tmp_path):
    """A gigabyte of zeros deflates to a megabyte: nothing compressed is opened at all."""
    bomb = archive(tmp_path / "bomb.keras", {**CONTENT, "config.json": b" " * 10_000_000}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 20_000
    with pytest.raises(DamageError, match="compressed"):
        check_archive(bomb)
    with pytest.raises(DamageError, match=r"config.json of 1000001 bytes, at most 1000000"):
        check_archive(archive(tmp_path / "large.keras", {**CONTENT, "config.json": b" " * 1_000_001}))
    assert set(MEMBERS) == set(CONTENT)


@pytest.mark.parametrize(
    "config",
    [b"", b"{", b"[]", b"{}", b"[" * 100_000, b'"LSTM"', b"\xff\xfe", b'{"class_name": "Functional"}'],
    ids=["nothing", "cut", "a list", "empty", "100,000 deep", "text", "no UTF-8", "without a module"],
)
def test_a_configuration_that_describes_no_network_is_refused(config, tmp_path):
    with pytest.raises(DamageError, match=r"It is not loaded"):
        check_archive(archive(tmp_path / "member.keras", {**CONTENT, "config.json": config}))


@pytest.mark.parametrize(
    "content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(900), b"\x80\x04\x95pickle", b"PK\x05\x06" + bytes(18)]
)
def test_another_kind_of_file_under_this_name_is_refused(content, tmp_path):
    (tmp_path / "member.keras").write_bytes(content)
    with pytest.raises(DamageError, match=r"member.keras (cannot be read|holds)"):
        check_archive(tmp_path / "member.keras")


def test_every_cut_and_every_turned_bit_of_its_content_is_seen_without_any_hash(tmp_path):
    path, draw = archive(tmp_path / "member.keras"), random.Random(0)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        spans = [(info.header_offset + 30 + len(info.filename), info.file_size) for info in file.infolist()]
    for _ in range(60):
        path.write_bytes(whole[: draw.randrange(len(whole))])
        with pytest.raises(DamageError):
            check_archive(path)
    for _ in range(120):
        begin, size = draw.choice(spans)
        place = begin + draw.randrange(size)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :])
        with pytest.raises(DamageError):
            check_archive(path)


def test_whatever_bytes_are_changed_it_passes_or_is_refused_and_nothing_else(tmp_path):
    """600 random changes, headers included: never another exception, never a second of work."""
    path, draw = archive(tmp_path / "member.keras"), random.Random(7)
    whole = path.read_bytes()
    for _ in range(600):
        changed = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            place = draw.randrange(len(whole) - 4)
            changed[place : place + 4] = struct.pack("<I", draw.choice([0, 1, 0xFFFFFFFF, draw.getrandbits(32)]))
        path.write_bytes(changed)
        try:
            check_archive(path)
        except DamageError as error:
            assert len(str(error)) < 400  # noqa: PT017 - both outcomes are right


def test_looking_inside_needs_no_keras():
    code = (
        "import sys; import app.registry; from app.registry.archive import check_archive\n"
        "print([name for name in ('tensorflow', 'keras', 'jax', 'sklearn', 'arch') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert answer.stdout.strip() == "[]"
