"""Forecasters by name. Importing this loads no model's library: `--help` lists the names in a tenth of a second."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.allowed import known_names
from app.errors import SettingsError
from app.forecasters.shapes import SHAPES, shapes_of, without_meaning

if TYPE_CHECKING:
    from app.forecasters.base import Fitted, Recipe
    from app.forecasters.recipe import Network

NETWORKS = {
    "simple-rnn": "vanilla recurrent network (Elman 1990)",
    "lstm": "long short-term memory (Hochreiter & Schmidhuber 1997)",
    "gru": "gated recurrent unit (Cho et al. 2014)",
    "peephole-lstm": "LSTM whose gates see the memory, too (Gers et al. 2002)",
    "depth-gated-lstm": "stacked LSTM whose memories are joined by gates (Yao et al. 2015)",
    "clockwork-rnn": "modules of units that tick at their own periods (Koutník et al. 2014)",
    "bidirectional-lstm": "LSTM that reads each window from both ends (Schuster & Paliwal 1997)",
    "attention-lstm": "LSTM and attention over its past states (Feng et al. 2019)",
    "transformer": "small causal encoder (Vaswani et al. 2017)",
    "mlp": "feed-forward network on the whole window, without recurrence",
}
MODELS = {
    "random-walk": "no drift, the symbol's historical volatility",
    "ewma": "RiskMetrics volatility with the quantiles of its own past residuals",
    "garch": "GARCH(1,1) with Student t, one for each symbol",
    "gjr-garch": "GJR-GARCH with Student t: falls move volatility more than rises",
    "egarch": "EGARCH with Student t: the log of the variance moves, by sign and size of the news",
    "har": "daily, weekly and monthly volatility from price ranges, with the quantiles of its own past residuals",
    "har-x": "the same with falls, volume, the calendar, earlier quarters and the market, in one line for all symbols",
    "quantile-boosting": "gradient-boosted trees on the same features, one for each level and horizon",
    "always-up": "a rise, always: for the direction alone",
    "base-rate": "a rise as often as in the past: for the direction alone",
    **NETWORKS,
}
"""Every model by the name it has on the command line, in settings and in tables, with its meaning. A network may carry
its shape in its name, as in lstm:many-to-many."""

USUAL = ("random-walk", "ewma", "gjr-garch", "har-x", "quantile-boosting", "lstm", "gru")
"""The models of a run that names none."""

_SECTIONS = {
    "random-walk": "random_walk",
    "ewma": "ewma",
    "garch": "garch",
    "gjr-garch": "garch",
    "egarch": "egarch",
    "har": "har",
    "har-x": "harx",
    "quantile-boosting": "boosting",
}
TARGET_NAMES = ("return", "direction", "volatility")
"""What can be forecast; `dataset.targets` says how. Named here, too, for `--help`, which loads no NumPy."""

GUESSES = ("always-up", "base-rate")
"""Models of the direction alone, whose quantiles say nothing else."""


def check_name(name: str) -> str:
    """Return the name if a model has it.

    Raises:
        SettingsError: none has; the nearest is named. Or it carries a shape that its model cannot have.
    """
    model, colon, shape = name.partition(":")
    if model not in MODELS:
        raise SettingsError(f"models: no {model!r}{known_names(model, MODELS, 'python -m app run --help')}")
    if colon and model not in NETWORKS:
        raise SettingsError(f"models: {name!r} has a shape, and {model!r} is no network. Write {model!r}.")
    if colon and shape not in SHAPES:
        raise SettingsError(f"models: {name!r} has a shape that is none; those of {model!r} are {shapes_of(model)}.")
    if reason := without_meaning(model, shape):
        raise SettingsError(f"models: {name!r} has no meaning: {reason}. Its shapes: {shapes_of(model)}.")
    return name


def is_network(name: str) -> bool:
    """Whether a model is a network, whose name may carry a shape."""
    model, colon, shape = name.partition(":")
    return model in NETWORKS and (not colon or shape in SHAPES)


def network_named(name: str, network: "Network") -> "Network":
    """The settings of a network under the name of a model: its cell, and its shape where the name carries one."""
    cell, _, shape = name.partition(":")
    return replace(network, cell=cell, shape=shape or network.shape)


def make_recipe(name: str, sections: Mapping[str, Any], target: str = "return") -> "Recipe":
    """The recipe of a model, with the settings of its section.

    Args:
        name: one of `MODELS`, a network's with its shape or without.
        sections: settings section → recipe: random_walk, ewma, garch, egarch, har, harx, boosting, network.
        target: what is forecast, a name of `dataset.targets.TARGETS`. Where it is volatility, models of returns
            become models of volatility (`realised`); the others forecast whatever their windows hold.

    Raises:
        SettingsError: there is no such model, or it cannot forecast the target.
    """
    if is_network(check_name(name)):
        return network_named(name, sections["network"])
    if name in GUESSES:
        from app.forecasters import guesses

        if target == "volatility":
            raise SettingsError(
                f"models: {name!r} guesses the direction, but window.target is {target!r}. Leave it out."
            )
        return guesses.AlwaysUp() if name == "always-up" else guesses.BaseRate()
    recipe = sections[_SECTIONS[name]]
    recipe = replace(recipe, asymmetric=name == "gjr-garch") if _SECTIONS[name] == "garch" else recipe
    if target != "volatility" or name in ("har", "har-x", "quantile-boosting"):
        return recipe
    from app.forecasters import realised

    if name in ("random-walk", "ewma"):
        return realised.Unchanged(weighted=name == "ewma")
    return realised.Expected(name, recipe)


def save_fitted(name: str, recipe: "Recipe", fitted: "Fitted", folder: Path) -> None:
    """Write a fitted model and the recipe it came from into an existing folder."""
    fitted.save(folder)
    content = {"name": name, "fitted": type(fitted).__name__, "settings": asdict(recipe)}
    (Path(folder) / "recipe.json").write_text(json.dumps(content, indent=1))


def load_fitted(folder: Path) -> "Fitted":
    """What `save_fitted` wrote; only the library of that model is loaded."""
    content = json.loads((Path(folder) / "recipe.json").read_text())
    name = check_name(content["name"])
    if is_network(name):
        from app.forecasters import start

        return start.load("app.forecasters.recurrent").FittedNetwork.load(folder)
    if name == "quantile-boosting":
        from app.forecasters import tabular

        return tabular.FittedBoosting.load(folder)
    return _loader(name, content.get("fitted", ""))(folder)


def _loader(name: str, fitted: str) -> Callable[[Path], "Fitted"]:
    """What reads the numbers of a model that is neither a network nor made of trees."""
    if name in GUESSES:
        from app.forecasters import guesses

        return guesses.FittedGuess.load
    if fitted in ("FittedExpected", "FittedUnchanged"):
        from app.forecasters import realised

        expected = partial(realised.FittedExpected.load, name=name)
        return expected if fitted == "FittedExpected" else realised.FittedUnchanged.load
    if name in ("garch", "gjr-garch", "egarch"):
        from app.forecasters import egarch, garch

        return egarch.FittedEgarch.load if name == "egarch" else garch.FittedGarch.load
    from app.forecasters import baselines, har, harx

    kinds: dict[str, Any] = {
        "random-walk": baselines.FittedRandomWalk,
        "ewma": baselines.FittedEwma,
        "har": har.FittedHar,
        "har-x": harx.FittedHarX,
    }
    return kinds[name].load
