"""Where everything of an installation lives: STOCK_HOME, or the project's own folder."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def find_home(given: str | os.PathLike | None = None) -> Path:
    """The folder of data, models and settings; `given` wins over the variable, whatever its case."""
    variables = {name.upper(): value for name, value in os.environ.items()}
    return Path(given or variables.get("STOCK_HOME") or PROJECT).expanduser().resolve()
