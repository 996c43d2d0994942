"""The evidence: every rival on the same rows of 200 stocks, four yearly refits, and what may be claimed from it.

    python -m benchmarks.evidence --prices us_daily.parquet --out results

runs the whole back test (2014 to 2017, every symbol with more than 3,000 sessions), then prints Markdown: the CRPS
relative to gjr-garch by horizon, on how many symbols it is lower, Diebold-Mariano on day means, coverage by
tercile of volatility, Hansen's SPA, processor time and peak memory. `--choose` runs the two years before (2012 and
2013) instead, which is where settings are chosen; the test years are for a decision that is already made.
`--again` prints the tables of a folder that has been made.
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

MODELS = "random-walk ewma garch gjr-garch egarch har quantile-boosting mlp lstm gru"
REFERENCE = "gjr-garch"
TEST, CHOICE = ("2014-01-01", "2017-12-31"), ("2012-01-01", "2013-12-31")


def back_test(prices: Path, out: Path, period: tuple[str, str], more: list[str]) -> str:
    """Run the command a user would run; returns what it cost, in words."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "app", "backtest", "--prices", str(prices), "--out", str(out)]
    dates = ["--test-start", period[0], "--test-end", period[1]]
    subprocess.run([*command, *dates, "--models", *MODELS.split(), *more], check=True, stdout=subprocess.DEVNULL)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    minutes, wall = (used.ru_utime + used.ru_stime) / 60, (time.perf_counter() - began) / 60
    return (
        f"{minutes:.0f} min of processor time, {wall:.0f} min on the clock, {used.ru_maxrss / 1e6:.1f} GB at the peak"
    )


def skill(forecasts: pd.DataFrame) -> pd.DataFrame:
    """CRPS over that of the reference, by symbol and by day: one row for each model and horizon."""
    tests = comparison.symbol_tests(forecasts, [REFERENCE])
    found = comparison.summary(tests[tests["metric"] == "crps"])
    days = day_means(forecasts)
    rows = []
    for row in found.itertuples():
        pair = days.loc[row.horizon, [row.model, REFERENCE]].dropna()
        compared = diebold_mariano(pair[row.model].to_numpy(), pair[REFERENCE].to_numpy(), row.horizon)
        rows.append(
            {
                "model": row.model,
                "h": row.horizon,
                "mean over symbols of CRPS ratio": f"{row.ratio:.4f}",
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
    parser.add_argument("--again", action="store_true", help="only print the tables of --out")
    options, more = parser.parse_known_args()
    if not options.again:
        if options.prices is None:
            parser.error("--prices PATH is needed, or --again")
        print(back_test(options.prices, options.out, CHOICE if options.choose else TEST, more), end="\n\n")
    forecasts = pd.read_parquet(options.out / "forecasts.parquet")
    print(markdown(skill(forecasts)), end="\n\n")
    print(markdown(coverage(pd.read_csv(options.out / "calibration.csv"))), end="\n\n")
    print(markdown(pd.read_csv(options.out / "superiority.csv")))


if __name__ == "__main__":
    main()
