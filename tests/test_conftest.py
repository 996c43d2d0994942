"""The ground under the tests: no network, and the fixture's values by eye."""

import socket

import numpy as np
import pytest
from curl_cffi import CurlError
from curl_cffi import requests as curl

from app.prices.calendar import sessions


def test_the_close_of_session_t_is_100_plus_t(prices):
    up = prices[prices["symbol"] == "UP"]
    assert up["close"].tolist()[:3] == [100, 101, 102]
    assert up["close"].iloc[-1] == 100 + len(up) - 1
    assert up["date"].iloc[3] == np.datetime64("2024-01-04")


def test_every_date_of_the_fixture_is_a_session_in_new_york(prices):
    for _, bars in prices.groupby("symbol"):
        dates = bars["date"].to_numpy().astype("datetime64[D]")
        np.testing.assert_array_equal(dates, sessions("XNYS", dates[0], dates[-1]))


@pytest.mark.parametrize("host", ["192.0.2.1", "example.invalid"])
def test_another_machine_cannot_be_reached(host):
    with pytest.raises(OSError, match="no network"):
        socket.create_connection((host, 443), timeout=1)


def test_libcurl_cannot_reach_another_machine():
    with pytest.raises(CurlError, match=r"127\.0\.0\.1"):
        curl.get("https://example.invalid/", timeout=5)


def test_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=5).close()
        socket.create_connection(("localhost", server.getsockname()[1]), timeout=5).close()
