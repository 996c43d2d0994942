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
        answer.update(fetch)
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


def egarch_log_variance(residuals, start, omega, alpha, gamma, beta):
    """Log variance of the session after the last residual; `start` is that of the first residual's session."""
    level = start
    for residual in residuals:
        z = residual / math.exp(level / 2)
        level = omega + alpha * (abs(z) - math.sqrt(2 / math.pi)) + gamma * z + beta * level
    return level


def egarch_quantiles(level, dynamics, sessions, levels, paths, seed):
    """Quantiles of the sum of `sessions` returns, by simulation from one origin with independent draws.

    dynamics: mean, omega, alpha, gamma, beta, nu. level: log variance of the first session.
    """
    mean, omega, alpha, gamma, beta, nu = dynamics
    rng = np.random.default_rng(seed)
    now, total = np.full(paths, level), np.zeros(paths)
    for _ in range(sessions):
        z = rng.standard_t(nu, paths) * math.sqrt((nu - 2) / nu)
        total += mean + np.exp(now / 2) * z
        now = omega + alpha * (np.abs(z) - math.sqrt(2 / math.pi)) + gamma * z + beta * now
    return np.quantile(total, levels)


def har_regression(prices, symbols, origins, horizons):
    """For each horizon (3 slopes, level of each symbol in order): normal equations with a column a symbol.

    prices: high and low alone make the range; symbols, origins: of the windows that are learnt from.
    """
    ranges, place = {}, {}
    for symbol, rows in prices.groupby("symbol"):
        ranges[symbol] = [
            math.log(high / low) / math.sqrt(4 * math.log(2))
            for high, low in zip(rows["high"], rows["low"], strict=True)
        ]
        place[symbol] = {day: number for number, day in enumerate(rows["date"].to_numpy().astype("datetime64[D]"))}
    names, warm_up, answers = sorted(ranges), 20, []
    for horizon in horizons:
        inputs, targets = [], []
        for symbol, origin in zip(symbols, origins, strict=True):
            series, now = ranges[symbol], place[symbol][origin]
            past = [math.log(value) for value in series[max(now - 21, warm_up) : now + 1]]
            averages = [sum(past[-span:]) / len(past[-span:]) for span in (1, 5, 22)]
            inputs.append([*averages, *(1.0 if symbol == name else 0.0 for name in names)])
            later = series[now + 1 : now + 1 + horizon]
            targets.append(math.log(sum(value * value for value in later) / horizon) / 2)
        table = np.array(inputs)
        found = np.linalg.solve(table.T @ table, table.T @ np.array(targets))
        answers.append((found[:3], found[3:]))
    return answers


def outlook(known, days, quarters):
    """Column → list of numbers: app/dataset/outlook.py for one symbol, without a market."""
    count = len(known)
    scale = math.sqrt(4 * math.log(2))
    ranges = [math.log(max(value / scale, 1e-4)) for value in known["true_range"]]
    sigma, gap = list(known["volatility"]), list(known["days_to_next"])
    moved = [0.0 if math.isnan(r / v) else r / v for r, v in zip(known["returns"], sigma, strict=True)]
    traded = [volume if volume > 0 else math.nan for volume in known["volume"]]
    busy = []
    for now in range(count):
        recent = [one for one in traded[max(now - 59, 0) : now + 1] if not math.isnan(one)]
        usual = sum(recent) / len(recent) if len(recent) >= 20 else math.nan
        ratio = traded[now] / usual
        busy.append(0.0 if math.isnan(ratio) else math.log(ratio))

    def mean(series, now, span, fewest):
        part = series[max(now - span + 1, 0) : now + 1]
        return sum(part) / len(part) if len(part) >= fewest else math.nan

    def known_or(value, other=0.0):
        return other if math.isnan(value) else value

    events = []
    for now in range(count):
        wider = ranges[now] - mean(ranges, now - 1, 22, 22) if now else math.nan
        busier = busy[now] - mean(busy, now - 1, 5, 5) if now else math.nan
        events.append(min(max(known_or(wider), 0.0), 3.0) + 0.5 * max(known_or(busier), 0.0))
    columns = {}
    spans = {"day": (1, 1), "week": (5, 5), "month": (22, 22), "quarter": (66, 40), "year": (250, 60)}
    for name, (span, fewest) in spans.items():
        columns[name] = [mean(ranges, now, span, fewest) - math.log(sigma[now]) for now in range(count)]
    falls = [min(one, 0.0) for one in moved]
    columns |= {"down": falls, "up": [max(one, 0.0) for one in moved]}
    columns["down_week"] = [mean(falls, now, 5, 5) for now in range(count)]
    columns["down_month"] = [mean(falls, now, 22, 22) for now in range(count)]
    columns |= {"volume": busy, "volume_week": [mean(busy, now, 5, 5) for now in range(count)]}
    columns["days_to_next"] = [math.log(one) for one in gap]
    near = {"last_quarters_day": (0, 0), "near": (3, 3), "next_week": (0, 4), "next_month": (0, 19)}
    columns |= {name: [0.0] * count for name in near}
    for now in range(count):
        for quarter in quarters:
            then = days[now] + np.timedelta64(int(gap[now]) - quarter, "D")
            if then < days[0]:
                continue
            at = next(row for row in range(count) if days[row] >= then)
            for name, (before, after) in near.items():
                inside = [events[row] for row in range(at - before, at + after + 1) if 0 <= row < now]
                columns[name][now] += max([0.0, *inside]) / len(quarters)
    return columns


