"""What an inspection shows, in what order, and what it says in words."""

from collections.abc import Iterator, Mapping

import pandas as pd

from app.report import gate_figures, memory_figures
from app.report.gallery import Picture
from app.report.style import ahead
from app.report.wording import listed, percent

NETWORKS = 12
"""With figures of their own; the tables have all."""

ALPHA = 0.05
CLAIM = ("forget", "input", "output")
"""The order in which tutorials say the gates of an LSTM matter."""

HELD = {"mean": "at its mean", "absent": "as if it were absent", "one": "at 1"}
"""How gates are held; inspections of earlier releases held every one at 1."""

OVER = {"rows": "", "horizons": " of its decoder"}
PARTS = {"median": "median", "width": "width of the band"}

Tables = Mapping[str, pd.DataFrame]

NO_DECODER = pd.DataFrame(columns=["model"])


def pictures(tables: Tables) -> dict[str, list[Picture]]:
    """The figures of an inspection, by the part of the section they belong to.

    Args:
        tables: as `app.insight.inspection` makes them, of any number of networks.
    """
    models = list(dict.fromkeys(tables["half_lives"]["model"]))[:NETWORKS]
    return {
        "memory": list(_memory(tables)),
        "gates": [picture for model in models for picture in _gates(tables, model)],
        "attribution": [picture for model in models for picture in _attribution(tables, model)],
        "knockout": [picture for model in models for picture in _knockout(tables, model)],
    }


def inside_sentences(tables: Tables) -> dict[str, list[str]]:
    """What an inspection found, in words, by the part of the section."""
    return {
        "memory": [_half_life(row) for row in tables["half_lives"].itertuples() if row.horizon == _nearest(tables)],
        "gates": [
            *(_openness(model, rows) for model, rows in tables["gates"].groupby("model", sort=False)),
            *(_unrolled(model, rows) for model, rows in decoder_gates(tables).groupby("model", sort=False)),
        ],
        "attribution": [_weight(tables, model) for model in dict.fromkeys(tables["importance"]["model"])],
        "knockout": [
            _held(group, rows, _over(tables["knockout_order"]))
            for group, rows in _over(tables["knockout"]).groupby(["model", "held", "horizon", "over"], sort=False)
        ],
        "notes": list(tables["notes"]["note"]),
    }


def decoder_gates(tables: Tables) -> pd.DataFrame:
    """Those of every network, by horizon; inspections of earlier releases did not look at them."""
    return tables.get("gate_horizons", NO_DECODER)


def inside_pictures(tables: Tables) -> Iterator[Picture]:
    """Every figure of an inspection, one after the other."""
    for group in pictures(tables).values():
        yield from group


def _nearest(tables: Tables) -> int:
    return int(tables["half_lives"]["horizon"].min())


def _memory(tables: Tables) -> Iterator[Picture]:
    """Gradients by lag, all networks together, and one step of their states."""
    horizon = _nearest(tables)
    for part, words in PARTS.items():
        rows = tables["memory"][(tables["memory"]["part"] == part) & (tables["memory"]["horizon"] == horizon)]
        lives = tables["half_lives"][
            (tables["half_lives"]["part"] == part) & (tables["half_lives"]["horizon"] == horizon)
        ]
        said = listed([f"{row.model} {row.half_life:.1f}" for row in lives.itertuples()], limit=12)
        caption = (
            f"Half-lives in sessions: {said}. A straight line is a memory that fades by the same share every session."
        )
        figure = memory_figures.memory(rows, f"Memory · {words}, {ahead(horizon)}")
        yield Picture(f"memory-{part}", figure, f"Gradient of the {words} by lag. {caption}", caption)
    table = tables["spectrum"]
    if len(table):
        largest = table[table["rank"] == 1].drop_duplicates("model")
        said = listed([f"{row.model} {row.mean:.2f}" for row in largest.itertuples()], limit=12)
        caption = (
            f"Largest singular value, on average: {said}. Below 1 a difference fades within a step, above it may grow."
        )
        figure = memory_figures.spectrum(table, "One step of the state · first layer")
        yield Picture("spectrum", figure, f"Singular values of the Jacobian of the state. {caption}", caption)


