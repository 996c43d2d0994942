# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Inside the network
#
# What do the gates of a recurrent network do, how far back does it remember, and what do its forecasts rest on? Three
# networks are trained on the embedded sample (S&P 500 and NASDAQ Composite), then taken apart: a `simple-rnn`, which
# has no gates, an `lstm` and a `gru`. In a forecast they stand on HAR-X, a straight line that leaves them little to
# do (`docs/methods.md`); here each is by itself, in the frame of "ewma".

# %%
import app
from app.insight.effort import Effort

settings = app.load_settings(
    {
        "models": ["simple-rnn", "lstm", "gru"],
        "prices": {"start": "2012-01-01"},
        "network": {"epochs": 3, "frame": "ewma", "median_gain": 1.0, "learning_rate": 0.003},
    }
)
prices = app.load_prices(settings)
versions = app.train(settings, app.make_dataset(settings, prices))

# %% [markdown]
# `look_inside` gives plain tables: every gate at every session, the gradient of the forecast at every session, the
# CRPS while a gate is held still. Nothing is estimated: each layer is replayed from its own weights, and the tests
# show that a replay gives the layer's own outputs.

# %%
effort = Effort(windows=252, gradients=8, sessions=120, repeats=1)
seen = app.look_inside(settings, prices, effort=effort)
pictures = {picture.name: picture for picture in app.inside_pictures(seen)}
said = app.inside_sentences(seen)

# %% [markdown]
# ## Gates
#
# A forget gate at 1 keeps its memory as it is, one at 0 wipes it. An LSTM starts with forget gates at 0.73 (a bias of
# 1) and the others at one half.

# %%
seen["gates"].set_index(["model", "gate"])[["mean", "shut", "open"]].round(3)

# %%
pictures["gates-lstm"].figure

# %% [markdown]
# Look at the ends: a gate below 0.1 is shut, one above 0.9 wide open. Gates that stand between are dimmers, not
# switches; after a few epochs on daily prices most have not moved far from where they began.

# %%
pictures["traces-lstm"].figure

# %% [markdown]
# Each line is the memory of one unit while the newest window is read. Units that drift slowly average over weeks,
# jagged ones follow the last sessions.

# %% [markdown]
# ## Memory, and the vanishing gradient
#
# The gradient of the forecast with respect to the row $k$ sessions back is a product of $k$ Jacobians of the state.
# Where these shrink, it falls geometrically: a straight line on this scale. Every network is asked with windows of up
# to 120 sessions, though it was trained with 60.

# %%
pictures["memory-width"].figure

# %%
lives = seen["half_lives"]
lives[lives["part"] == "width"].set_index(["model", "horizon"])[["half_life", "low", "high", "reach", "rows"]].round(1)

# %% [markdown]
# The half-life is the number of newest sessions that hold half of all the gradient. The line of a network that
# forgets sooner is steeper; how steep each one is differs from one training to the next, so read the table above, not
# the textbook.

# %%
pictures["spectrum"].figure

# %% [markdown]
# One step of the state, taken apart: a direction whose singular value is below 1 shrinks with every session, so what
# it held is lost at that rate. An LSTM has twice as many directions, as its memory is part of its state.

# %% [markdown]
# ## What the forecasts rest on
#
# Integrated gradients share out, among the features, the distance between a forecast and that of the mean row: with
# their signs the contributions add up to it, but for what the numerical integral misses (where that is much, a note
# says so). The bars show sizes without signs. Beside them is what the CRPS loses when one feature comes from another
# day.

# %%
pictures["importance-lstm"].figure

# %%
print(*said["attribution"], sep="\n")

# %% [markdown]
# A feature may carry much of a forecast and still cost little when it is permuted, because others say nearly the
# same.

# %% [markdown]
# ## Which gate matters?
#
# Tutorials say: forget more than input more than output. Here each gate is held still in the trained network, at its
# own mean, or where it is as if it were absent (at 1).

# %%
pictures["knockout-lstm"].figure

# %%
print(*(line for line in said["knockout"] if line.startswith("lstm")), sep="\n")

# %% [markdown]
# The sentences above say what was measured on these days; an interval that reaches across zero is no evidence for any
# order.
