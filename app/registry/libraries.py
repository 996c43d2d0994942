"""Whether the libraries here may read what those of another day wrote."""

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

from app.errors import DamageError
from app.forecasters import is_network

READERS = {"network": ("keras",), "quantile-boosting": ("scikit-learn",)}
"""Model → the libraries whose code reads its files; "network" is every network. The other models are numbers in
JSON, which any version reads. Libraries that only calculate (NumPy, SciPy, TensorFlow, JAX) are judged by the golden
output alone."""


def check_libraries(
    version_id: str, card: Mapping[str, Any], installed: Callable[[str], str] = importlib.metadata.version
) -> None:
    """Refuse a version whose files another release of a library wrote: not the same major and minor number.

    Layers and trees have changed their format between such releases (Keras 2.13 to 3.0 four times, and
    scikit-learn promises nothing); a patch release that gives the golden output again is fine.

    Raises:
        DamageError: with both numbers.
    """
    written = card.get("libraries", {})
    model = card.get("recipe", card["model"])
    for name in READERS.get("network" if is_network(model) else model, ()):
        then, now = written.get(name), installed(name)
        if then is None or _release(then) != _release(now):
            raise DamageError(
                f"{version_id} was saved by {name} {then or '(not recorded)'}, here is {now}. Train again: "
                "`python -m app train`; or put the library back."
            )


def _release(version: str) -> list[str]:
    return version.split(".")[:2]