def ridge(inputs, answers, held):
    """(level, slopes) that minimise squared errors + held * squared slopes, slopes counted a deviation of the input."""
    rows, columns = len(inputs), len(inputs[0])
    mean = [sum(row[j] for row in inputs) / rows for j in range(columns)]
    spread = [math.sqrt(sum((row[j] - mean[j]) ** 2 for row in inputs) / rows) for j in range(columns)]
    middle = sum(answers) / rows
    z = [[(row[j] - mean[j]) / spread[j] for j in range(columns)] for row in inputs]
    left = [[sum(row[i] * row[j] for row in z) + held * (i == j) for j in range(columns)] for i in range(columns)]
    right = [sum(row[j] * (answer - middle) for row, answer in zip(z, answers, strict=True)) for j in range(columns)]
    slopes = np.linalg.solve(np.array(left), np.array(right)) / np.array(spread)
    return middle - float(np.dot(mean, slopes)), slopes


# --- forecasters: app/forecasters/cells.py, layers.py and bodies.py. One sequence at a time, (rows, columns).


def logistic(z):
    """s(z)."""
    return 1 / (1 + np.exp(-z))


def simple_rnn(x, kernel, recurrent, bias):
    """(rows, units) states."""
    return clockwork_rnn(x, kernel, recurrent, bias, periods=[1] * len(bias), start=0)


def lstm(x, kernel, recurrent, bias):
    """(rows, units) states; the gates stand side by side as i, f, c, o."""
    return peephole_lstm(x, kernel, recurrent, np.zeros((3, len(recurrent))), bias)


def gru(x, kernel, recurrent, bias):
    """(rows, units) states; gates z, r, candidate; two biases, as Keras has them for cuDNN's sake."""
    units = len(recurrent)
    h, answer = np.zeros(units), []
    for row in x:
        of_x, of_h = row @ kernel + bias[0], h @ recurrent + bias[1]
        z = logistic(of_x[:units] + of_h[:units])
        r = logistic(of_x[units : 2 * units] + of_h[units : 2 * units])
        h = z * h + (1 - z) * np.tanh(of_x[2 * units :] + r * of_h[2 * units :])
        answer.append(h)
    return np.array(answer)


def peephole_lstm(x, kernel, recurrent, peephole, bias, kept=(1.0,) * 4):
    """Gers, Schraudolph & Schmidhuber (2002), a gate at a time; kept: what each gate hears of h (recurrent dropout)."""
    units = len(recurrent)
    h, c, answer = np.zeros(units), np.zeros(units), []
    for row in x:
        i, f, g, o = _gates(row, h, kernel, recurrent, bias, kept)
        i, f = logistic(i + peephole[0] * c), logistic(f + peephole[1] * c)
        c = f * c + i * np.tanh(g)
        h = logistic(o + peephole[2] * c) * np.tanh(c)
        answer.append(h)
    return np.array(answer)


def depth_gated_lstm(x, first, second, kept=((1.0,) * 4,) * 2):
    """Two layers, row by row as Yao et al. (2015) write them: both layers of a row, then the next row.

    first: kernel, recurrent, bias; second: the same, then depth_kernel, depth_peephole, depth_bias.
    kept: what each gate hears of h (recurrent dropout), in the first and in the second.
    """
    units = len(first[1])
    h1, c1, h2, c2 = (np.zeros(units) for _ in range(4))
    answer = []
    for row in x:
        h1, c1 = _lstm_step(row, h1, c1, *first[:3], fed=0.0, kept=kept[0])
        depth_kernel, (w_old, w_below), depth_bias = second[3:]
        d = logistic(h1 @ depth_kernel + w_old * c2 + w_below * c1 + depth_bias)
        h2, c2 = _lstm_step(h1, h2, c2, *second[:3], fed=d * c1, kept=kept[1])
        answer.append(h2)
    return np.array(answer)


