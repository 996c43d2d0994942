"""The evidence: every rival on the same rows of 200 stocks, four yearly refits, and what may be claimed from it.

    python -m benchmarks.evidence --prices us_daily.parquet --out results

runs the whole back test (2014 to 2017, every symbol with more than 3,000 sessions), then prints Markdown: the
CRPS relative to gjr-garch by horizon, on how many symbols it is lower, Diebold-Mariano on day means, coverage
by tercile of volatility, Hansen's SPA, processor time and peak memory; then the networks once more with other
seeds, and the mean of their quantiles over all seeds, relative to gjr-garch and to the line they stand on,
har-x. `--choose` runs the two years before (2012 and 2013) instead, which is where settings are chosen; the
test years are for a decision that is already made. What stands in --out is not made again. The seeds can be run
beside the rest: `--seeds 1 2 --only-seeds` in another process, the same --out.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from app.evaluation import comparison
from app.evaluation.metrics import day_means
from app.evaluation.significance import diebold_mariano
from app.schema import FORECAST_KEYS, QUANTILES

NETWORKS = "lstm gru"
MODELS = "random-walk ewma garch gjr-garch egarch har har-x quantile-boosting mlp lstm gru"
REFERENCE, LINE = "gjr-garch", "har-x"
TEST, CHOICE = ("2014-01-01", "2017-12-31"), ("2012-01-01", "2013-12-31")


def back_test(prices: Path, out: Path, period: tuple[str, str], models: str, more: list[str]) -> None:
    """Run the command a user would run, unless it has been, and note what it cost."""
    if (out / "cost.txt").exists():
        return
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "app", "backtest", "--prices", str(prices), "--out", str(out), "--conformal"]
    dates = ["--test-start", period[0], "--test-end", period[1]]
    subprocess.run([*command, *dates, "--models", *models.split(), *more], check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    minutes, wall = seconds / 60, (time.perf_counter() - began) / 60
    cost = (
        f"{minutes:.0f} min of processor time, {wall:.0f} min on the clock, {used.ru_maxrss / 1e6:.1f} GB at the peak"
    )
    (out / "cost.txt").write_text(cost, encoding="utf-8")


def all_seeds(out: Path, forecasts: pd.DataFrame) -> pd.DataFrame:
    """The references, each network of each seed, and the mean of its quantiles over the seeds."""
    runs = {0: forecasts} | {
        int(path.parent.name.removeprefix("seed-")): pd.read_parquet(path)
        for path in sorted(out.glob("seed-*/forecasts.parquet"))
    }
    tables, quantiles = [], list(QUANTILES)
    for name in NETWORKS.split():
        same = [run[run["model"] == name].set_index(list(FORECAST_KEYS[1:])).sort_index() for run in runs.values()]
        tables += [one.assign(model=f"{name}, seed {seed}") for seed, one in zip(runs, same, strict=True)]
        mean = sum(one[quantiles] for one in same) / len(same)
        tables.append(same[0].assign(model=f"{name}, mean of {len(same)} seeds", **{q: mean[q] for q in quantiles}))
    references = forecasts[forecasts["model"].isin([REFERENCE, LINE])]
    return pd.concat([references, *(one.reset_index()[forecasts.columns] for one in tables)], ignore_index=True)


def skill(forecasts: pd.DataFrame, reference: str = REFERENCE) -> pd.DataFrame:
    """CRPS over that of a reference, by symbol and by day: one row for each model and horizon."""
    tests = comparison.symbol_tests(forecasts, [reference], [("crps", reference)])
    found = comparison.summary(tests)
    days = day_means(forecasts)
    rows = []
    for row in found.itertuples():
        pair = days.loc[row.horizon, [row.model, reference]].dropna()
        compared = diebold_mariano(pair[row.model].to_numpy(), pair[reference].to_numpy(), row.horizon)
        rows.append(
            {
                "model": row.model,
                "h": row.horizon,
                f"mean over symbols of CRPS over {reference}'s": f"{row.ratio:.4f}",
                "symbols with a lower CRPS": f"{row.lower:.1%}",
                "significantly better / worse (Holm)": f"{row.better} / {row.worse}",
                "Diebold-Mariano t on day means": f"{compared.statistic:.1f}",
                "p": f"{compared.p_value:.2g}",
                "days": len(pair),
            }
        )
    return pd.DataFrame(rows)


def coverage(calibration: pd.DataFrame) -> pd.DataFrame:
    """Coverage of the 50, 80 and 90 % intervals, over all rows and by tercile of volatility."""
    shares = calibration.assign(text=calibration["reached"].map("{:.1%}".format))
    wide = shares.pivot_table(
        index=["model", "horizon"], columns=["volatility", "nominal"], values="text", aggfunc="first", sort=False
    )
    wide.columns = [f"{volatility} {nominal:.0%}" for volatility, nominal in wide.columns]
    return wide.reset_index()


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    """Run, or read, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prices", type=Path, help="the file of prices")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--choose", action="store_true", help="2012 and 2013, where settings are chosen")
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2], help="of the networks, besides 0")
    parser.add_argument("--only-seeds", action="store_true", help="not the back test of all models")
    options, more = parser.parse_known_args()
    if options.prices is None and not (options.out / "all" / "cost.txt").exists():
        parser.error("--prices PATH is needed: nothing stands in --out yet")
    period = CHOICE if options.choose else TEST
    for seed in options.seeds:
        back_test(options.prices, options.out / f"seed-{seed}", period, NETWORKS, ["--seed", str(seed), *more])
    if options.only_seeds:
        return
    back_test(options.prices, options.out / "all", period, MODELS, more)
    folder = options.out / "all"
    forecasts = pd.read_parquet(folder / "forecasts.parquet")
    print((folder / "cost.txt").read_text(encoding="utf-8"), end="\n\n")
    print(markdown(skill(forecasts)), end="\n\n")
    print(markdown(coverage(pd.read_csv(folder / "calibration.csv"))), end="\n\n")
    print(markdown(pd.read_csv(folder / "superiority.csv")), end="\n\n")
    seeds = all_seeds(options.out, forecasts)
    print(markdown(skill(seeds)), end="\n\n")
    print(markdown(skill(seeds, LINE)))


if __name__ == "__main__":
    main()
