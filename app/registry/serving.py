"""From a version to a model that may forecast: proved, loaded, tried on its golden input; else the one before it."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.dataset.outlook import FEWEST
from app.errors import DamageError, SettingsError
from app.forecasters import load_fitted
from app.forecasters.base import Fitted
from app.forecasters.harx import FittedHarX
from app.prices.calendar import calendar_for
from app.registry.golden import TOLERANCE, Golden
from app.registry.succession import Row, in_service
from app.registry.versions import Version, folders, of_model, read, sound

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """A model that may forecast, and why those asked for before it may not: one sentence each."""

    version: Version
    fitted: Fitted
    refused: tuple[str, ...] = ()

    def warnings(self, symbols: Sequence[str], calendar: str = "") -> list[str]:
        """What it learnt from and cannot be told by the symbols at hand: a sentence for each exchange without a market.

        Args:
            symbols: those that it forecasts together. calendar: whose sessions, "" to go by each symbol.
        """
        if not isinstance(getattr(self.fitted, "frame", self.fitted), FittedHarX):
            return []  # nothing else is told of the market
        learnt, given = (
            Counter(calendar_for(symbol, name=calendar) for symbol in some)
            for some in (self.version.card["symbols"], symbols)
        )
        return [
            f"{self.version.id} learnt from the market of {learnt[exchange]} symbols of {exchange}, and {count} of it "
            f"are at hand: fewer than {FEWEST} make no market, and it reads as usual. Forecast {FEWEST} or more "
            "together, or train again on those at hand."
            for exchange, count in sorted(given.items())
            if count < FEWEST <= learnt[exchange]
        ]


def load(version: Version) -> Fitted:
    """The fitted model of a version, proved to be what was saved and to forecast as it did then.

    Raises:
        DamageError: a hash, a `.keras` file's content, a library's release or the golden output is wrong.
    """
    sound(version)
    try:
        fitted = load_fitted(version.folder)
        apart = Golden.load(version.folder).difference(fitted)
    except DamageError:
        raise
    except Exception as error:  # whatever a library says about a file: in our words, without its pages of configuration
        first = " ".join(str(error).split())[:80]
        raise DamageError(
            f"{version.id} cannot be loaded ({type(error).__name__}: {first}). Train again: `python -m app train`."
        ) from error
    if not apart <= TOLERANCE:
        raise DamageError(
            f"{version.id} does not give its golden output again: {apart:.3g} apart, allowed are {TOLERANCE}. "
            "Put back the libraries its card names, or train again: `python -m app train`."
        )
    return fitted


def first_sound(places: Iterable[Path]) -> Served:
    """The first version that may forecast; each one refused before it is logged.

    Args:
        places: folders of versions, the one wanted first.

    Raises:
        DamageError: none may; the reason of the first is told.
    """
    refused: list[str] = []
    for place in places:
        try:
            version = read(place)
            return Served(version, load(version), tuple(refused))
        except DamageError as error:
            log.warning("refused, the version before it is tried: %s", error)
            refused.append(str(error))
    if not refused:
        raise DamageError("there is no version to forecast with. Train one: `python -m app train`.")
    raise DamageError(refused[0])


def newest_sound(models: Path, model: str) -> Served:
    """The newest version of a model that may forecast.

    Raises:
        SettingsError: there is no version of it yet.
        DamageError: none may; the reason of the newest is told.
    """
    places = folders(models, model)
    if not places:
        raise SettingsError(f"no saved {model} yet: run `python -m app train --models {model}` first.")
    return first_sound(reversed(places))


def serve(models: Path, model: str, history: Sequence[Row]) -> Served:
    """The version of a model that forecasts: its champion, or, where none of its versions ever was, the newest.

    Args:
        history: rows of the champion table of a source, in their order.

    Raises:
        SettingsError, DamageError: as `newest_sound`.
    """
    champions = [place for place in in_service(models, history) if of_model(place) == model]
    newer = [place.name for place in folders(models, model) if champions and place.name > champions[0].name]
    if newer:
        words = "%s forecasts, as champion; the newer %s does once it is promoted: `python -m app models promote %s`"
        log.warning(words, champions[0].name, newer[-1], newer[-1])
    return first_sound(champions) if champions else newest_sound(models, model)
