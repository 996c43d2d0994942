"""What is allowed, said in the same words everywhere: a number in its range, a name among those known."""

import difflib
import math
from collections.abc import Iterable, Mapping

from app.errors import SettingsError

LISTED = 12
"""More names than this are not read by anybody: the nearest three are named, and what lists them all."""


def check_ranges(section: str, settings: object, ranges: Mapping[str, tuple[float, float]], unit: str = "") -> None:
    """Refuse settings with a number outside its range; both ends are allowed, NaN never is.

    Args:
        section: of the settings, as in "network"; "" for those without one.
        ranges: setting → (lowest, highest); an infinite highest is no bound.
        unit: of all of them, as in "sessions".

    Raises:
        SettingsError: naming the first one that is out.
    """
    for name, (low, high) in ranges.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            setting, of = (f"{section}.{name}" if section else name), (f" {unit}" if unit else "")
            allowed = f"at least {low}" if math.isinf(high) else f"{low} to {high}"
            raise SettingsError(f"{setting} must be {allowed}{of}, got {value}.")


def known_names(name: str, known: Iterable[str], everything: str) -> str:
    """How a message about an unknown name ends: with the one that was meant, or with those there are.

    Args:
        everything: the command that lists all, said where they are more than `LISTED`.
    """
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=1):
        return f"; did you mean {close[0]!r}?"
    if len(names) <= LISTED:
        return f"; known are {names}."
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.0)
    return f"; the nearest are {nearest}, and `{everything}` lists all."
