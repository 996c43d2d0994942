"""The notebook API: a dozen names, each loaded when first asked for.

import app

settings = app.load_settings()                # sample prices; {"prices": {"symbols": …}} for others
prices = app.load_prices(settings)            # checked; what was wrong is in prices.issues
windows = app.make_dataset(settings, prices)  # sequences by index
evidence = app.backtest(settings, windows)    # forecasts, scores, verdicts
app.train(settings, windows)                  # saved under models/
live = app.forecast(settings, prices)         # the newest forecast of every symbol
app.price_table(live)                         # … in prices
"""

from importlib import import_module

_PLACES = {
    "load_settings": "app.config",
    "Settings": "app.config",
    "fetch": "app.pipeline",
    "load_prices": "app.pipeline",
    "make_dataset": "app.pipeline",
    "backtest": "app.pipeline",
    "train": "app.pipeline",
    "forecast": "app.pipeline",
    "look_inside": "app.commands.inspection",
    "score": "app.evaluation.metrics",
    "verdict": "app.evaluation.significance",
    "price_table": "app.report.pricing",
    "actual_pictures": "app.report.gallery",
    "newest_pictures": "app.report.gallery",
    "inside_pictures": "app.report.inspected",
    "inside_sentences": "app.report.inspected",
    "write_report": "app.report.page",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str):
    if name not in _PLACES:
        raise AttributeError(f"module 'app' has no {name!r}; it has {__all__}.")
    return getattr(import_module(_PLACES[name]), name)


def __dir__():
    return __all__
