"""Who can be asked for prices over a network. Another one is a module with a `Source`, and a line here."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line reads the names below before anything else is loaded
    from app.prices.patience import Patience
    from app.prices.sources import Source

PROVIDERS = {"yahoo": "app.prices.yahoo:Yahoo"}
"""Name → "module:class" of a `Source` that takes the arguments of `app.prices.yahoo.Yahoo`, tries to cache, and has
a clock, `now`: only sessions that have closed by it are stored. What is no price it raises, as `SourceError`,
`UnknownSymbolError` or `DataError`."""

USUAL = "yahoo"
"""Who is asked for symbols when nobody is named."""


def provider(name: str, patience: "Patience", calendar: str = "", cache: Path | None = None) -> "Source":
    """The provider of that name; its module is loaded now, because client libraries take seconds to load.

    Args:
        name: of `PROVIDERS`. patience: tries, pauses and rate of requests. calendar: whose sessions, "" to go by
            each symbol. cache: a folder for what the client remembers.
    """
    module, _, kind = PROVIDERS[name].partition(":")
    return getattr(importlib.import_module(module), kind)(
        tries=patience.tries,
        timeout_s=patience.timeout_s,
        pause_s=patience.pause_s,
        requests_per_s=patience.requests_per_s,
        calendar=calendar,
        cache=cache,
    )
