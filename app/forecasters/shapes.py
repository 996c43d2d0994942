"""Shapes of a network: how many rows are read, and whether a second network unrolls over the horizons.

docs/methods.md has them. Loads no library: names are checked before anything slow is.
"""

SHAPES = ("many-to-one", "many-to-many", "one-to-many", "one-to-one")

SINGLE_ROW = ("one-to-many", "one-to-one")
"""Shapes that see the last row only."""

DECODED = ("many-to-many", "one-to-many")
"""Shapes with a decoder over the horizons."""

WITHOUT_RECURRENCE = ("transformer", "mlp")
"""What is set about recurrence means nothing to them."""

OVER_ROWS = {
    "clockwork-rnn": "its clocks count rows, and with one row it is a simple-rnn",
    "bidirectional-lstm": "one row reads the same both ways, and it is an lstm",
    "attention-lstm": "all attention goes to the only row, and it is an lstm",
    "transformer": "all attention goes to the only row",
}
"""Networks that are nothing of their own with a single row, and why."""


def shapes_of(cell: str) -> list[str]:
    """The shapes a network can have."""
    return [shape for shape in SHAPES if without_meaning(cell, shape) is None]


def without_meaning(cell: str, shape: str) -> str | None:
    """Why a network cannot have a shape, or None."""
    if shape in SINGLE_ROW and cell in OVER_ROWS:
        return OVER_ROWS[cell]
    if shape in DECODED and cell in WITHOUT_RECURRENCE:
        return "it has no recurrence to unroll over the horizons"
    return None