def _gates(tables: Tables, model: str) -> Iterator[Picture]:
    shares = _of(tables["gates"], model)
    if len(shares):
        alt = _openness(model, shares)
        yield Picture(
            f"gates-{model}",
            gate_figures.gate_histograms(_of(tables["gate_histograms"], model), f"{model} · gates"),
            alt,
        )
        by_lag = _of(tables["gate_lags"], model)
        figure = gate_figures.gate_lags(by_lag, f"{model} · gates by session")
        yield Picture(f"gates-by-lag-{model}", figure, f"Mean activation of the gates of {model} by session.")
        if by_lag[["shut", "open"]].any(axis=None):
            figure = gate_figures.gate_ends(by_lag, f"{model} · gates at their ends by session")
            caption = "Share of units and windows: above the line open (above 0.9), below it shut (below 0.1)."
            yield Picture(f"gates-at-ends-{model}", figure, f"{model}: {caption}", caption)
    yield from _decoded(tables, model)
    paid = _of(tables["attention"], model)
    if len(paid):
        top = paid.loc[paid["mean"].idxmax()]
        caption = f"The session {top['lag']:.0f} before the origin gets most, {percent(top['mean'], 1)} on average."
        yield Picture(f"attention-{model}", gate_figures.attention(paid, f"{model} · attention"), caption, caption)
    held = _of(tables["traces"], model)
    if len(held):
        first = held.iloc[0]
        window = f"the window of {first['symbol']} up to {pd.Timestamp(first['origin']):%-d %b %Y}"
        caption = f"One line a unit, while {window} is read."
        kind = "memory" if first["state"] == "memory" else "state"
        yield Picture(f"traces-{model}", gate_figures.traces(held, f"{model} · {kind}"), f"{model}: {caption}", caption)


def _decoded(tables: Tables, model: str) -> Iterator[Picture]:
    """The gates of a decoder, where there is one."""
    if len(rows := _of(decoder_gates(tables), model)):
        figure = gate_figures.gate_horizons(rows, f"{model} · decoder")
        caption = _unrolled(model, rows)
        yield Picture(f"gates-by-horizon-{model}", figure, caption, caption)


def _attribution(tables: Tables, model: str) -> Iterator[Picture]:
    horizon = _nearest(tables)
    rows = _of(tables["attribution"], model)
    rows = rows[(rows["part"] == "width") & (rows["horizon"] == horizon)]
    if rows["size"].sum() == 0:
        return
    permuted = _of(tables["importance"], model)
    caption = _weight(tables, model)
    title = f"{model} · {ahead(horizon)}"
    figure = memory_figures.importance(_shares(rows), permuted[permuted["horizon"] == horizon], title)
    yield Picture(f"importance-{model}", figure, caption, caption)
    figure = memory_figures.attribution(rows, f"{model} · contributions to the width")
    yield Picture(f"attribution-{model}", figure, f"Contributions of every feature by session. {caption}")


def _knockout(tables: Tables, model: str) -> Iterator[Picture]:
    costs = _of(_over(tables["knockout"]), model)
    if len(costs):
        first = costs[(costs["held"] == "mean") & (costs["horizon"] == costs["horizon"].min())]
        said = " ".join(inside_sentences({**tables, "knockout": first})["knockout"])
        yield Picture(f"knockout-{model}", gate_figures.knockout(costs, model), said, said)


def _half_life(row) -> str:
    """How far back one part of a forecast reaches."""
    words = f"{row.model}, {PARTS[row.part]}, {ahead(row.horizon)}"
    if pd.isna(row.half_life):
        return f"{words}: depends on nothing it reads."
    return (
        f"{words}: half of the sensitivity lies in the newest {row.half_life:.1f} sessions (80 % of windows: "
        f"{row.low:.1f} to {row.high:.1f}), 99 % in the newest {row.reach:.0f} of {row.rows} asked."
    )


