"""What a user may change about a reproduction; readable without loading Keras."""

from dataclasses import dataclass

from app.allowed import check_ranges

STUDIES = ("acl18", "kdd17", "fischer-krauss")
"""Published studies by the name the command line gives them; docs/methods.md says what each is."""

RANGES = {"seeds": (0, 100), "epochs": (0, 10_000), "periods": (1, 100), "updates": (0, 1_000_000)}


@dataclass(frozen=True)
class Reproduction:
    """How much of a published study is run again.

    seeds, epochs: networks trained and passes over the data; 0 for the study's own. Only fischer-krauss:
    periods: its newest study periods, of 250 sessions traded each; updates: at most so many gradient steps
    an epoch, 0 for all.
    """

    seeds: int = 0
    epochs: int = 0
    periods: int = 1
    updates: int = 25

    __pydantic_config__ = {"extra": "forbid"}

    def __post_init__(self) -> None:
        check_ranges("reproduce", self, RANGES)
