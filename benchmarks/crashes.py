"""Versions and the champion under `kill -9` at random moments. Run: python -m benchmarks.crashes

A child publishes, promotes or rolls back over and over and acknowledges each on a pipe; it is killed at a random
moment. Then: everything acknowledged is there, no version is half there, the ledger is whole, there is exactly one
champion and its version is sound, and the next operation works without help.
"""

import argparse
import json
import shutil
import tempfile
from argparse import Namespace
from pathlib import Path
from time import perf_counter

import numpy as np

from app import registry
from app.commands.models import rollback
from app.config import load_settings
from app.dataset import make_windows
from app.dataset.windows import WindowSpec
from app.forecasters.baselines import RandomWalk
from app.journal import Journal
from app.prices.database import check_integrity, reading
from app.registry.versions import folders
from tests.crash import Acknowledge, Toll, survive
from tests.forecasters.planted import learning_sets, price_table


def main() -> None:
    """Print a row of a Markdown table for each operation, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began, found = perf_counter(), {}
    for name, operation in (("publish", publishes), ("promote", promotes), ("rollback", rollbacks)):
        with tempfile.TemporaryDirectory() as home:
            found[name] = operation(Path(home), options.kills, options.seed)
    if options.json:
        print(json.dumps({name: vars(toll) for name, toll in found.items()}))
        return
    print("| operation | kills | acknowledged | lost, half there or in need of help |\n|---|---|---|---|")
    for name, toll in found.items():
        print(f"| {name} | {toll.kills} | {toll.acknowledged} | 0 |")
    print(f"\n{perf_counter() - began:.0f} s; a loss would have ended the run with an error")


def publishes(home: Path, kills: int, seed: int) -> Toll:
    """Versions of a random walk, one after the other."""
    models, trained = home / "models", _trained()

    def work(acknowledge: Acknowledge) -> None:
        while True:
            acknowledge(registry.save(models, trained, {"source": "sample"}).id)

    def check(acknowledged: list[str]) -> None:
        there = {folder.name for folder in folders(models)}
        assert set(acknowledged) <= there, f"lost: {set(acknowledged) - there}"
        for version in registry.versions(models):
            registry.load(version)
        after = registry.save(models, trained, {"source": "sample"})
        assert registry.newest(models, "random-walk").id == after.id
        registry.sweep(models, [], now=2e10)
        assert not list(models.glob(".*")), "leftovers of a killed run were not swept"
        for folder in folders(models)[:-1]:
            shutil.rmtree(folder)

    return survive(work, check, kills, within_s=1.5, seed=seed)


def promotes(home: Path, kills: int, seed: int) -> Toll:
    """The pointer moves from one version to another."""
    journal, names = _stage(home)

    def work(acknowledge: Acknowledge) -> None:
        while True:
            for name in names:
                acknowledge(_told(journal.crown(name, "better", 0.01)))

    def check(acknowledged: list[str]) -> None:
        _check_pointer(home, journal, acknowledged)
        after = journal.crown(names[0], "better", 0.01)
        assert journal.champion() == after

    return survive(work, check, kills, seed=seed)


def rollbacks(home: Path, kills: int, seed: int) -> Toll:
    """Two versions are promoted, then the command goes back, twice over."""
    journal, names = _stage(home)
    settings = load_settings({"home": str(home)})

    def work(acknowledge: Acknowledge) -> None:
        while True:
            for name in names:
                acknowledge(_told(journal.crown(name, "better", 0.01)))
            for _ in names[1:]:
                rollback(settings, Namespace(reason="drill"))
                acknowledge(_told(journal.champion()))

    def check(acknowledged: list[str]) -> None:
        _check_pointer(home, journal, acknowledged)
        line = registry.line(journal.champions())
        if len(line) > 1:
            rollback(settings, Namespace(reason="after the kill"))
            assert journal.champion().version == line[-2]

    return survive(work, check, kills, seed=seed)


def _check_pointer(home: Path, journal: Journal, acknowledged: list[str]) -> None:
    """Every row acknowledged is there as it was told, one champion is in service, and the ledger is whole."""
    rows = [_told(row) for row in journal.champions()]
    missing = set(acknowledged) - set(rows)
    assert not missing, f"lost: {missing}"
    with reading(journal.path, 5.0) as connection:
        check_integrity(connection, journal.path)
    serving = registry.first_sound(registry.in_service(home / "models", journal.champions()))
    assert serving.version.id == journal.champion().version
    assert serving.refused == ()


def _stage(home: Path) -> tuple[Journal, list[str]]:
    """Three versions and a journal whose champion is the first."""
    trained = _trained()
    names = [registry.save(home / "models", trained, {"source": "sample"}).id for _ in range(3)]
    journal = Journal(home / "data" / "ledger.sqlite", "sample")
    journal.crown(names[0], "first")
    return journal, names


def _told(row) -> str:
    return f"{row.id} {row.version} {row.previous}"


def _trained() -> registry.Trained:
    """A random walk on two symbols of 400 sessions."""
    random = np.random.default_rng(0)
    prices = price_table({symbol: 0.01 * random.normal(size=400) for symbol in ("A", "B")})
    windows = make_windows(prices, WindowSpec(lookback=8, horizons=(1, 4)), "24/5")
    learnt, validation = learning_sets(windows, "2024-06-28", "2024-01-01")
    recipe = RandomWalk()
    return registry.Trained("random-walk", recipe, recipe.fit(learnt, validation), windows, learnt, validation)


if __name__ == "__main__":
    main()
