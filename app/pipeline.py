"""The story: update, dataset, backtest, train, forecast, report. Read it from top to bottom."""

import dataclasses
import importlib.metadata
import logging
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from app import registry
from app.atomic import publish_file
from app.config import SECTIONS, Settings
from app.dataset import make_windows
from app.dataset.features import FEATURES
from app.dataset.targets import target as target_named
from app.dataset.windows import Windows, WindowSpec
from app.errors import DataError, SettingsError
from app.evaluation import audit as auditing
from app.evaluation import backtest as walk
from app.evaluation.alarms import Finding
from app.evaluation.audit import Subject
from app.evaluation.conformal import corrected_newest
from app.evaluation.evidence import Evidence, judge
from app.forecasters import GUESSES, make_recipe
from app.forecasters.base import Recipe, forecasts_table
from app.journal import Journal
from app.prices.outcomes import Updated, raise_failures
from app.prices.providers import PROVIDERS, USUAL, provider
from app.prices.quality import inspect, sound
from app.prices.sources import Files, Sample, Source, check_symbol
from app.prices.store import Ledger
from app.prices.update import unknown_symbols, update
from app.schema import FORECAST_KEYS

log = logging.getLogger(__name__)


FIRST = {
    "sample": "fetch --source sample",
    **{name: f"fetch --source {name} --symbols {{symbols}}" for name in PROVIDERS},
    USUAL: "fetch --symbols {symbols}",
    "import": "prices import PATH",
}
"""What brings the prices of a source into the ledger."""


@dataclass(frozen=True, eq=False)
class Prices:
    """What the models may see, and what was wrong with what was given."""

    raw: pd.DataFrame
    sound: pd.DataFrame
    issues: pd.DataFrame


def fetch(settings: Settings, source: Source | None = None) -> list[Updated]:
    """Ask the source for what the ledger lacks, and append it; one outcome a symbol."""
    source = source or _source(settings)
    symbols = settings.prices.symbols or source.symbols() or Ledger(settings.ledger).symbols(source.name)
    if not symbols:
        raise SettingsError("no symbols: name some, as in --symbols AAPL MSFT.")
    if source.symbols():
        unknown_symbols(symbols, source.symbols(), f"source {source.name!r}")
    wanted = [check_symbol(symbol) for symbol in symbols]
    return update(Ledger(settings.ledger), source, wanted, settings.prices.calendar, settings.fetch)


def load_prices(settings: Settings) -> Prices:
    """Prices as the settings want them: fetched if need be, read, inspected, the unsound rows left out."""
    raw = read_prices(settings)
    issues = inspect(raw, calendar=settings.prices.calendar or None)
    kept = sound(raw, issues)
    errors = int((issues["severity"] == "error").sum())
    log.info("prices: %d rows of %d symbols, %d left out as unsound", len(raw), raw["symbol"].nunique(), errors)
    if len(kept) == 0:
        raise DataError(
            "prices: no sound row among those asked for. Check --start and --end; `prices check` lists what is wrong."
        )
    return Prices(raw, kept, issues)


def check(settings: Settings) -> pd.DataFrame:
    """The issues of the prices the settings name, as they are stored or in files; nothing is fetched or changed."""
    raw = read_prices(settings, fetching=False)
    if len(raw) == 0:
        raise DataError("prices: there is nothing to check between --start and --end, or nothing was known then.")
    return inspect(raw, calendar=settings.prices.calendar or None)