def _openness(model: str, shares: pd.DataFrame) -> str:
    """How open the gates of a network are."""
    several = shares["layer"].nunique() > 1
    said = [
        f"{row.gate}{f' in layer {row.layer}' if several else ''} {row.mean:.2f} on average ({percent(row.shut, 1)} "
        f"below 0.1, {percent(row.open, 1)} above 0.9)"
        for row in shares.itertuples()
    ]
    return f"{model}: {listed(said, limit=12)}."


def _unrolled(model: str, rows: pd.DataFrame) -> str:
    """How open the gates of a decoder are at the first and at the last horizon, and over all of them."""
    several, said = rows["layer"].nunique() > 1, []
    for (layer, gate), part in rows.groupby(["layer", "gate"], sort=False):
        ends = part.iloc[[0, -1]].drop_duplicates("horizon")
        means = listed([f"{row.mean:.2f} at h = {row.horizon}" for row in ends.itertuples()])
        shares = f"{percent(part['shut'].mean(), 1)} below 0.1, {percent(part['open'].mean(), 1)} above 0.9"
        said.append(f"{gate}{f' in layer {layer}' if several else ''} {means} ({shares})")
    return f"{model}, its decoder: {'; '.join(said)}."


def _weight(tables: Tables, model: str) -> str:
    """What the width of the nearest forecast rests on, and what permuting costs."""
    horizon = _nearest(tables)
    rows = _of(tables["attribution"], model)
    shares = _shares(rows[(rows["part"] == "width") & (rows["horizon"] == horizon)])
    permuted = _of(tables["importance"], model)
    worst = permuted[permuted["horizon"] == horizon].sort_values("increase", ascending=False).iloc[0]
    most = listed([f"{row.feature} {percent(row.share, 0)}" for row in shares.head(3).itertuples()])
    return f"{model}, {ahead(horizon)}: the width of its band rests on {most}. {_permuted(worst)}."


def _permuted(worst: pd.Series) -> str:
    """The feature that costs most when it is permuted, and whether that is more than permutations differ."""
    cost = f"CRPS {percent(worst['increase'], 2, True)}"
    if pd.isna(worst["deviation"]):
        return f"Permuted once, {worst['feature']} costs most: {cost}; how far permutations differ is not known"
    cost += f" ± {percent(worst['deviation'], 2)}"
    if worst["increase"] > 2 * worst["deviation"]:
        return f"Permuted, {worst['feature']} costs most: {cost}"
    return (
        "Permuted one by one, no feature costs more than permutations differ among themselves: the largest is "
        f"{worst['feature']}, {cost}"
    )


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of each feature in the size of all contributions, the largest first."""
    total = rows.groupby("feature")["size"].sum()
    share = (total / total.sum() if total.sum() else total).sort_values(ascending=False)
    return share.rename("share").reset_index()


def _held(group: tuple, rows: pd.DataFrame, order: pd.DataFrame) -> str:
    """What holding each gate cost, and whether the order of the tutorials holds."""
    model, way, horizon, over = group
    ranked = rows.sort_values("difference", ascending=False)
    said = [f"{row.gate} {percent(row.difference, 2, True)}{_certain(row)}" for row in ranked.itertuples()]
    words = (
        f"{model}, {ahead(int(horizon))}, each gate{OVER[over]} held {HELD[way]}: CRPS {listed(said)} "
        "(* differs from 0 at 5 %)."
    )
    if set(ranked["gate"]) != set(CLAIM):
        return words
    steps = order[(order[["model", "held", "horizon", "over"]] == list(group)).all(axis=1)]
    sure = int((steps["p_value"] < ALPHA).sum())
    found = " > ".join(ranked["gate"])
    holds = "is what came out" if tuple(ranked["gate"]) == CLAIM else f"did not come out, but {found}"
    steps_said = f"of the two steps, {sure or 'none'} beyond chance at 5 %"
    return f"{words} The order forget > input > output {holds}; {steps_said}."


def _over(table: pd.DataFrame) -> pd.DataFrame:
    """With the column `over`; inspections of earlier releases held no gate of a decoder."""
    return table if "over" in table else table.assign(over="rows")


def _certain(row) -> str:
    return "*" if row.p_value < ALPHA else ""


def _of(table: pd.DataFrame, model: str) -> pd.DataFrame:
    return table[table["model"] == model]
