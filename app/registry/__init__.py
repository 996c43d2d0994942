"""Versions on disk: one folder each, whole or not there, refused when it is not what was saved."""

from app.registry.golden import TOLERANCE, Golden
from app.registry.retention import sweep
from app.registry.serving import Served, first_sound, load, newest_sound, serve
from app.registry.succession import ROLLBACK, in_service, line
from app.registry.trained import Trained, check_features, describe, save
from app.registry.versions import Version, digest, find, newest, of_model, publish, read, sound, verified, versions

__all__ = [
    "TOLERANCE",
    "Golden",
    "Served",
    "Trained",
    "Version",
    "check_features",
    "describe",
    "digest",
    "find",
    "first_sound",
    "in_service",
]
__all__ += ["line", "load", "newest", "newest_sound", "publish", "read", "save", "sound", "sweep", "verified"]
__all__ += ["ROLLBACK", "of_model", "serve", "versions"]
