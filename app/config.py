"""Settings: each stage's own, gathered from flags, STOCK_* variables, settings.toml and defaults.

Precedence, highest first: flag, variable, file, default. `STOCK_NETWORK__EPOCHS=3`, `--set
network.epochs=3` and `[network] epochs = 3` in `settings.toml` say the same.
"""

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from app.allowed import check_ranges, known_names
from app.dataset.windows import WindowSpec
from app.errors import SettingsError
from app.evaluation.backtest import Plan, check_days
from app.forecasters import USUAL, check_name, is_network, network_named
from app.forecasters.baselines import Ewma, RandomWalk
from app.forecasters.egarch import Egarch
from app.forecasters.garch import Garch
from app.forecasters.har import Har
from app.forecasters.harx import HarX
from app.forecasters.recipe import Network
from app.forecasters.tabular import QuantileBoosting
from app.home import PROJECT, find_home
from app.prices.moments import written
from app.prices.patience import Patience
from app.prices.providers import PROVIDERS
from app.prices.sources import check_symbol
from app.reproduce.settings import Reproduction
from app.routine import Routine

SOURCES = ("sample", *PROVIDERS, "import", "files")
SEEDS = (0, 2**31 - 1)
NEAR = 0.75
"""How alike a STOCK_* variable and a setting are when one is taken for a misspelling of the other, from 0 to 1."""
EVERYTHING = "python -m app settings"
"""The command that lists every setting."""


@dataclass(frozen=True)
class PriceSettings:
    """Where prices come from.

    source: "sample" (embedded), "yahoo" or another of `PROVIDERS`, "import" (what `prices import` stored) or "files"
    (read from `path`, not stored). symbols: none means all the source has; a provider's are upper case. start,
    stop: ISO dates, empty for all. calendar: an exchange's sessions for every symbol, empty to go by
    each symbol's suffix. offline: use what is stored, ask nobody. as_of: use what the ledger knew by
    the end of this day, or by this moment; empty is now.
    """

    source: str = "sample"
    path: str = ""
    symbols: tuple[str, ...] = ()
    start: str = ""
    stop: str = ""
    calendar: str = ""
    offline: bool = False
    as_of: str = ""

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise SettingsError(f"prices.source must be one of {list(SOURCES)}, got {self.source!r}.")
        if (self.source == "files") != bool(self.path):
            raise SettingsError("prices.source 'files' and --prices PATH go together; give both or neither.")
        if self.as_of and written(self.as_of) and self.source == "files":
            raise SettingsError("--as-of asks the ledger what it knew, and files are not in it: import them first.")
        check_days("prices", {name: getattr(self, name) for name in ("start", "stop")})
        if self.source in PROVIDERS:
            object.__setattr__(self, "symbols", tuple(check_symbol(symbol).upper() for symbol in self.symbols))


class Settings(BaseSettings):
    """Everything a run can be told, by stage."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    home: Path = PROJECT
    seed: int = 0
    models: tuple[str, ...] = USUAL
    prices: PriceSettings = PriceSettings()
    fetch: Patience = Patience()
    window: WindowSpec = WindowSpec()
    backtest: Plan = Plan()
    random_walk: RandomWalk = RandomWalk()
    ewma: Ewma = Ewma()
    garch: Garch = Garch()
    egarch: Egarch = Egarch()
    har: Har = Har()
    harx: HarX = HarX()
    boosting: QuantileBoosting = QuantileBoosting()
    network: Network = Network()
    reproduce: Reproduction = Reproduction()
    _given: frozenset[str] = frozenset()
    daily: Routine = Routine()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load_settings` passes: it merges the layers itself, to say which of them is wrong."""
        return (init_settings,)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_from_text(cls, value: Any, info) -> Any:
        """Let "1,5,20" or "[1, 5, 20]" stand for a list wherever a list is wanted."""
        default = cls.model_fields[info.field_name].default
        if info.field_name == "models":
            if not _words(value):
                raise SettingsError("models: none is named; `python -m app run --help` lists all.")
            return tuple(check_name(name) for name in _words(value))
        if isinstance(default, tuple):
            return _words(value)
        if isinstance(value, Mapping):
            lists = {f.name for f in dataclasses.fields(default) if str(f.type).startswith("tuple")}
            return {key: _words(item) if key in lists else item for key, item in value.items()}
        return value

    @model_validator(mode="after")
    def _seeds_in_range(self) -> "Settings":
        """The seed, and that of a network, to which it is added: refused before anything is read."""
        check_ranges("", self, {"seed": SEEDS})
        if self.seed + self.network.seed > SEEDS[1]:
            raise SettingsError(
                f"seed and network.seed must add up to {SEEDS[1]} at most, got {self.seed} and {self.network.seed}."
            )
        return self

    @property
    def given(self) -> frozenset[str]:
        """What was said rather than left to its default, as in "window.horizons"."""
        return self._given

    @property
    def data(self) -> Path:
        """Folder of the ledger, the forecasts and the reports."""
        return self.home / "data"

    @property
    def ledger(self) -> Path:
        """The one SQLite file of raw prices."""
        return self.data / "ledger.sqlite"

    @property
    def versions(self) -> Path:
        """Folder of the saved models."""
        return self.home / "models"


