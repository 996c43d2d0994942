"""Start Keras, quietly: what TensorFlow writes to stderr while it loads says nothing a user can act on. And its GPU."""

import importlib
import os
import sys
import tempfile
from types import ModuleType


def load(name: str) -> ModuleType:
    """Import a module that needs Keras; the chatter of a first start is shown only if it fails.

    TensorFlow's C++ libraries log before they read their own settings, straight to file descriptor
    2, so the descriptor itself is turned aside.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" in sys.modules or not hasattr(os, "dup2"):
        return importlib.import_module(name)
    sys.stderr.flush()
    with tempfile.TemporaryFile() as aside:
        stderr = os.dup(2)
        os.dup2(aside.fileno(), 2)
        try:
            module = importlib.import_module(name)
        except BaseException:
            aside.seek(0)
            os.write(stderr, aside.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    return module


def gpu_visible() -> bool:
    """Whether Keras's back end sees a GPU."""
    return any(device.startswith(("gpu", "cuda")) for device in load("keras").distribution.list_devices())
