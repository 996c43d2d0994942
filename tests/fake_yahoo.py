"""A Yahoo Finance on this machine, for the unmodified yfinance client and the real command line.

yfinance has no setting for another address. So the server poses as the HTTPS proxy: the client sends
`CONNECT query2.finance.yahoo.com:443`, and what it takes for the tunnel to Yahoo is an HTTPS server
with a certificate of a throw-away authority. Real addresses, real TLS, real cookies and crumb.

    with FakeYahoo() as yahoo:
        yahoo.series["AAPL"] = Series(bars)                  # as traded; may be replaced at any time
        yahoo.faults.append(Fault(429, times=2))             # the next two answers about prices
        subprocess.run(command, env={**os.environ, **yahoo.env()})
        assert yahoo.count("/chart/AAPL") == 2

It never imports app: what Yahoo does to prices is written down here a second time.
"""

import json
import socket
import ssl
import tempfile
import threading
import time
import urllib.parse
from dataclasses import dataclass
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import trustme

CHART = "/v8/finance/chart/"
CRUMB = "crumb-of-the-fake"
CENTURY_S = 100 * 365 * 86400
FOREVER = 10**9
RANGES = {"1d": 1, "5d": 5, "1mo": 21, "3mo": 63, "6mo": 126, "1y": 252, "2y": 504, "5y": 1260, "10y": 2520}
NOT_FOUND = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
STATUS_TEXT = {429: "Too Many Requests\r\n"}


@dataclass
class Fault:
    """What goes wrong with the next answers.

    kind: an HTTP status, or "reset" (the connection is cut), "stall" (silence for `seconds`), "drip"
    (half the answer, then silence), "bad json", "be right back" (Yahoo's HTML page) or "empty" (no rows).
    times: for how many answers. where: part of host + path + query of the requests it is for.
    """

    kind: int | str
    times: int = 1
    where: str = CHART
    seconds: float = 3.0


class Series:
    """One symbol: the truth as traded, and what Yahoo makes of it.

    Args:
        bars: date, open, high, low, close, volume, dividend, split as traded, in time order. A row of
            NaN prices is a session for which Yahoo has nothing.
        forming: the last row is today's unfinished bar, stamped two hours after the opening.
        zone: the exchange's time zone. opens: when it opens. kind: Yahoo's instrument type.
    """

    def __init__(
        self,
        bars: pd.DataFrame,
        forming: bool = False,
        zone: str = "America/New_York",
        opens: str = "09:30:00",
        kind: str = "EQUITY",
        currency: str = "USD",
    ):
        self.zone, self.kind, self.currency = zone, kind, currency
        opening = pd.DatetimeIndex(bars["date"]).normalize() + pd.Timedelta(opens)
        self.stamps = opening.tz_localize(zone).as_unit("s").asi8.copy()
        if forming:
            self.stamps[-1] += 7200
        self.splits = bars["split"].to_numpy(dtype=float, copy=True)
        since = np.cumprod(np.append(1.0, self.splits[:0:-1]))[::-1]
        self.prices = {name: bars[name].to_numpy(dtype=float) / since for name in ("open", "high", "low", "close")}
        self.volume = bars["volume"].to_numpy(dtype=float) * since
        self.dividends = bars["dividend"].to_numpy(dtype=float) / since
        self.adjclose = self.prices["close"] * self._kept()

    def _kept(self) -> np.ndarray:
        """Of every close, the part that no later dividend has taken."""
        before = pd.Series(self.prices["close"]).ffill().shift().to_numpy()
        kept = np.where(self.dividends > 0, 1.0 - self.dividends / before, 1.0)
        return np.cumprod(np.append(1.0, kept[:0:-1]))[::-1]

    def answer(self, symbol: str, query: dict[str, str]) -> dict | None:
        """The chart endpoint's result; None when there is no bar in the span asked for."""
        if "period1" in query:
            wanted = (self.stamps >= int(query["period1"])) & (self.stamps < int(query["period2"]))
        else:
            wanted = np.arange(len(self.stamps)) >= len(self.stamps) - RANGES.get(query.get("range", ""), FOREVER)
        if not wanted.any():
            return None
        quote = {name: _numbers(values[wanted]) for name, values in self.prices.items()}
        quote["volume"] = [None if np.isnan(value) else round(value) for value in self.volume[wanted].tolist()]
        return {
            "meta": self._meta(symbol, query),
            "timestamp": self.stamps[wanted].tolist(),
            "indicators": {"quote": [quote], "adjclose": [{"adjclose": _numbers(self.adjclose[wanted])}]},
            "events": {"dividends": self._dividends(wanted), "splits": self._splits(wanted)},
        }

    def _dividends(self, wanted: np.ndarray) -> dict:
        paid = np.flatnonzero(wanted & (self.dividends > 0))
        events = zip(self._at(paid), _numbers(self.dividends[paid]), strict=True)
        return {str(stamp): {"amount": amount, "date": stamp} for stamp, amount in events}

    def _splits(self, wanted: np.ndarray) -> dict:
        rows = np.flatnonzero(wanted & (self.splits != 1.0))
        ratios = [Fraction(value).limit_denominator(1000) for value in self.splits[rows]]
        return {
            str(stamp): {"date": stamp, "numerator": ratio.numerator, "denominator": ratio.denominator}
            for stamp, ratio in zip(self._at(rows), ratios, strict=True)
        }

    def _at(self, rows: np.ndarray) -> list[int]:
        return self.stamps[rows].tolist()

    def _meta(self, symbol: str, query: dict[str, str]) -> dict:
        return {
            "currency": self.currency,
            "symbol": symbol,
            "instrumentType": self.kind,
            "exchangeTimezoneName": self.zone,
            "firstTradeDate": int(self.stamps[0]),
            "regularMarketTime": int(self.stamps[-1]),
            "dataGranularity": "1d",
            "range": query.get("range", ""),
            "validRanges": [*RANGES, "ytd", "max"],
        }


