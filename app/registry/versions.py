"""One folder a version: written aside and renamed; every file, the card too, has its SHA-256 beside it."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.atomic import publish_folder
from app.errors import DamageError, SettingsError
from app.registry.archive import check_archive
from app.registry.libraries import check_libraries

CARD, SEAL = "card.json", "card.sha256"
"""What a version says of itself, with the SHA-256 of its other files; and the card's own, as sha256sum writes it."""

NAME = re.compile(
    r"(?P<stamp>\d{14})-(?P<model>[a-z][a-z-]*[a-z](?:\.(?:many|one)-to-(?:many|one)(?:-[a-z]+)*)?)"
    r"(?:-(?P<number>\d+))?"
)
"""A version's id: the second it was made (UTC), its model, and a number from 2 for those of the same second.
The colon before a shape is a dot here, as not every disk can write it."""

AGAIN = "Train again: `python -m app train`."


@dataclass(frozen=True)
class Version:
    """A model on disk: its folder and its card (settings, data, seeds, scores, libraries, training curve)."""

    folder: Path
    card: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Name of the version: when it was made, and which model it is."""
        return self.folder.name


def publish(models: Path, card: Mapping[str, Any], write: Callable[[Path], object]) -> Version:
    """Save a version: all of it or nothing.

    Args:
        models: folder of all versions.
        card: facts about the model; `model` and `made_at` (ISO, UTC) name the version.
        write: fills an empty folder with the model's files.

    Raises:
        DamageError: `write` made a `.keras` file that would be refused when it is loaded.
        StorageError: the disk is full or the folder cannot be written.
    """
    stamp = "".join(sign for sign in card["made_at"][:19] if sign.isdigit())
    folder = _free(Path(models) / f"{stamp}-{card['model'].replace(':', '.')}")

    def fill(draft: Path) -> None:
        write(draft)
        for path in sorted(draft.glob("*.keras")):
            check_archive(path)
        whole = {**card, "sha256": {path.name: digest(path) for path in sorted(draft.iterdir())}}
        (draft / CARD).write_text(json.dumps(whole, indent=1, allow_nan=False), encoding="utf-8")
        (draft / SEAL).write_text(_seal(draft / CARD), encoding="utf-8")

    publish_folder(folder, fill)
    return read(folder)


def of_model(folder: Path) -> str:
    """The model that a version's folder is named after, "" where it is no version's."""
    named = NAME.fullmatch(Path(folder).name)
    return named["model"].replace(".", ":") if named else ""


def folders(models: Path, model: str | None = None) -> list[Path]:
    """The folder of every version, oldest first, damaged or not; of one model if named. No file is read."""
    named = ((NAME.fullmatch(path.name), path) for path in Path(models).glob("[0-9]*") if path.is_dir())
    found = [
        (match["stamp"], match["model"], int(match["number"] or 1), path)
        for match, path in named
        if match and model in (None, of_model(path))
    ]
    return [path for *_, path in sorted(found)]


def versions(models: Path, model: str | None = None) -> list[Version]:
    """Every version, oldest first; of one model if named.

    Raises:
        DamageError: a card cannot be read.
    """
    return [read(folder) for folder in folders(models, model)]


def find(models: Path, version_id: str) -> Version:
    """A version by its id.

    Raises:
        SettingsError: there is none; those there are, are named.
        DamageError: its card cannot be read.
    """
    folder = Path(models) / version_id
    if folder not in (there := folders(models)):
        newest_ids = ", ".join(path.name for path in there[:-6:-1]) or "none: run `python -m app train` first"
        raise SettingsError(f"no version {version_id!r}; the newest are {newest_ids}.")
    return read(folder)


def newest(models: Path, model: str) -> Version:
    """The newest version of a model, its files proved to be those that were saved.

    Raises:
        SettingsError: there is none yet.
        DamageError: a file is missing or was changed.
    """
    saved = folders(models, model)
    if not saved:
        raise SettingsError(f"no saved {model} yet: run `python -m app train --models {model}` first.")
    return verified(read(saved[-1]))


def read(folder: Path) -> Version:
    """The version in a folder, if its card is the one that was saved.

    Raises:
        DamageError: the card is missing, was changed or cannot be read.
    """
    try:
        content = (folder / CARD).read_bytes()
        sealed = (folder / SEAL).read_text(encoding="utf-8") == f"{hashlib.sha256(content).hexdigest()}  {CARD}\n"
        card = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise DamageError(f"{folder.name}/{CARD} cannot be read ({reason}). Move the folder away. {AGAIN}") from None
    if not sealed:
        raise DamageError(f"{folder.name}/{CARD} is not what was saved: its SHA-256 differs. {AGAIN}")
    return Version(folder, card)


def verified(version: Version) -> Version:
    """The version, if it has just the files that were saved, each with the SHA-256 that its card recorded.

    Raises:
        DamageError: a file is missing, was changed or was added.
    """
    recorded = version.card["sha256"]
    for name, expected in recorded.items():
        path = version.folder / name
        if not path.is_file() or digest(path) != expected:
            raise DamageError(f"{version.id}/{name} is missing or is not what was saved. {AGAIN}")
    strangers = sorted({path.name for path in version.folder.iterdir()} - {*recorded, CARD, SEAL})
    if strangers:
        raise DamageError(f"{version.id}/{strangers[0]} was not saved with the version. Move it away.")
    return version


def sound(version: Version) -> Version:
    """The version, if all that can be known of it without loading a model's library is in order.

    That is: every hash (`verified`), what is inside its `.keras` files, and the libraries that have to read it.

    Raises:
        DamageError: something is not.
    """
    verified(version)
    for path in sorted(version.folder.glob("*.keras")):
        check_archive(path)
    check_libraries(version.id, version.card)
    return version


def faults(models: Path, check: Callable[[Version], object] = sound) -> Iterator[tuple[str, str]]:
    """(id, what is wrong) of every version that `check` refuses, or whose card cannot be read."""
    for folder in folders(models):
        try:
            check(read(folder))
        except DamageError as error:
            yield folder.name, str(error)


def digest(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal(card: Path) -> str:
    return f"{digest(card)}  {card.name}\n"


def _free(folder: Path) -> Path:
    """The folder's name; with the number after the newest when others were made in the same second.

    After the newest, not the first that is free: where an older one was removed, its number would make
    the newest version an old one.
    """
    stamp = folder.name.partition("-")[0]
    same = [path.name for path in folders(folder.parent, of_model(folder))]
    newest = [name for name in same if name.startswith(f"{stamp}-")][-1:]
    if not newest:
        return folder
    found = NAME.fullmatch(newest[0])
    return folder.with_name(f"{folder.name}-{int((found and found['number']) or 1) + 1}")
