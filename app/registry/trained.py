"""What a version must say of itself, and all that is saved with it."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from app.dataset.outlook import TOLD
from app.dataset.windows import Windows
from app.errors import SettingsError
from app.evaluation.metrics import score
from app.forecasters import save_fitted
from app.forecasters.base import Fitted, Recipe, forecasts_table
from app.registry.golden import Golden
from app.registry.versions import Version, publish

SCORED = 60
"""Newest sessions of the validation windows that the card's scores are taken from."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A fitted model, and the windows it came from.

    windows: all there were; learnt, validation: what it was fitted to and chosen by.
    """

    name: str
    recipe: Recipe
    fitted: Fitted
    windows: Windows
    learnt: Windows
    validation: Windows


def save(models: Path, trained: Trained, about: Mapping[str, Any]) -> Version:
    """Publish a trained model as a version: model, recipe, golden input and output, card.

    Args:
        models: folder of all versions.
        about: what the card says besides: source, settings, libraries.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """

    def write(draft: Path) -> None:
        save_fitted(trained.name, trained.recipe, trained.fitted, draft)
        Golden.of(trained.fitted, trained.windows).save(draft)

    return publish(models, {**describe(trained), **about}, write)


def describe(trained: Trained) -> dict[str, Any]:
    """The card: what was learnt from what, until when, how well, and by which random numbers."""
    windows, known = trained.windows, (trained.learnt, trained.validation)
    trained_to = max(part.date.max() for part in known)
    curve = getattr(trained.fitted, "curve", None)
    return {
        "model": trained.name + windows.target.kept_as,
        "recipe": trained.name,
        "made_at": pd.Timestamp.now(tz="UTC").isoformat(),
        **asdict(windows.spec),
        "features": list(TOLD),
        "symbols": list(windows.panel.symbols),
        "trained_to": str(trained_to),
        "held_out": [str(day) for day in np.unique(windows.origin[windows.origin >= trained_to])],
        "windows": {"learnt": len(trained.learnt), "validation": len(trained.validation)},
        "data": fingerprint(windows, trained_to),
        "seeds": _seeds(trained.recipe),
        "scores": _scores(trained),
        "curve": [] if curve is None else _plain(curve),
    }


def check_features(version: Version) -> None:
    """Refuse a version that was trained on other features than there are now: it cannot be told what it wants to know.

    Raises:
        SettingsError: it was.
    """
    if version.card.get("features") != list(TOLD):
        raise SettingsError(
            f"{version.id} was trained on other features. Train again: `python -m app train`; the next `daily` does."
        )


def fingerprint(windows: Windows, until: np.datetime64) -> str:
    """SHA-256 of symbols, dates, returns, features and outlook of every session up to `until`: what is learnt from."""
    panel = windows.panel
    rows = panel.date <= until
    code = hashlib.sha256("\n".join(panel.symbols).encode())
    for part in (panel.code, panel.date, panel.returns, panel.features, panel.outlook):
        code.update(np.ascontiguousarray(part[rows]).tobytes())
    return code.hexdigest()


def _seeds(recipe: Recipe) -> list[int]:
    """The seed of each member; none where nothing is random."""
    seed = getattr(recipe, "seed", None)
    return [] if seed is None else [seed + 1000 * number for number in range(getattr(recipe, "members", 1))]


def _scores(trained: Trained) -> list[dict[str, Any]]:
    """Scores on the newest sessions of the validation windows, by horizon; not those of the gate."""
    origins = np.unique(trained.validation.origin)
    newest = trained.validation.originating(origins[-SCORED:][0], origins[-1] + 1)
    table = forecasts_table(trained.name, newest, trained.fitted.predict(newest))
    scores = score(table, newest.target.scores)
    return _plain(scores.drop(columns="model"))


def _plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON knows them; what is not a number becomes None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")