def _gates(x, h, kernel, recurrent, bias, kept):
    """What comes to each of four gates, before it is squeezed."""
    units = len(h)
    for k in range(4):
        gate = slice(k * units, (k + 1) * units)
        yield x @ kernel[:, gate] + (kept[k] * h) @ recurrent[:, gate] + bias[gate]


def _lstm_step(x, h, c, kernel, recurrent, bias, fed, kept=(1.0,) * 4):
    i, f, g, o = _gates(x, h, kernel, recurrent, bias, kept)
    c = fed + logistic(f) * c + logistic(i) * np.tanh(g)
    return logistic(o) * np.tanh(c), c


def clockwork_rnn(x, kernel, recurrent, bias, periods, start, kept=None):
    """Koutník et al. (2014), unit by unit and weight by weight; kept: what is heard of h."""
    units = len(bias)
    kept = np.ones(units) if kept is None else kept
    period = [periods[unit * len(periods) // units] for unit in range(units)]
    h, answer = [0.0] * units, []
    for t, row in enumerate(x):
        new = list(h)
        for unit in range(units):
            if (t - start) % period[unit] != 0:
                continue
            z = bias[unit] + sum(row[k] * kernel[k, unit] for k in range(len(row)))
            for other in range(units):
                if period[other] >= period[unit]:
                    z += kept[other] * h[other] * recurrent[other, unit]
            new[unit] = math.tanh(z)
        h = new
        answer.append(h)
    return np.array(answer)


def attention_pooling(states, kernel, bias, query, lookback):
    """Feng et al. (2019): for each row with a whole window, its state beside the attended mean of the window."""
    answer = []
    for end in range(lookback - 1, len(states)):
        window = states[end - lookback + 1 : end + 1]
        weights = [math.exp((np.tanh(h @ kernel + bias) @ query).item()) for h in window]
        mean = sum(w * h for w, h in zip(weights, window, strict=True)) / sum(weights)
        answer.append(np.concatenate([states[end], mean]))
    return np.array(answer)


def bidirectional_lstm(x, forwards, backwards, lookback):
    """For each row with a whole window: the last states of an LSTM over it and of one over it reversed."""
    answer = []
    for end in range(lookback - 1, len(x)):
        window = x[end - lookback + 1 : end + 1]
        answer.append(np.concatenate([lstm(window, *forwards)[-1], lstm(window[::-1], *backwards)[-1]]))
    return np.array(answer)


def feed_forward(x, kernel, bias, lookback):
    """For each row with a whole window: a layer of rectified units on its numbers, oldest row first."""
    return np.array(
        [np.maximum(x[end - lookback + 1 : end + 1].ravel() @ kernel + bias, 0) for end in range(lookback - 1, len(x))]
    )


def positions(rows, units):
    """Sines and cosines of Vaswani et al. (2017), section 3.5."""
    answer = np.zeros((rows, units))
    for t in range(rows):
        for column in range(units):
            angle = t / 10000 ** (2 * (column // 2) / units)
            answer[t, column] = math.cos(angle) if column % 2 else math.sin(angle)
    return answer


def causal_block(x, weights, lookback):
    """A pre-norm transformer block, a row and a head at a time.

    weights: norm_1, norm_2 (scale, shift); query, key, value (kernel (units, heads, width), bias);
    output (kernel (heads, width, units), bias); widen, narrow (kernel, bias).
    """
    normed = np.array([_layer_norm(row, *weights["norm_1"]) for row in x])
    heads, width = weights["query"][0].shape[1:]
    answer = []
    for t in range(len(x)):
        attended = weights["output"][1].copy()
        for head in range(heads):
            query, key, value = (
                normed @ kernel[:, head] + bias[head]
                for kernel, bias in (weights[k] for k in ("query", "key", "value"))
            )
            seen = range(max(0, t - lookback + 1), t + 1)
            scores = [math.exp(query[t] @ key[s] / math.sqrt(width)) for s in seen]
            mixed = sum(score * value[s] for score, s in zip(scores, seen, strict=True)) / sum(scores)
            attended = attended + mixed @ weights["output"][0][head]
        y = x[t] + attended
        wide = np.maximum(_layer_norm(y, *weights["norm_2"]) @ weights["widen"][0] + weights["widen"][1], 0)
        answer.append(y + wide @ weights["narrow"][0] + weights["narrow"][1])
    return np.array(answer)


def _layer_norm(row, scale, shift):
    return (row - row.mean()) / math.sqrt(row.var() + 1e-3) * scale + shift


# --- evaluation: app/evaluation/comparison.py, calibration.py and conformal.py


def holm_by_hand(p_values):
    """Holm (1979): the smallest p times n, the next times n - 1, and none below one that came before."""
    answer, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        answer[place] = highest
    return answer


def pesaran_timmermann(said, was):
    """Pesaran & Timmermann (1992), equations 1 to 6, from two series of 0 and 1."""
    n = len(said)
    right = sum(s == w for s, w in zip(said, was, strict=True)) / n
    x, y = sum(said) / n, sum(was) / n
    chance = x * y + (1 - x) * (1 - y)
    of_right = chance * (1 - chance) / n
    of_chance = (2 * y - 1) ** 2 * x * (1 - x) / n + (2 * x - 1) ** 2 * y * (1 - y) / n
    of_chance += 4 * x * y * (1 - x) * (1 - y) / n**2
    return (right - chance) / math.sqrt(of_right - of_chance)


def pit_histogram(quantiles, actual):
    """(20,) share of actuals between neighbouring quantiles; one that equals quantiles is split evenly."""
    shares = [0.0] * (len(quantiles[0]) + 1)
    for row, value in zip(quantiles, actual, strict=True):
        edges = [-math.inf, *row, math.inf]
        cells = [cell for cell in range(len(shares)) if edges[cell] <= value <= edges[cell + 1]]
        for cell in cells:
            shares[cell] += 1 / len(cells) / len(actual)
    return np.array(shares)


def adaptive_conformal(quantiles, actual, levels, rate, delay):
    """(symbols, days, levels) quantiles corrected a level, a day and a symbol at a time; actuals come `delay` later."""
    symbols, days, count = quantiles.shape
    middle, answer = count // 2, np.zeros_like(quantiles)
    stretch, widths, third, judged = [[1.0] * count for _ in range(3)], [], {}, []
    for today in range(days):
        due = today - delay
        seen = [s for s in range(symbols) if due >= 0 and not math.isnan(actual[s, due])]
        judged += [third[s, due] for s in seen]
        for group in range(3):
            mine = [s for s in seen if third[s, due] == group]
            for level in range(count):
                if mine:
                    below = sum(actual[s, due] <= answer[s, due, level] for s in mine) / len(mine)
                    pace = len(mine) / len(seen) * min(3, len(judged) / judged.count(group))
                    step = pace * rate * (levels[level] - below)
                    stretch[group][level] += step if level > middle else -step if level < middle else 0.0
        widths += [quantiles[s, today, count - 2] - quantiles[s, today, 1] for s in range(symbols)]
        low, high = sorted(widths)[len(widths) // 3], sorted(widths)[2 * len(widths) // 3]
        for s in range(symbols):
            width = quantiles[s, today, count - 2] - quantiles[s, today, 1]
            third[s, today] = 0 if width <= low else 1 if width <= high else 2
            mine, median = stretch[third[s, today]], quantiles[s, today, middle]
            moved = [median + max(c, 0.0) * (q - median) for c, q in zip(mine, quantiles[s, today], strict=True)]
            answer[s, today] = [*sorted(moved[:middle]), median, *sorted(moved[middle + 1 :])]
    return answer


# --- reproductions: app/reproduce


def feng_features(bars):
    """The 11 features of Feng et al. (2019) from rows (open, high, low, close, adjusted), a number at a time; NaN
    where a day is missing."""
    answer = []
    for t, (opened, high, low, close, adjusted) in enumerate(bars):
        before = bars[t - 1] if t > 0 else [math.nan] * 5
        row = [opened / close - 1, high / close - 1, low / close - 1, close / before[3] - 1, adjusted / before[4] - 1]
        for k in (5, 10, 15, 20, 25, 30):
            last = [bars[s][4] for s in range(t - k + 1, t + 1) if s >= 0]
            row.append(sum(last) / k / adjusted - 1 if len(last) == k else math.nan)
        answer.append([100 * value for value in row])
    return np.array(answer)


def feng_instances(features, label, lookback, inside):
    """(day, symbol) of every instance: labelled, inside, and all features of the days before it known."""
    found = []
    for t in range(len(features)):
        for s in range(features.shape[1]):
            window = [features[t - age, s] for age in range(1, lookback + 1) if t - age >= 0]
            whole = len(window) == lookback and not any(math.isnan(value) for row in window for value in row)
            if inside[t] and whole and label[t, s] != 0:
                found.append((t, s))
    return found


def hinge_loss(sign, score):
    """Mean of what is missing to a margin of 1 on the right side."""
    return sum(max(0.0, 1 - s * f) for s, f in zip(sign, score, strict=True)) / len(sign)


def long_short(days, score, returns, picks):
    """Mean return of each day's highest scores less that of its lowest, in order of days."""
    answer = []
    for day in sorted(set(days)):
        rows = sorted((score[i], returns[i]) for i in range(len(days)) if days[i] == day)
        low = sum(r for _, r in rows[:picks]) / picks
        high = sum(r for _, r in rows[-picks:]) / picks
        answer.append(high - low)
    return answer


# --- forecasters: app/forecasters/decoder.py and networks.py. One row's summary at a time.


def decoder(summary, horizons, cell, bridge, weights, held=None):
    """(horizons, units): one recurrent layer over the horizons, a horizon at a time.

    bridge: V and b of the first state; weights: of the cell, in Keras's order; held: gate → what it is held at.
    """
    state = np.tanh(summary @ bridge[0] + bridge[1])
    units = len(weights[1])
    h, c, answer = state[:units], state[units:], []
    for horizon in range(horizons):
        told = [1.0 if other == horizon else 0.0 for other in range(horizons)]
        h, c = _decoder_step(cell, np.concatenate([summary, told]), h, c, weights, held or {})
        answer.append(h)
    return np.array(answer)


def _decoder_step(cell, x, h, c, weights, held):
    def gate(name, z):
        return held[name] if name in held else logistic(z)

    if cell == "simple-rnn":
        return np.tanh(x @ weights[0] + h @ weights[1] + weights[2]), c
    units = len(h)
    if cell == "gru":
        kernel, recurrent, (of_input, of_state) = weights
        a, b = x @ kernel + of_input, h @ recurrent + of_state
        z, r = gate("update", a[:units] + b[:units]), gate("reset", a[units : 2 * units] + b[units : 2 * units])
        return z * h + (1 - z) * np.tanh(a[2 * units :] + r * b[2 * units :]), c
    kernel, recurrent, *peephole, bias = weights
    of_i, of_f, of_o = peephole[0] if cell == "peephole-lstm" else np.zeros((3, units))
    i, f, g, o = ((x @ kernel + h @ recurrent + bias)[k * units : (k + 1) * units] for k in range(4))
    c = gate("forget", f + of_f * c) * c + gate("input", i + of_i * c) * np.tanh(g)
    return gate("output", o + of_o * c) * np.tanh(c), c


def depth_gated_decoder(summary, horizons, bridges, weights):
    """(horizons, units): two depth-gated layers over the horizons, each from its own first state."""
    units = len(weights[0][1])
    states = [np.tanh(summary @ kernel + bias) for kernel, bias in bridges]
    (h1, c1), (h2, c2) = ((state[:units], state[units:]) for state in states)
    answer = []
    for horizon in range(horizons):
        told = [1.0 if other == horizon else 0.0 for other in range(horizons)]
        h1, c1 = _lstm_step(np.concatenate([summary, told]), h1, c1, *weights[0], fed=0.0)
        depth_kernel, (w_old, w_below), depth_bias = weights[1][3:]
        d = logistic(h1 @ depth_kernel + w_old * c2 + w_below * c1 + depth_bias)
        h2, c2 = _lstm_step(h1, h2, c2, *weights[1][:3], fed=d * c1)
        answer.append(h2)
    return np.array(answer)


def rising(z):
    """Quantiles from a median in the middle of z and a softened distance for each other level, one at a time."""
    middle = len(z) // 2
    answer = [0.0] * len(z)
    answer[middle] = z[middle]
    for level in range(middle + 1, len(z)):
        answer[level] = answer[level - 1] + math.log1p(math.exp(z[level]))
    for level in range(middle - 1, -1, -1):
        answer[level] = answer[level + 1] - math.log1p(math.exp(z[level]))
    return answer
