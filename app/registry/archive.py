"""What is inside a `.keras` file, looked at before Keras is."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.errors import DamageError

MEMBERS = {"metadata.json": 4_096, "config.json": 1_000_000, "model.weights.h5": 1_000_000_000}
"""The members a file has to have, no more and no fewer, and how many bytes each may have."""

KERAS = "keras"
CLASSES = {
    (None, "__keras_tensor__"), (KERAS, "DTypePolicy"), (KERAS, "Sequential"),
    ("keras.src.models.functional", "Functional"),
    *((f"{KERAS}.initializers", name) for name in ("GlorotUniform", "Ones", "Orthogonal", "RandomNormal", "Zeros")),
    *((f"{KERAS}.layers", name) for name in (
        "Bidirectional", "Dense", "Dropout", "Flatten", "GRU", "InputLayer", "LSTM", "LayerNormalization",
        "Normalization", "RNN", "Reshape", "SimpleRNN",
    )),
    *(("app.forecasters.cells", name) for name in ("ClockworkRNNCell", "DepthGatedLSTMCell", "PeepholeLSTMCell")),
    *(("app.forecasters.layers", name) for name in (
        "AttentionPooling", "CausalBlock", "DropoutRNN", "Framed", "Hidden", "Positions", "Truncated",
    )),
    ("app.forecasters.decoder", "Decoder"),
    *(("app.forecasters.networks", name) for name in ("LastSteps", "QuantileHead")),
}  # fmt: skip
"""(module, class) of everything that our networks are made of. Nothing else is built from a file."""


def check_archive(path: Path) -> None:
    """Refuse a `.keras` file that holds anything but a network of ours.

    A stored (never compressed) zip of exactly `MEMBERS`, with right checksums, whose configuration names
    only `CLASSES`: so no Lambda, no TFSMLayer, no function by name, and no bomb reaches Keras.

    Raises:
        DamageError: it holds something else, or is damaged.

    Source: CVE-2024-3660, CVE-2025-1550, CVE-2025-9906, CVE-2025-12058, CVE-2026-1462 are what it keeps out.
    """
    name = f"{path.parent.name}/{path.name}"
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, name)
            config = json.loads(archive.read("config.json"))
            metadata = json.loads(archive.read("metadata.json"))
            damaged = archive.testzip()
    except (OSError, ValueError, RecursionError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise _refused(name, f"cannot be read ({type(error).__name__})") from None
    if damaged:
        raise _refused(name, f"has a damaged {damaged}")
    if not isinstance(metadata, dict) or not isinstance(config, dict) or "class_name" not in config:
        raise _refused(name, "does not describe a network")
    for module, found, registered in _classes(config):
        if (module, found) not in CLASSES or registered not in (None, found, f"app>{found}"):
            raise _refused(name, f"names {found[:40]!r} of {module!r}, which no network here is made of")


def _check_members(archive: zipfile.ZipFile, name: str) -> None:
    """Exactly the members there should be, each stored and within its size."""
    members = archive.infolist()
    if sorted(member.filename for member in members) != sorted(MEMBERS):
        raise _refused(name, f"holds {[member.filename[:40] for member in members][:5]}, not {sorted(MEMBERS)}")
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise _refused(name, f"has a compressed {member.filename}")
        if member.file_size > MEMBERS[member.filename]:
            raise _refused(
                name,
                f"has a {member.filename} of {member.file_size} bytes, at most {MEMBERS[member.filename]} are allowed",
            )


def _classes(config: Any) -> Iterator[tuple[str | None, str, str | None]]:
    """(module, class, registered name) of everything that Keras would build from a configuration, at any depth."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if "class_name" in part:
                yield _text(part.get("module")), str(part["class_name"]), _text(part.get("registered_name"))
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _refused(name: str, reason: str) -> DamageError:
    return DamageError(f"{name} {reason}. It is not loaded. Train again: `python -m app train`.")
