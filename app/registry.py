"""Saved models: one folder a version, written aside and renamed, refused when damaged."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.atomic import publish_folder
from app.errors import DamageError, SettingsError


@dataclass(frozen=True)
class Version:
    """A model on disk: its folder and its card (settings, data, seed, scores, versions of libraries)."""

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
    """
    stamp = "".join(sign for sign in card["made_at"][:19] if sign.isdigit())
    folder = _free(Path(models) / f"{stamp}-{card['model']}")

    def fill(draft: Path) -> None:
        write(draft)
        whole = {**card, "sha256": {path.name: _digest(path) for path in sorted(draft.iterdir())}}
        (draft / "card.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")

    publish_folder(folder, fill)
    return Version(folder, _card(folder))


def versions(models: Path, model: str | None = None) -> list[Version]:
    """Every version, oldest first; of one model if named."""
    folders = sorted(path.parent for path in Path(models).glob("[0-9]*/card.json"))
    every = [Version(folder, _card(folder)) for folder in folders]
    return [version for version in every if model in (None, version.card["model"])]


def newest(models: Path, model: str) -> Version:
    """The newest version of a model, its files proved to be those that were saved.

    Raises:
        SettingsError: there is none yet.
        DamageError: a file is missing or was changed.
    """
    saved = versions(models, model)
    if not saved:
        raise SettingsError(f"no saved {model} yet: run `python -m app train --models {model}` first.")
    return verified(saved[-1])


def verified(version: Version) -> Version:
    """The version, if each of its files has the SHA-256 that its card recorded.

    Raises:
        DamageError: a file is missing or was changed.
    """
    for name, digest in version.card["sha256"].items():
        path = version.folder / name
        if not path.exists() or _digest(path) != digest:
            raise DamageError(
                f"{version.id}/{name} is missing or is not what was saved. Train again: `python -m app train`."
            )
    return version


def _free(folder: Path) -> Path:
    """The folder's name, with a number when two versions were made in the same second."""
    names = [folder, *(folder.with_name(f"{folder.name}-{number}") for number in range(2, 1000))]
    return next(name for name in names if not name.exists())


def _card(folder: Path) -> Mapping[str, Any]:
    try:
        return json.loads((folder / "card.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamageError(
            f"{folder.name}/card.json cannot be read ({error}). Move the folder away and train again."
        ) from None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
