"""What a source can answer about a symbol: one outcome each, and the errors by which a source tells it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.errors import AppError, SettingsError, SourceError


class Outcome(StrEnum):
    """How asking for one symbol ended.

    `STALE`: it answered, and its newest row is older than the last closed session. `NOT_FOUND`: the
    source has no such symbol, by its first answer about a symbol that was never stored, or by answers
    that agree on enough different days about one that was.
    """

    OK = "ok"
    NO_NEW_SESSION = "no new session"
    STALE = "stale"
    RATE_LIMITED = "rate-limited"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    MALFORMED = "malformed"
    NOT_FOUND = "not found"

    @property
    def failed(self) -> bool:
        """Whether nothing could be learnt about the symbol."""
        return self not in (Outcome.OK, Outcome.NO_NEW_SESSION, Outcome.STALE)


class RateLimitError(SourceError):
    """The source wants fewer requests: HTTP 429 at every try."""

    outcome = Outcome.RATE_LIMITED


class UnreachableError(SourceError):
    """No connection, a connection cut off, or no answer in time."""

    outcome = Outcome.UNREACHABLE


class RefusedError(SourceError):
    """The source answered with an error of its own."""

    outcome = Outcome.REFUSED


class MalformedError(SourceError):
    """The answer cannot be read, or a column is missing."""

    outcome = Outcome.MALFORMED


class NoRowsError(SourceError):
    """No rows for a time in which sessions have closed: the source's fault until proved otherwise."""

    outcome = Outcome.REFUSED


class UnknownSymbolError(SettingsError):
    """The source says that it has no such symbol."""

    outcome = Outcome.NOT_FOUND


@dataclass(frozen=True)
class Updated:
    """What became of one symbol.

    new, revised: rows stored that were not known, or known with other values. held: rows told and put
    into quarantine. released: rows that had been, and are stored now. detail: what to know, one line.
    """

    symbol: str
    outcome: Outcome = Outcome.OK
    new: int = 0
    revised: int = 0
    held: int = 0
    released: int = 0
    detail: str = ""


def outcome_of(error: AppError) -> Outcome:
    """The outcome an error stands for; a source's plain SourceError means that it refused."""
    return getattr(error, "outcome", Outcome.REFUSED)


def raise_failures(results: Sequence[Updated]) -> None:
    """Tell a person who asked for these symbols what failed; the others are stored.

    Raises:
        SettingsError: all that failed are symbols the source does not have.
        SourceError: it could not be asked for some, or refused them; the message names them.
    """
    failed = [result for result in results if result.outcome.failed]
    if not failed:
        return
    unknown = all(result.outcome is Outcome.NOT_FOUND for result in failed)
    first = next((result for result in failed if unknown or result.outcome is not Outcome.NOT_FOUND), failed[0])
    names = ", ".join(result.symbol for result in failed[:10]) + (" …" if len(failed) > 10 else "")
    count = f"{len(results) - len(failed)} symbol(s) stored, {len(failed)} not ({names}): " if len(results) > 1 else ""
    raise (SettingsError if unknown else SourceError)(f"{count}{first.detail}")
