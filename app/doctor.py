"""What this installation is: versions, devices, whether cuDNN will be used, where data live."""

import os
import shutil
from typing import Any

from app.atomic import nearest_existing
from app.config import Settings
from app.forecasters.recipe import Network, cudnn_path
from app.forecasters.start import gpu_visible, load
from app.pipeline import package_versions, recipes


def examine(settings: Settings) -> tuple[dict[str, Any], str]:
    """Facts for a program, and the same as lines for a person."""
    place = nearest_existing(settings.home)
    facts = {
        "versions": package_versions(),
        **_keras(settings),
        "home": str(settings.home),
        "ledger": str(settings.ledger),
        "models": str(settings.versions),
        "reports": str(settings.data / "reports"),
        "writable": place.is_dir() and os.access(place, os.W_OK),
        "free_GB": round(shutil.disk_usage(place).free / 1e9, 1),
    }
    lines = [f"{name} {version}" for name, version in facts["versions"].items()]
    lines += [f"{name}: {value}" for name, value in facts.items() if name != "versions"]
    return facts, "\n".join(lines)


def _keras(settings: Settings) -> dict[str, Any]:
    """Back end, devices, and which of the networks of these settings take Keras's cuDNN path."""
    keras = load("keras")
    networks = {name: recipe for name, recipe in recipes(settings).items() if isinstance(recipe, Network)}
    paths = {name: cudnn_path(network) for name, network in networks.items()}
    said = "; ".join(f"{name} no: {reason}" if reason else f"{name} yes" for name, reason in paths.items())
    if not said:
        said = "no network among the models"
    elif not gpu_visible():
        said = f"no GPU is visible. With one: {said}"
    return {"backend": keras.backend.backend(), "devices": keras.distribution.list_devices(), "cudnn": said}
