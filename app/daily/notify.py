"""Tell somebody: a command or a web address from the settings is given the message. It never fails the run."""

import http.client
import json
import logging
import os
import shlex
import subprocess
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from app.config import Settings
from app.daily.logs import without_secrets
from app.journal import DONE, Journal

log = logging.getLogger(__name__)

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Event:
    """Something worth telling: kind is one of `routine.EVENTS`, message one line for a person."""

    kind: str
    session: str
    message: str


def send(settings: Settings, event: Event) -> bool:
    """Give an event to the command and to the address of the settings; whether all that there are took it."""
    routine = settings.daily
    if event.kind not in routine.notify_on or not (routine.notify_command or routine.notify_url):
        return True
    message = without_secrets(event.message)
    body = json.dumps({"kind": event.kind, "session": event.session, "message": message, "text": message})
    told = _run(routine.notify_command, message, body) if routine.notify_command else True
    return (_post(routine.notify_url, body) if routine.notify_url else True) and told


def send_once(settings: Settings, journal: Journal, run: Callable[[], int], event: Event) -> None:
    """The same, unless this session's runs have told the same already: a timer may start one every few minutes.

    Args:
        run: the number of the run that notes it; only asked for when there is something to note.
    """
    stage = f"notified {event.kind}"
    if any(note.detail == event.message for note in journal.notes(event.session, stage)):
        return
    if send(settings, event):
        journal.note(run(), event.session, stage, DONE, event.message)


def _run(command: str, message: str, body: str) -> bool:
    """The command with the message as its last argument and in STOCK_MESSAGE, and the JSON on its stdin."""
    try:
        words = [*shlex.split(command), message]
        environment = {**os.environ, "STOCK_MESSAGE": message}
        done = subprocess.run(words, input=body, text=True, env=environment, timeout=TIMEOUT_S, capture_output=True)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        log.warning("daily.notify_command failed: %s", type(error).__name__)
        return False
    if done.returncode:
        log.warning("daily.notify_command ended with code %d", done.returncode)
    return done.returncode == 0


def _post(url: str, body: str) -> bool:
    """The JSON to the address; the address itself is never logged, as it may be the secret."""
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, data=body.encode(), headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return True
    except (OSError, ValueError, http.client.HTTPException) as error:
        log.warning("daily.notify_url failed: %s", type(error).__name__)
        return False