SECTIONS = {
    name: field.default for name, field in Settings.model_fields.items() if dataclasses.is_dataclass(field.default)
}


SAID_BY_NAME = {
    ("network", "cell"): "--models lstm gru",
    ("garch", "asymmetric"): "--models garch gjr-garch",
}
"""Fields of a recipe that nobody may set, and what to write instead."""


def load_settings(flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings of this run.

    Args:
        flags: nested values by section, as `{"network": {"epochs": "3"}}`; text is converted.

    Raises:
        SettingsError: an unknown setting or a value that is not allowed, in one line.
    """
    flags = dict(flags or {})
    variables = _variables()
    home = find_home(flags.get("home") or variables.get("home"))
    values: dict[str, Any] = {}
    for origin, layer in (("settings.toml", _file(home / "settings.toml")), ("variable", variables), ("--set", flags)):
        _refuse_unknown(layer, origin)
        for key, value in _choose_source(layer, values).items():
            values[key] = {**values.get(key, {}), **value} if isinstance(value, Mapping) else value
    try:
        settings = _checked(Settings(**{**values, "home": home}))
    except ValidationError as error:
        raise SettingsError(_one_line(error)) from None
    pairs = [(key, value if isinstance(value, Mapping) else {"": value}) for key, value in values.items()]
    settings._given = frozenset(f"{key}.{name}".rstrip(".") for key, section in pairs for name in section)
    return settings


def _checked(settings: Settings) -> Settings:
    """The settings, if each network asked for can have those of its section."""
    for name in settings.models:
        if is_network(name):
            network_named(name, settings.network)
    return settings


class _Variables(EnvSettingsSource):
    """STOCK_* variables, in which a list may be written as in every other place: with commas."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        """JSON where it is JSON, else the text, which `Settings` splits."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _variables() -> dict[str, Any]:
    """STOCK_* variables as nested values; those of other programs are left alone."""
    source = _Variables(Settings, env_prefix="STOCK_", env_nested_delimiter="__")
    for name in (name for name in os.environ if name.upper().startswith("STOCK_")):
        section, separator, _ = name[len("STOCK_") :].lower().partition("__")
        if separator and section not in SECTIONS:
            raise SettingsError(
                f"variable {name}: unknown section {section!r}{known_names(section, SECTIONS, EVERYTHING)}"
            )
        if not separator:
            _refuse_misspelt(name, section)
    return {key: value for key, value in source().items() if value is not None}


def _refuse_misspelt(variable: str, name: str) -> None:
    """Refuse what is meant for us: nearly the name of a setting, or that of a setting without its section."""
    if name in Settings.model_fields:
        return
    within = [(section, field.name) for section, default in SECTIONS.items() for field in dataclasses.fields(default)]
    whole = [*Settings.model_fields, *(f"{section}__{setting}" for section, setting in within)]
    bare = [f"{section}__{setting}" for section, setting in within if setting == name]
    if meant := bare or difflib.get_close_matches(name, whole, n=1, cutoff=NEAR):
        raise SettingsError(
            f"variable {variable} is no setting; did you mean STOCK_{meant[0].upper()}? "
            f"If it belongs to another program: `env -u {variable} python -m app …`."
        )


def _file(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path.name}: not readable as TOML: {error}.") from None


def _refuse_unknown(layer: Mapping[str, Any], origin: str) -> None:
    for name, value in layer.items():
        if name not in Settings.model_fields:
            raise SettingsError(
                f"{origin}: unknown setting {name!r}{known_names(name, Settings.model_fields, EVERYTHING)}"
            )
        if name == "home" and origin == "settings.toml":
            raise SettingsError("settings.toml: home cannot be set in a file that is looked for in it; use STOCK_HOME.")
        if name not in SECTIONS:
            continue
        fields = [field.name for field in dataclasses.fields(SECTIONS[name])]
        known = [field for field in fields if (name, field) not in SAID_BY_NAME]
        if not isinstance(value, Mapping):
            raise SettingsError(f"{origin}: {name} is a section, got {value!r}; its settings are {known}.")
        for key in value:
            if (name, key) in SAID_BY_NAME:
                raise SettingsError(
                    f"{origin}: {name}.{key} is no setting, the model's name says it: {SAID_BY_NAME[name, key]}."
                )
            if key not in known:
                raise SettingsError(f"{origin}: unknown setting {name}.{key}{known_names(key, known, EVERYTHING)}")


def _choose_source(layer: Mapping[str, Any], below: dict[str, Any]) -> Mapping[str, Any]:
    """The layer with the source that its path implies; what the layers below say about either no longer counts."""
    prices = {key: value for key, value in layer.get("prices", {}).items() if key != "path" or value}
    if not prices.keys() & {"source", "path"}:
        return layer
    below["prices"] = {key: value for key, value in below.get("prices", {}).items() if key not in ("source", "path")}
    return {**layer, "prices": {"source": "files", **prices}} if "path" in prices else {**layer, "prices": prices}


def _words(value: Any) -> Any:
    """The items of "1,5,20", of "1 5 20", and of '["lstm", "gru"]' as a settings file has it."""
    return tuple(re.findall(r"""[^\s,"'\[\]]+""", value)) if isinstance(value, str) else value


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    return f"{name}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}."
