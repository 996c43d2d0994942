"""Slow, obvious versions of what app/ does fast: loops and NumPy. Never imports app."""

import math

import numpy as np


def ewma_volatility(returns, decay, warm_up):
    """Square root of the weighted mean of squared returns, weights decay ** age, from the definition."""
    answer = []
    for now in range(len(returns)):
        weights = [decay**age for age in range(now + 1)]
        squares = [returns[now - age] ** 2 for age in range(now + 1)]
        mean = sum(w * s for w, s in zip(weights, squares, strict=True)) / sum(weights)
        answer.append(math.sqrt(mean) if now + 1 >= warm_up else math.nan)
    return np.array(answer)


# --- evaluation: app/evaluation/metrics.py and significance.py


def pinball_loss(quantile, actual, level):
    """One quantile, one actual."""
    if actual >= quantile:
        return level * (actual - quantile)
    return (1 - level) * (quantile - actual)


def crps_of_quantiles(quantiles, actual, levels):
    """Twice the mean pinball loss of one row."""
    total = 0.0
    for quantile, level in zip(quantiles, levels, strict=True):
        total += pinball_loss(quantile, actual, level)
    return 2 * total / len(levels)


def crps_of_gaussian(mean, spread, actual):
    """The closed form: Gneiting & Raftery (2007), JASA 102, 359-378, section 4.2."""
    z = (actual - mean) / spread
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    below = (1 + math.erf(z / math.sqrt(2))) / 2
    return spread * (z * (2 * below - 1) + 2 * density - 1 / math.sqrt(math.pi))


def scores_of_rows(rows, levels):
    """Scores of one model at one horizon from rows (symbol, origin, quantiles, actual), one at a time."""
    middle = list(levels).index(0.5)
    known = [row for row in rows if not math.isnan(row[3])]
    crps = absolute = squared = right = moved = width = 0.0
    held = {50: 0, 80: 0, 90: 0}
    for _, _, quantiles, actual in known:
        median = quantiles[middle]
        crps += crps_of_quantiles(quantiles, actual, levels)
        absolute += abs(actual - median)
        squared += (actual - median) ** 2
        if actual != 0:
            moved += 1
            right += 0.5 if median == 0 else float((median > 0) == (actual > 0))
        for nominal in held:
            low = quantiles[list(levels).index(round(0.5 - nominal / 200, 2))]
            high = quantiles[list(levels).index(round(0.5 + nominal / 200, 2))]
            held[nominal] += low <= actual <= high
        width += quantiles[list(levels).index(0.9)] - quantiles[list(levels).index(0.1)]
    n = len(known)
    return {
        "n": n,
        "days": len({row[1] for row in known}),
        "symbols": len({row[0] for row in known}),
        "crps": crps / n,
        "pinball": crps / n / 2,
        "mae": absolute / n,
        "rmse": math.sqrt(squared / n),
        "direction": right / moved,
        **{f"coverage_{nominal}": hits / n for nominal, hits in held.items()},
        "width_80": width / n,
    }


def variance_of_overlapping_mean(values, horizon):
    """Truncated sum of autocovariances, Bartlett weights if that is not positive; Harvey's small-sample factor."""
    n = len(values)
    mean = sum(values) / n
    for bartlett in (False, True):
        total = 0.0
        for lag in range(-(horizon - 1), horizon):
            weight = 1 - abs(lag) / horizon if bartlett else 1.0
            for t in range(n):
                if 0 <= t - lag < n:
                    total += weight * (values[t] - mean) * (values[t - lag] - mean) / n
        if total > 0:
            break
    return total / n / ((n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n)


def block_interval(loss, reference, horizon, block, draws, seed):
    """Studentised circular block bootstrap of sum(loss) / sum(reference) - 1, day by day."""
    n = len(loss)
    starts = np.random.default_rng(seed).integers(n, size=(draws, n // block))
    ratio = sum(loss) / sum(reference)
    level = sum(reference) / n
    spread = math.sqrt(
        variance_of_overlapping_mean([(a - ratio * b) / level for a, b in zip(loss, reference, strict=True)], horizon)
    )
    away = []
    for draw in starts:
        sums = [(sum(loss[(s + i) % n] for i in range(block)), sum(reference[(s + i) % n] for i in range(block)))
                for s in draw]  # fmt: skip
        under = sum(b for _, b in sums)
        drawn = sum(a for a, _ in sums) / under
        between = sum((a - drawn * b) ** 2 for a, b in sums) * len(sums) / (len(sums) - 1)
        away.append((drawn - ratio) / (math.sqrt(between) / under))
    below, above = np.quantile(away, [0.025, 0.975])
    return ratio - 1 - above * spread, ratio - 1 - below * spread


def pinball(targets, forecasts, levels):
    """Mean pinball loss over (batch, steps, horizons) targets that are not NaN, and over levels."""
    losses = []
    for place in np.ndindex(targets.shape):
        target = float(targets[place])
        if math.isnan(target):
            continue
        for level, forecast in zip(levels, forecasts[place], strict=True):
            error = target - float(forecast)
            losses.append(level * error if error >= 0 else (level - 1) * error)
    return sum(losses) / len(losses)


# --- prices: app/prices/adjust.py


def total_returns(close, dividend, split):
    """What one held share, with its splits and dividend, is worth after a session, as a log return."""
    answer = [math.nan]
    for today in range(1, len(close)):
        worth = split[today] * (close[today])
        cost = close[today - 1] - split[today] * dividend[today]
        answer.append(math.log(worth / cost))
    return np.array(answer)


def adjusted_close(close, dividend, split):
    """Each close brought to today event by event: split, then the share of the price the dividend took."""
    answer = []
    for day in range(len(close)):
        price = close[day]
        for later in range(day + 1, len(close)):
            before = close[later - 1] / split[later]
            price = price / split[later] * (1 - dividend[later] / before)
        answer.append(price)
    return np.array(answer)


# --- prices: app/prices/store.py


def newest_word(fetches):
    """What fetches in the order of time ({day: what it said}) say in the end: the last word on each day."""
    answer = {}
    for fetch in fetches:
        for day, said in fetch.items():
            answer[day] = said
    return answer


# --- forecasters: app/forecasters/baselines.py and garch.py


def historical_volatility(returns, lookback):
    """Square root of the mean square of the last `lookback` returns that are known."""
    squares = [value * value for value in returns[-lookback:] if not math.isnan(value)]
    return math.sqrt(sum(squares) / len(squares))


def garch_variance(residuals, start, omega, alpha, gamma, beta):
    """Variance of the session after the last residual; `start` is that of the first residual's session."""
    variance = start
    for residual in residuals:
        fall = 1.0 if residual < 0 else 0.0
        variance = omega + (alpha + gamma * fall) * residual * residual + beta * variance
    return variance


def garch_quantiles(variance, dynamics, sessions, levels, paths, seed):
    """Quantiles of the sum of `sessions` returns, by simulation from one origin with independent draws.

    dynamics: mean, omega (absolute), alpha, gamma, beta, nu. variance: of the first session.
    """
    mean, omega, alpha, gamma, beta, nu = dynamics
    rng = np.random.default_rng(seed)
    now, total = np.full(paths, variance), np.zeros(paths)
    for _ in range(sessions):
        residual = np.sqrt(now) * rng.standard_t(nu, paths) * math.sqrt((nu - 2) / nu)
        total += mean + residual
        now = omega + (alpha + gamma * (residual < 0)) * residual**2 + beta * now
    return np.quantile(total, levels)