def read_prices(settings: Settings, fetching: bool = True) -> pd.DataFrame:
    """The raw price table the settings name.

    Args:
        fetching: first ask the source for what the ledger lacks, unless told to stay offline, or what
            it knew at some time.
    """
    wanted = settings.prices
    start, stop = span(settings)
    if wanted.source == "files":
        return Files(Path(wanted.path)).table(wanted.symbols or None, start, stop)
    fetching = fetching and not wanted.as_of
    if wanted.source == "sample" and not fetching and not wanted.as_of:
        return _sample(wanted.symbols, start, stop)
    if fetching and (wanted.source == "sample" or (wanted.source in PROVIDERS and not wanted.offline)):
        raise_failures(fetch(settings))
    ledger = Ledger(settings.ledger)
    held = ledger.symbols(wanted.source)
    if not held:
        first = FIRST[wanted.source].format(symbols=" ".join(wanted.symbols) or "AAPL MSFT")
        raise SettingsError(f"the ledger holds nothing from {wanted.source!r} yet: run `python -m app {first}` first.")
    unknown_symbols(wanted.symbols, held, f"the ledger's {wanted.source!r}")
    return ledger.prices(wanted.source, wanted.symbols or None, start, stop, as_of=wanted.as_of or None)


def span(settings: Settings) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """First and last day of prices asked for; None is no bound."""
    first, last = (np.datetime64(day, "D") if day else None for day in (settings.prices.start, settings.prices.stop))
    return first, last


def make_dataset(settings: Settings, prices: Prices, spec: WindowSpec | None = None) -> Windows:
    """Windows of features with their targets."""
    windows = make_windows(prices.sound, spec or settings.window, settings.prices.calendar or None)
    log.info("windows: %d of %d sessions and %d features", len(windows), windows.spec.lookback, len(FEATURES))
    return windows


def recipes(settings: Settings, besides: Sequence[str] = ()) -> dict[str, Recipe]:
    """The recipe of every model asked for, and of those besides."""
    sections = {name: getattr(settings, name) for name in SECTIONS}
    sections["network"] = dataclasses.replace(settings.network, seed=settings.network.seed + settings.seed)
    names = dict.fromkeys((*besides, *settings.models))
    return {name: make_recipe(name, sections, settings.window.target) for name in names}


def backtest(settings: Settings, windows: Windows) -> Evidence:
    """Walk forward with every model and the baselines of the target, then score, test and judge."""
    target = windows.target
    done = walk.backtest(windows, recipes(settings, target.baselines), settings.backtest)
    return judge(done, target)


def audit(settings: Settings, prices: Prices, full: bool = False) -> list[Finding]:
    """Prove that nothing in this pipeline knows the future, on these settings and prices.

    Args:
        full: train networks as the settings say; otherwise one member for two epochs, which leak as much.
    """
    quick = dataclasses.replace(settings.network, epochs=min(settings.network.epochs, 2), members=1)
    given = settings if full else settings.model_copy(update={"network": quick})
    subject = Subject(
        prices=prices.raw,
        clean=lambda raw: sound(raw, inspect(raw, calendar=settings.prices.calendar or None)),
        pipeline=lambda table: make_dataset(settings, dataclasses.replace(prices, sound=table)),
        recipes=recipes(given),
        walk=lambda windows, watched: walk.backtest(windows, watched, settings.backtest).forecasts,
    )
    return auditing.audit(subject)


def train(settings: Settings, windows: Windows, until: np.datetime64 | None = None) -> list[registry.Version]:
    """Fit every model, and save each as a version.

    Args:
        until: learn only from what was known at the close of this day; the newest by default. The sessions
            after it are held out: the version can be compared on them.
    """
    until = windows.origin.max() if until is None else until
    known = windows.known_by(until)
    learnt, validation = walk.split(known, settings.backtest.validation)
    about = {"source": settings.prices.source, "settings": plain_settings(settings), "libraries": package_versions()}
    saved = []
    for name, recipe in recipes(settings).items():
        log.info("training %s on %d windows known by %s", name, len(known), until)
        trained = registry.Trained(name, recipe, recipe.fit(learnt, validation), windows, learnt, validation)
        saved.append(registry.save(settings.versions, trained, about))
    return saved


