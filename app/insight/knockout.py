"""What each gate is worth: the CRPS of a trained network while one of its gates is held still."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product

import keras
import numpy as np
import pandas as pd

from app.dataset.windows import Windows
from app.evaluation.significance import Verdict, verdict
from app.forecasters.base import forecasts_table
from app.insight.anatomy import OF_DECODER, Held, Watched, watch
from app.insight.replay import Replay

WAYS = ("mean", "absent")
"""A gate is held at its own mean, unit by unit (the headline: it no longer decides, but lets through as much as
before), or where it is as if it were absent (Greff et al. 2017 trained again without it; here nothing is trained)."""

ABSENT = {"update": 0.0, "depth": 0.0}
"""An LSTM's gates, and GRU's reset gate, are as if absent at 1. GRU's update gate z is at 0: h' = z h + (1 - z) h~ is
then h~ alone, while 1 would let nothing in. So is the depth gate: then nothing comes from the memory below."""

OVER = ("rows", "horizons")
"""What a gate acts over: the rows that are read, or, in a decoder, the horizons. Gates are ranked among their like."""

BATCH = 256
KNOCKOUT_COLUMNS = ["over", "held", "gate", "horizon", "difference", "low", "high", "p_value", "days", "symbols"]
ORDER_COLUMNS = ["over", "held", "horizon", "gate", "next", "difference", "low", "high", "p_value", "days"]
WHOLE = "as trained"


def knockout(models: Sequence[keras.Model], windows: Windows, seen: Sequence[Watched]) -> tuple:
    """Hold each gate in turn, in all layers and members, and forecast.

    Args:
        models: the members of one network.
        windows: with known actuals, every day of a stretch.
        seen: every member watched, from which the means of the gates are taken.

    Returns:
        A table of `KNOCKOUT_COLUMNS`: difference is the CRPS with the gate held over that as trained, less 1, with
        its day-clustered 95 % interval and the p-value of Diebold & Mariano; over is one of `OVER`. And one of
        `ORDER_COLUMNS`: gates by what holding them costs, each against the next: difference is the CRPS with `gate`
        held over that with `next` held, less 1.

    Source: Greff, Srivastava, Koutník, Steunebrink & Schmidhuber (2017), "LSTM: a search space odyssey",
    IEEE Trans. Neural Networks and Learning Systems 28, 2222-2232.
    """
    gates = {over: _gates(seen[0], over) for over in OVER}
    if not any(gates.values()) or not len(windows):
        return pd.DataFrame(columns=KNOCKOUT_COLUMNS), pd.DataFrame(columns=ORDER_COLUMNS)
    tables = [_forecasts(WHOLE, models, windows, [{} for _ in models])]
    for over, way in product(OVER, WAYS):
        for gate in gates[over]:
            held = [_held(one, over, gate, way) for one in seen]
            tables.append(_forecasts(f"{over} {way} {gate}", models, windows, held))
    return _judged(pd.concat(tables, ignore_index=True), gates, windows.spec.horizons)


def _judged(
    table: pd.DataFrame, gates: Mapping[str, Sequence[str]], horizons: Sequence[int]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each held gate against the network as trained, then against the gate that costs next to it."""
    costs, order = [], []
    for over, way, horizon in product(OVER, WAYS, horizons):
        found = {gate: verdict(table, f"{over} {way} {gate}", WHOLE, horizon) for gate in gates[over]}
        costs += [(over, way, gate, horizon, *_figures(one), one.symbols) for gate, one in found.items()]
        for gate, after in pairwise(sorted(found, key=lambda gate: -found[gate].difference)):
            one = verdict(table, f"{over} {way} {gate}", f"{over} {way} {after}", horizon)
            order.append((over, way, horizon, gate, after, *_figures(one)))
    return pd.DataFrame(costs, columns=KNOCKOUT_COLUMNS), pd.DataFrame(order, columns=ORDER_COLUMNS)


def _gates(seen: Watched, over: str) -> list[str]:
    """The gates of all layers by name, each once."""
    return list(dict.fromkeys(gate for one in _layers(seen, over).values() for gate in one.gates))


def _layers(seen: Watched, over: str) -> Mapping[str, Replay]:
    """The layers that act over the rows, or over the horizons, by the name they are held by."""
    return seen.layers if over == "rows" else {OF_DECODER.format(name): one for name, one in seen.decoder.items()}


def _held(seen: Watched, over: str, gate: str, way: str) -> Held:
    """Where a gate is held in every layer that has it."""
    values = {layer: one.gates[gate] for layer, one in _layers(seen, over).items() if gate in one.gates}
    return {
        (layer, gate): ABSENT.get(gate, 1.0) if way == "absent" else z.mean(axis=(0, 1)) for layer, z in values.items()
    }


def _forecasts(name: str, models: Sequence[keras.Model], windows: Windows, held: Sequence[Held]) -> pd.DataFrame:
    """A forecasts table of a network whose gates are held."""
    parts = []
    for batch in windows.batches(BATCH):
        inputs = batch.gather()
        found = [watch(model, inputs, given).quantiles for model, given in zip(models, held, strict=True)]
        parts.append(batch.restored(np.mean(found, axis=0)))
    return forecasts_table(name, windows, np.concatenate(parts))


def _figures(found: Verdict) -> tuple:
    return found.difference, found.low, found.high, found.p_value, found.days
