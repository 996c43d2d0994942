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
# # Quick start
#
# From real prices to an honest forecast in six cells. The embedded sample holds the S&P 500 and the NASDAQ Composite,
# 1999 to 2018; nothing is downloaded.

# %%
import app

settings = app.load_settings(
    {
        "models": ["random-walk", "gjr-garch", "lstm"],
        "prices": {"start": "2008-01-01"},
        "backtest": {"folds": 1},
        "network": {"epochs": 4},
    }
)

# %% [markdown]
# ## Prices
#
# Raw, as traded, checked by named rules. What failed a rule is listed and left out.

# %%
prices = app.load_prices(settings)
prices.sound.tail(3)

# %%
prices.issues.groupby(["severity", "rule"]).size()

# %% [markdown]
# ## Sequences
#
# A window is 60 sessions of features that end at an *origin*, the last session whose close is known. Its targets are
# the log returns 1, 5 and 20 sessions later. Windows are selected by what was known when, never by position.

# %%
windows = app.make_dataset(settings, prices)
newest = windows.newest()
print(len(windows), "windows of shape", newest.gather().shape[1:])
print("newest origin", newest.origin[0], "forecasts", newest.date[0])

# %% [markdown]
# ## Evidence
#
# Walk forward: each model is fitted on what was known before the test year, then forecasts it, all on the same rows.

# %%
evidence = app.backtest(settings, windows)
evidence.scores.set_index(["horizon", "model"])[["crps", "mae", "direction", "coverage_80", "days"]].round(
    4
).sort_index()

# %%
for verdict in evidence.verdicts:
    print(verdict.sentence)

# %% [markdown]
# On a price axis the median runs on the naive line, the last close carried forward. What differs from model to model is
# the width of the band.

# %%
next(app.actual_pictures(evidence.forecasts, prices.sound)).figure

# %% [markdown]
# ## The newest forecast
#
# Train on everything that is known, save the versions, and forecast. Prices are the close times exp(return).

# %%
app.train(settings, windows)
live = app.forecast(settings, prices)
app.price_table(live[live["model"] == "lstm"])

# %%
next(app.newest_pictures(live, prices.sound)).figure

# %% [markdown]
# One year of two indices is a short test: read the interval and the p-value before the number, and expect the median
# to be no better than the last price. What a network can add is the width of the fan.