def served(settings: Settings) -> dict[str, registry.Served]:
    """What forecasts for every model asked for: the source's champion, else its newest version that may."""
    kept_as = target_named(settings.window.target).kept_as
    champions = Journal(settings.ledger, settings.prices.source).champions()
    return {name: registry.serve(settings.versions, name + kept_as, champions) for name in settings.models}


def forecast(settings: Settings, prices: Prices, by: Mapping[str, registry.Served] | None = None) -> pd.DataFrame:
    """The newest forecast of every symbol by every model; published under data/.

    Args:
        by: name in the table → what forecasts under it; `served(settings)` by default.
    """
    found = served(settings) if by is None else by
    specs = {name: version_spec(one.version) for name, one in found.items()}
    datasets = {spec: make_dataset(settings, prices, spec) for spec in set(specs.values())}
    tables, corrected = [], []
    for name, one in found.items():
        windows = datasets[specs[name]]
        for warning in one.warnings(windows.panel.symbols, settings.prices.calendar):
            log.warning("%s", warning)
        tables.append(forecasts_table(name, windows.newest(), one.fitted.predict(windows.newest())))
        if settings.backtest.conformal and name not in GUESSES:
            corrected.append(corrected_newest(name, one.fitted, windows))
    live = pd.concat([*tables, *corrected], ignore_index=True)
    _publish_forecasts(settings, live)
    return live


def _publish_forecasts(settings: Settings, live: pd.DataFrame) -> None:
    """Add to the forecasts of this source and newest origin; those of other symbols and models stay."""
    newest = pd.Timestamp(live["origin"].max()).date().isoformat()
    kind = f"{source_label(settings)}{target_named(settings.window.target).kept_as}"
    place = settings.data / "forecasts" / f"{kind}-{newest}.parquet"
    earlier = [pd.read_parquet(place)] if place.exists() else []
    every = pd.concat([*earlier, live], ignore_index=True).drop_duplicates(list(FORECAST_KEYS), keep="last")
    publish_file(place, lambda path: every.to_parquet(path, index=False))


def source_label(settings: Settings) -> str:
    """What the reports and forecasts of a source are filed under: its name, for files with theirs."""
    wanted = settings.prices
    if wanted.source != "files":
        return wanted.source
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(wanted.path).resolve().stem).strip("-.")
    return f"files-{name or 'unnamed'}"[:80]


def version_spec(version: registry.Version) -> WindowSpec:
    """The windows a version was trained on: lookback, horizons and what else makes them.

    Raises:
        SettingsError: its features are not those of today.
    """
    registry.check_features(version)
    card = {"target": "return", **version.card, "horizons": tuple(version.card["horizons"])}
    return WindowSpec(**{field.name: card[field.name] for field in dataclasses.fields(WindowSpec)})


def package_versions() -> dict[str, str]:
    """Versions of Python and of the libraries that shape a forecast."""
    names = ("keras", "tensorflow", "jax", "numpy", "pandas", "scikit-learn", "arch", "yfinance", "exchange-calendars")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def plain_settings(settings: Settings) -> dict:
    """Settings as nested plain values, for cards and reports; no folder or address of the user's among them."""
    return settings.model_dump(mode="json", exclude={"home": True, "daily": {"notify_command", "notify_url"}})


def _sample(symbols: Sequence[str], start: np.datetime64 | None, stop: np.datetime64 | None) -> pd.DataFrame:
    """The embedded sample as it is, without storing it."""
    sample = Sample()
    unknown_symbols(symbols, sample.symbols(), "the sample")
    return pd.concat([sample.history(one, start, stop) for one in symbols or sample.symbols()], ignore_index=True)


def _source(settings: Settings) -> Source:
    if settings.prices.source == "sample":
        return Sample()
    name = settings.prices.source
    if name in PROVIDERS:
        return provider(name, settings.fetch, settings.prices.calendar, settings.data / f"{name}-cache")
    raise SettingsError(
        f"nothing to fetch from {settings.prices.source!r}: use --source sample or --symbols with Yahoo."
    )
