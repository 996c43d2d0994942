"""Versions to be damaged: small models of every kind, fitted once to two symbols."""

import dataclasses
import importlib.metadata
import json
from pathlib import Path

import numpy as np

from app import registry
from app.dataset import make_windows
from app.dataset.windows import Windows, WindowSpec
from app.forecasters.baselines import Ewma, RandomWalk
from app.forecasters.garch import Garch
from app.forecasters.recipe import Network
from app.forecasters.tabular import QuantileBoosting
from tests.forecasters.planted import learning_sets, price_table

RECIPES = {
    "random-walk": RandomWalk(),
    "ewma": Ewma(),
    "gjr-garch": Garch(asymmetric=True),
    "quantile-boosting": QuantileBoosting(rows=1000, iterations=2, least=20),
    "gru": Network(cell="gru", units=2, epochs=1, updates=2, steps=4),
}
LIBRARIES = {name: importlib.metadata.version(name) for name in ("keras", "scikit-learn")}
ABOUT = {"source": "files", "settings": {}, "libraries": LIBRARIES}


def windows() -> Windows:
    """Two symbols of 600 random sessions."""
    rng = np.random.default_rng(0)
    prices = price_table({symbol: 0.01 * rng.standard_t(4, 600) for symbol in ("A", "B")})
    return make_windows(prices, WindowSpec(lookback=8, horizons=(1, 4)), "24/5")


def trained(name: str, all_windows: Windows) -> registry.Trained:
    """A model of RECIPES, fitted to what was known in March 2024."""
    learnt, validation = learning_sets(all_windows, "2024-03-29", "2023-12-01")
    recipe = RECIPES[name]
    return registry.Trained(name, recipe, recipe.fit(learnt, validation), all_windows, learnt, validation)


def resealed(version: registry.Version, name: str, content: bytes, **said) -> registry.Version:
    """The same version with another content of one file, its card and its hashes made right again."""
    (version.folder / name).write_bytes(content)
    card = {**version.card, **said, "sha256": {**version.card["sha256"], name: registry.digest(version.folder / name)}}
    (version.folder / "card.json").write_text(json.dumps(card))
    (version.folder / "card.sha256").write_text(f"{registry.digest(version.folder / 'card.json')}  card.json\n")
    return registry.read(version.folder)


def copy_of(version: registry.Version, folder: Path) -> registry.Version:
    """The same files elsewhere."""
    target = folder / version.id
    target.mkdir(parents=True)
    for path in version.folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return dataclasses.replace(version, folder=target)