class FakeYahoo(ThreadingHTTPServer):
    """Serves until the `with` block ends. Series, faults and log may be read and changed meanwhile."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, series: dict[str, Series] | None = None):
        self.series = dict(series or {})
        self.faults: list[Fault] = []
        self.log: list[str] = []
        """host + path + query of every request, in order."""
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="fake-yahoo-")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self._authority_file))
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com").configure_cert(self.tls)
        super().__init__(("127.0.0.1", 0), _Tunnel)

    def __enter__(self) -> "FakeYahoo":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.shutdown()
        self.server_close()
        self._folder.cleanup()

    def env(self) -> dict[str, str]:
        """What a child process needs in its environment to take this server for Yahoo."""
        address = f"http://127.0.0.1:{self.server_address[1]}"
        trust = dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(self._authority_file))
        proxy = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), address)
        return {**trust, **proxy, "XDG_CACHE_HOME": str(Path(self._folder.name) / "cache")}

    def count(self, part: str) -> int:
        """How many requests so far have `part` in host + path + query."""
        return sum(part in line for line in self.log)

    def reset(self) -> None:
        """Forget the faults and the log; the series stay."""
        with self._lock:
            self.faults.clear()
            self.log.clear()

    def note(self, line: str) -> Fault | None:
        """Log a request; the fault it meets, if any."""
        with self._lock:
            self.log.append(line)
            for fault in self.faults:
                if fault.times > 0 and fault.where in line:
                    fault.times -= 1
                    return fault
        return None

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is part of the tests."""

    @property
    def _authority_file(self) -> Path:
        return Path(self._folder.name) / "authority.pem"


class _Tunnel(BaseHTTPRequestHandler):
    """The proxy: accepts every tunnel, and is itself what the client finds at the other end."""

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with self.server.tls.wrap_socket(self.connection, server_side=True) as tunnel:
            _Yahoo(tunnel, self.client_address, self.server)

    def log_message(self, *_) -> None:
        """The log is in memory."""


class _Yahoo(BaseHTTPRequestHandler):
    """What Yahoo's hosts answer."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        path, _, text = self.path.partition("?")
        path = urllib.parse.unquote(path)
        query = dict(urllib.parse.parse_qsl(text))
        fault = self.server.note(f"{self.headers['Host']}{path}?{urllib.parse.unquote_plus(text)}")
        if fault is not None and self._suffer(fault):
            return
        self._answer(path, query)

    def _answer(self, path: str, query: dict[str, str]) -> None:
        if self.headers["Host"] == "fc.yahoo.com":  # Yahoo's own answer, too, is a 404 with the cookie
            return self._send(404, "", cookie="A3=fake; Max-Age=31557600; Domain=.yahoo.com; Path=/; Secure; HttpOnly")
        if path == "/v1/test/getcrumb":
            return self._send(200, CRUMB) if "A3=" in self.headers.get("Cookie", "") else self._send(401, "")
        if not path.startswith(CHART):
            return self._send(404, json.dumps({"error": NOT_FOUND}))
        symbol = path[len(CHART) :]
        series = self.server.series.get(symbol)
        if series is None:
            return self._chart(404, None, NOT_FOUND)
        if int(query.get("period2", 0)) - int(query.get("period1", 0)) > CENTURY_S:
            return self._chart(422, None, {"code": "Unprocessable Entity", "description": "Only 100 years are allowed"})
        result = series.answer(symbol, query)
        if result is None:
            absent = f"Data doesn't exist for startDate = {query['period1']}, endDate = {query['period2']}"
            return self._chart(400, None, {"code": "Bad Request", "description": absent})
        return self._chart(200, [result], None)

    def _suffer(self, fault: Fault) -> bool:
        """Carry out the fault; whether that was the whole answer."""
        if isinstance(fault.kind, int):
            self._send(fault.kind, STATUS_TEXT.get(fault.kind, "<html>error</html>"))
        elif fault.kind == "reset":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif fault.kind == "stall":
            time.sleep(fault.seconds)
            return False
        elif fault.kind == "drip":
            self._send(200, '{"chart": ', promised=10**6)
            time.sleep(fault.seconds)
            self.close_connection = True
        elif fault.kind == "bad json":
            self._send(200, '{"chart": {"result": [')
        elif fault.kind == "be right back":
            self._send(200, "<html>Will be right back</html>")
        elif fault.kind == "empty":
            self._chart(200, [{"meta": {}, "indicators": {"quote": [{}], "adjclose": [{}]}}], None)
        else:
            raise ValueError(f"unknown fault {fault.kind!r}")
        return True

    def _chart(self, status: int, result: list | None, error: dict | None) -> None:
        self._send(status, json.dumps({"chart": {"result": result, "error": error}}))

    def _send(self, status: int, text: str, cookie: str = "", promised: int | None = None) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if text.startswith("{") else "text/html")
        self.send_header("Content-Length", str(len(body) if promised is None else promised))
        if cookie:
            self.send_header("Set-Cookie", cookie)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_) -> None:
        """The log is in memory."""


def _numbers(values: np.ndarray) -> list[float | None]:
    """JSON numbers in the single precision in which Yahoo keeps them; NaN is null."""
    rounded = values.astype(np.float32).astype(float)
    return [None if np.isnan(value) else value for value in rounded.tolist()]
