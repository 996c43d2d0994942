"""Files of every layout become the same price table, and what cannot be read is refused in one line."""

import gzip
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from app.errors import DataError, SettingsError
from app.prices.adjust import adjusted, total_returns
from app.prices.sources import Files, Sample, check_symbol
from app.schema import PRICE_COLUMNS, prices_table

TIDY = """symbol,date,open,high,low,close,volume
A,2024-01-02,1,2,0.5,1.5,10
B,2024-01-02,5,6,4,5.5,20
A,2024-01-03,2,3,1,2.5,30
"""
YAHOO = "Date,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def closes(path: Path, symbols=None) -> list[tuple[str, str, float]]:
    table = Files(path).table(symbols)
    assert tuple(table.columns) == PRICE_COLUMNS
    assert table.dtypes.astype(str).tolist() == ["str", "datetime64[ns]", *["float64"] * 7]
    return list(zip(table["symbol"], table["date"].dt.strftime("%Y-%m-%d"), table["close"], strict=True))


EXPECTED = [("A", "2024-01-02", 1.5), ("B", "2024-01-02", 5.5), ("A", "2024-01-03", 2.5)]


# --- symbols


@pytest.mark.parametrize(
    "symbol", ["AAPL", "BRK-B", "^GSPC", "0700.HK", "EURUSD=X", "NA", "TRUE", "nan", "CON", "A" * 32]
)
def test_real_symbols_are_allowed(symbol):
    assert check_symbol(symbol) == symbol


@pytest.mark.parametrize(
    "symbol",
    [
        "", " ", "../../x", "/abs", "C:\\x", "a\0b", "A..B", "A" * 33, "A" * 300, "<script>", "=cmd", "-A", ".A", "A B",
        "A ", "A\n", "ＡＡＰＬ", "é", "😀", "\u202eA", "A/B", None, 700,
    ],
)  # fmt: skip
def test_what_could_be_a_path_or_a_formula_is_refused(symbol):
    with pytest.raises(SettingsError, match="is not allowed") as refusal:
        check_symbol(symbol)
    assert "\n" not in str(refusal.value)


# --- the sample


def test_the_sample_holds_twenty_years_of_two_indices():
    sample = Sample()
    assert sample.symbols() == ("^GSPC", "^IXIC")
    for symbol, first, last in [("^GSPC", 1228.099976, 2506.850098), ("^IXIC", 2208.050049, 6635.279785)]:
        table = sample.history(symbol)
        assert len(table) == 5031
        assert table["close"].iloc[[0, -1]].tolist() == pytest.approx([first, last])
        assert table["date"].is_monotonic_increasing
        assert (table["dividend"] == 0).all()
        assert (table["split"] == 1).all()


def test_both_ends_of_a_history_are_included():
    table = Sample().history("^GSPC", np.datetime64("2018-12-28"), np.datetime64("2018-12-31"))
    assert table["date"].dt.day.tolist() == [28, 31]


def test_the_sample_names_what_it_holds_when_asked_for_something_else():
    with pytest.raises(SettingsError, match=r"\^GSPC.*not 'AAPL'"):
        Sample().history("AAPL")


# --- layouts


def test_a_tidy_file_keeps_its_own_order_of_rows(tmp_path):
    assert closes(write(tmp_path / "p.csv", TIDY)) == EXPECTED
    assert Files(tmp_path / "p.csv").symbols() == ("A", "B")
    assert closes(tmp_path / "p.csv", ["B"]) == [EXPECTED[1]]
    assert len(Files(tmp_path / "p.csv").history("A", start=np.datetime64("2024-01-03"))) == 1
    assert len(Files(tmp_path / "p.csv").table(stop=np.datetime64("2024-01-02"))) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", "\ufeff" + TIDY),
        ("crlf.csv", TIDY.replace("\n", "\r\n")),
        ("old_mac.csv", TIDY.replace("\n", "\r")),
        ("UPPER.CSV", TIDY.upper()),
        ("no_last_newline.csv", TIDY.rstrip("\n")),
        ("blank_lines.csv", "\n\n" + TIDY + "\n,,,,,,\n"),
        (
            "german.csv",
            TIDY.replace(",", ";").replace(".", ",").replace("2024-01-0", "0").replace("02;", "02.01.2024;"),
        ),
        ("tab.tsv", TIDY.replace(",", "\t")),
        ("bar.txt", TIDY.replace(",", "|")),
        ("packed.csv.gz", gzip.compress(TIDY.encode())),
        ("ticker.csv", TIDY.replace("symbol,date", "Ticker,Datetime")),
        ("timestamp.csv", TIDY.replace("date", "timestamp").replace("-02", "-02T21:00:00Z")),
        ("quoted.csv", TIDY.replace("A,", '"A",').replace("symbol", '"symbol"')),
        ("more.csv", "\n".join(line + ",x" for line in TIDY.split("\n") if line)),
        ("year_first.csv", TIDY.replace("2024-01-0", "2024/1/")),
        ("compact.csv", TIDY.replace("2024-01-0", "2024010")),
    ],
)
def test_one_table_in_many_spellings(tmp_path, name, content):
    if name == "german.csv":
        content = content.replace("03;", "03.01.2024;")
    assert closes(write(tmp_path / name, content)) == EXPECTED


@pytest.mark.parametrize("days", [["1/13/2024", "1/2/2024"], ["13/1/2024", "2/1/2024"]])
def test_the_month_is_found_where_some_day_tells_it(tmp_path, days):
    write(tmp_path / "A.csv", "Date,Close\n" + "".join(f"{day},1\n" for day in days))
    assert [row[1] for row in closes(tmp_path / "A.csv")] == ["2024-01-13", "2024-01-02"]


def test_missing_columns_are_unknown_and_missing_actions_are_none(tmp_path):
    row = Files(write(tmp_path / "A.csv", "Date,Close\n2024-01-02,1\n")).table().iloc[0]
    assert np.isnan(row[["open", "high", "low", "volume"]].astype(float)).all()
    assert (row["dividend"], row["split"]) == (0.0, 1.0)


def test_a_tidy_file_is_as_traded(tmp_path):
    write(tmp_path / "p.csv", "symbol,date,close,dividend,split\nA,2024-01-02,100,0,0\nA,2024-01-03,50,1,2\n")
    table = Files(tmp_path / "p.csv").table()
    assert table[["close", "dividend", "split"]].to_numpy().tolist() == [[100, 0, 1], [50, 1, 2]]


def test_a_file_of_one_symbol_is_brought_back_to_what_was_traded(tmp_path):
    """Served in today's shares: 2 shares became 20, so 5 was 50 and a dividend of 0.1 was 1."""
    rows = "2024-01-02,4,6,3,5,5,1000,0.1,0\n2024-01-03,5,5,5,5,5,1000,0,10\n2024-01-04,5,5,5,5,5,900,0.2,0\n"
    table = Files(write(tmp_path / "^A.csv", YAHOO + rows)).table()
    assert table["symbol"].unique() == ["^A"]
    assert table[["open", "close", "volume", "dividend", "split"]].to_numpy().tolist() == [
        [40, 50, 100, 1, 1], [5, 5, 1000, 0, 10], [5, 5, 900, 0.2, 1],
    ]  # fmt: skip


def test_newest_first_and_rows_stored_twice_are_adjusted_right_and_left_in_place(tmp_path):
    rows = ["2024-01-04,5,5,5,5,5,900,0,0\n", "2024-01-03,5,5,5,5,5,900,0,10\n", "2024-01-02,5,5,5,5,5,900,0,0\n"]
    write(tmp_path / "A.csv", YAHOO + rows[0] + rows[1] + rows[1] + rows[2])
    table = Files(tmp_path / "A.csv").table()
    assert table["date"].dt.day.tolist() == [4, 3, 3, 2]
    assert table["close"].tolist() == [5, 5, 5, 50]
    assert table["split"].tolist() == [1, 10, 10, 1]


def test_a_day_is_the_exchanges_own_whatever_the_offset(tmp_path):
    days = [
        "2022-03-11 00:00:00-05:00",
        "2022-03-14 00:00:00-04:00",
        "2022-03-15 23:59:59+13:00",
        "2022-03-16T00:00:00Z",
    ]
    write(tmp_path / "A.csv", "Datetime,Close\n" + "".join(f"{day},1\n" for day in days))
    assert [row[1][-2:] for row in closes(tmp_path / "A.csv")] == ["11", "14", "15", "16"]


@pytest.mark.parametrize("symbol", ["NA", "TRUE", "nan", "None", "null", "0700", "1E5"])
def test_symbols_that_look_like_something_else_stay_text(tmp_path, symbol):
    write(tmp_path / "p.csv", f"symbol,date,close\n{symbol},2024-01-02,1\n{symbol},2024-01-03,2\n")
    assert Files(tmp_path / "p.csv").symbols() == (symbol,)
    assert len(Files(tmp_path / "p.csv").history(symbol)) == 2
    Files(tmp_path / "p.csv").table().to_parquet(tmp_path / "p.parquet")
    assert Files(tmp_path / "p.parquet").symbols() == (symbol,)
    write(tmp_path / "one" / f"{symbol}.csv", "Date,Close\n2024-01-02,1\n")
    assert Files(tmp_path / "one").symbols() == (symbol,)


def test_unknown_numbers_are_nan_and_nothing_is_dropped(tmp_path):
    write(
        tmp_path / "A.csv",
        "Date,Close,Volume\n2024-01-02,null,\n2024-01-03,NaN,-\n2024-01-04,-1,0\n2024-01-05,inf,1e3\n",
    )
    table = Files(tmp_path / "A.csv").table()
    assert table["close"].isna().tolist() == [True, True, False, False]
    assert table["volume"].tolist()[2:] == [0, 1000]


# --- dividends that are told in another way


def told_in_three_ways(folder: Path, dividend: float = 0.01) -> tuple[pd.DataFrame, list[Path]]:
    """The facts, and files with dividends and Adj Close, with Adj Close alone, and auto-adjusted."""
    dates = pd.bdate_range("2024-01-01", periods=60)
    close = 50 * np.exp(0.02 * np.random.default_rng(5).normal(size=60).cumsum())
    paid = np.where(np.arange(60) % 13 == 7, dividend * close, 0.0)
    facts = prices_table(
        pd.DataFrame(
            {"symbol": "A", "date": dates, "open": close, "high": close, "low": close, "close": close, "dividend": paid}
        )
    )
    view = adjusted(facts)
    plain = {"Date": dates, "Open": close, "High": close, "Low": close, "Close": close, "Adj Close": view["close"]}
    events = {"Dividends": paid, "Stock Splits": 0.0}
    auto = {name.title(): view[name] for name in ("open", "high", "low", "close")}
    paths = [folder / way / "A.csv" for way in ("listed", "implied", "auto")]
    for path, columns in zip(paths, ({**plain, **events}, plain, {"Date": dates, **auto, **events}), strict=True):
        path.parent.mkdir()
        pd.DataFrame(columns).to_csv(path, index=False)
    return facts, paths


@pytest.mark.parametrize("way", [0, 1, 2])
def test_dividends_are_found_however_they_are_told(tmp_path, way):
    facts, paths = told_in_three_ways(tmp_path)
    table = Files(paths[way]).table()
    columns = ["open", "high", "low", "close", "dividend"]
    np.testing.assert_allclose(table[columns], facts[columns], rtol=1e-9, atol=1e-9)


def test_adj_close_rounded_to_cents_implies_no_dividends_of_its_own(tmp_path):
    facts, paths = told_in_three_ways(tmp_path)
    pd.read_csv(paths[1]).round(2).to_csv(paths[1], index=False)
    table = Files(paths[1]).table()
    assert (table["dividend"] != 0).tolist() == (facts["dividend"] != 0).tolist()
    np.testing.assert_allclose(table["dividend"], facts["dividend"], atol=0.03)


def test_adj_close_alone_gives_the_total_returns_whatever_it_was_adjusted_for(tmp_path):
    """Closes as traded over a reverse split, which only Adj Close knows of."""
    write(
        tmp_path / "A.csv", "Date,Close,Adj Close\n2024-01-02,1,10\n2024-01-03,,\n2024-01-04,11,11\n2024-01-05,6,12\n"
    )
    table = Files(tmp_path / "A.csv").table().dropna(subset="close")
    assert np.exp(total_returns(table)[1:]) == pytest.approx([1.1, 12 / 11])


def test_a_tidy_adj_close_implies_the_dividends_of_each_symbol(tmp_path):
    rows = ["B,2024-01-03,100,100", "A,2024-01-02,10,9.0001", "B,2024-01-02,100,98.0001", "A,2024-01-03,9,9"]
    table = Files(write(tmp_path / "p.csv", "\n".join(["symbol,date,close,adj close", *rows]))).table()
    assert table["dividend"].tolist() == pytest.approx([1.9999, 0, 0, 0.9999])


# --- folders and Parquet


def test_a_folder_of_any_kinds_of_files(tmp_path):
    write(tmp_path / "AA.CSV", "Date,Close\n2024-01-02,1\n")
    write(tmp_path / "BB.csv.gz", gzip.compress(b"Date,Close\n2024-01-02,2\n"))
    pd.DataFrame({"Close": [3.0]}, index=pd.DatetimeIndex(["2024-01-02"], name="Date")).to_parquet(
        tmp_path / "CC.parquet"
    )
    write(tmp_path / "jan.csv", "symbol,date,close\nDD,2024-01-02,4\n")
    write(tmp_path / "feb.csv", "symbol,date,close\nDD,2024-02-01,5\n")
    write(tmp_path / "README.md", "not prices")
    write(tmp_path / ".AA.csv", "not prices")
    (tmp_path / "sub.csv").mkdir()
    assert Files(tmp_path).symbols() == ("AA", "BB", "CC", "DD")
    assert sorted(row[2] for row in closes(tmp_path)) == [1, 2, 3, 4, 5]
    assert closes(tmp_path, ["CC"]) == [("CC", "2024-01-02", 3)]


def test_only_the_files_of_the_symbols_asked_for_are_loaded(tmp_path):
    write(tmp_path / "A.csv", "Date,Close\n2024-01-02,1\n")
    write(tmp_path / "B.csv", "Date,Close\nno day,1\n")
    assert closes(tmp_path, ["A"]) == [("A", "2024-01-02", 1)]
    with pytest.raises(DataError, match="no day"):
        Files(tmp_path).table()


@pytest.mark.parametrize("kind", ["plain", "category", "date32", "text", "zoned", "index", "decimal"])
def test_parquet_of_many_types(tmp_path, kind):
    pa = pytest.importorskip("pyarrow")
    table = Files(write(tmp_path / "p.csv", TIDY)).table()[["symbol", "date", "close"]]
    if kind == "category":
        table["symbol"] = table["symbol"].astype("category")
    if kind == "date32":
        table["date"] = table["date"].dt.date
    if kind == "text":
        table["date"] = table["date"].dt.strftime("%Y-%m-%d 00:00:00+08:00")
    if kind == "zoned":
        table["date"] = table["date"].dt.tz_localize("Asia/Tokyo")
    if kind == "index":
        table = table.set_index("date").rename_axis(None)
    if kind == "decimal":
        table["close"] = table["close"].astype(pd.ArrowDtype(pa.decimal128(8, 2)))
    table.to_parquet(tmp_path / "P.PARQUET")
    assert closes(tmp_path / "P.PARQUET") == EXPECTED
    assert closes(tmp_path / "P.PARQUET", ["A"]) == [EXPECTED[0], EXPECTED[2]]


def test_a_folder_partitioned_by_symbol(tmp_path):
    table = Files(write(tmp_path / "p.csv", TIDY.replace("B,", "0700,"))).table().drop(columns=["dividend", "split"])
    table.to_parquet(tmp_path / "whole.parquet", partition_cols=["symbol"])
    assert Files(tmp_path / "whole.parquet").symbols() == ("0700", "A")
    assert closes(tmp_path / "whole.parquet", ["0700"]) == [("0700", "2024-01-02", 5.5)]


# --- refusals

REFUSED = {
    "an empty file": ("A.csv", b"", "is empty"),
    "only a byte order mark": ("A.csv", b"\xef\xbb\xbf\r\n", "is empty"),
    "a header only": ("A.csv", "Date,Close\n", "no rows"),
    "blank rows only": ("A.csv", "Date,Close\n,\n,\n", "no rows"),
    "no close": ("A.csv", "Date,Open\n2024-01-02,1\n", "no close column; found are .*'Open'"),
    "no date": ("A.csv", "Day,Close\n2024-01-02,1\n", "no date column"),
    "an unreadable date": ("A.csv", "Date,Close\n2024-01-02,1\nsoon,1\n", "'soon' in row 2"),
    "a day that does not exist": ("A.csv", "Date,Close\n2023-02-29,1\n", "'2023-02-29' in row 1"),
    "a missing date": ("A.csv", "Date,Close\n2024-01-02,1\n,1\n", "'' in row 2"),
    "a number of seconds": ("A.csv", "timestamp,Close\n1641168000,1\n", "'1641168000'"),
    "an ancient date": ("A.csv", "Date,Close\n1066-10-14,1\n", "1066"),
    "a day or a month": ("A.csv", "Date,Close\n1/2/2024,1\n2/1/2024,1\n", "do not tell the day from the month"),
    "both day and month first": ("A.csv", "Date,Close\n13/2/2024,1\n2/13/2024,1\n", "do not tell"),
    "a currency": ("A.csv", "Date,Close\n2024-01-02,1\n2024-01-03,$2\n", "close are not numbers.*'\\$2' in row 2"),
    "thousands": ("A.csv", 'Date,Close\n2024-01-02,"1,234.5"\n', "'1,234.5'"),
    "a point among decimal commas": ("A.csv", "Date;Close\n2024-01-02;1,5\n2024-01-03;1.234\n", "'1.234'"),
    "truth for a price": ("A.csv", "Date,Close\n2024-01-02,TRUE\n", "'True'|'TRUE'"),
    "decimal commas between commas": ("A.csv", "Date,Close\n2024-01-02,1,5\n2024-01-03,1,6\n", "do not fit the header"),
    "a row too long": ("A.csv", "Date,Close\n2024-01-02,1\n2024-01-03,1,2\n", "do not fit the header"),
    "a column twice": ("A.csv", "Date,Close,close\n2024-01-02,1,2\n", "2 columns named 'close'"),
    "a ZIP archive": ("A.csv", b"PK\x03\x04rest", "an Excel workbook or a ZIP"),
    "zero bytes": ("A.csv", b"Date,Close\n2024-01-02,1\n\0\0", "a zero byte at position 24"),
    "UTF-16": ("A.csv", "Date,Close\n".encode("utf-16"), "UTF-16"),
    "Latin-1": ("A.csv", "Date,Close,Größe\n2024-01-02,1,ü\n".encode("latin-1"), "not text in UTF-8"),
    "a web page": ("A.csv", "<!DOCTYPE html><title>429</title>", "a web page"),
    "Parquet under the name of CSV": ("A.csv", b"PAR1....PAR1", "a Parquet file, not CSV"),
    "CSV under the name of gzip": ("A.csv.gz", "Date,Close\n", "not a whole gzip"),
    "half a gzip file": ("A.csv.gz", gzip.compress(TIDY.encode())[:40], "not a whole gzip"),
    "CSV under the name of Parquet": ("A.parquet", TIDY, "not a whole Parquet"),
    "an empty Parquet file": ("A.parquet", b"", "not a whole Parquet"),
    "another kind": ("A.xlsx", b"PK", "'.xlsx' are not read"),
    "a name that is no symbol": ("my prices.csv", "Date,Close\n2024-01-02,1\n", "'my prices' is not a symbol"),
    "a symbol that is none": ("p.csv", "symbol,date,close\n../../x,2024-01-02,1\n", "'../../x' is not a symbol"),
    "no symbol": ("p.csv", "symbol,date,close\nA,2024-01-02,1\n,2024-01-02,1\n", "'' is not a symbol"),
    "symbols that differ in case": ("p.csv", "symbol,date,close\nA,2024-01-02,1\na,2024-01-02,1\n", "'A' and 'a'"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses_in_one_line_with_the_way_out(tmp_path, name, content, words):
    with pytest.raises(DataError, match=words) as refusal:
        Files(write(tmp_path / name, content)).table()
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(str(tmp_path))
    assert str(refusal.value).rstrip(".").count(". ") >= 1
    assert refusal.value.exit_code == 4


def test_refuses_a_real_workbook_a_torn_parquet_and_one_without_rows(tmp_path):
    with zipfile.ZipFile(tmp_path / "A.csv", "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<x/>")
    table = prices_table(
        pd.DataFrame({"symbol": ["A"] * 5000, "date": pd.Timestamp("2024-01-02"), "close": range(5000)})
    )
    table.to_parquet(tmp_path / "B.parquet")
    whole = (tmp_path / "B.parquet").read_bytes()
    table.iloc[:0].to_parquet(tmp_path / "D.parquet")
    write(tmp_path / "C.parquet", whole[: len(whole) // 2])
    write(tmp_path / "E.parquet", whole[:100] + bytes(200) + whole[300:])
    for name, words in {
        "A.csv": "workbook",
        "C.parquet": "whole",
        "E.parquet": "whole",
        "D.parquet": "no rows",
    }.items():
        with pytest.raises(DataError, match=words):
            Files(tmp_path / name).table()


@pytest.mark.parametrize("names", [("A.csv", "A.parquet"), ("A.csv", "a.csv"), ("A.csv", "A.CSV.GZ")])
def test_refuses_two_files_for_one_symbol(tmp_path, names):
    for name in names:
        content = b"Date,Close\n2024-01-02,1\n"
        if name.endswith("parquet"):
            pd.DataFrame({"Date": ["2024-01-02"], "Close": [1.0]}).to_parquet(tmp_path / name)
        else:
            write(tmp_path / name, gzip.compress(content) if name.endswith("GZ") else content)
    with pytest.raises(DataError, match="one symbol in two places, or differ only in case"):
        Files(tmp_path).table(["A"])


def test_refuses_a_symbol_in_a_file_of_its_own_and_in_a_tidy_one(tmp_path):
    write(tmp_path / "A.csv", "Date,Close\n2024-01-02,1\n")
    write(tmp_path / "p.csv", TIDY)
    for ask in (Files(tmp_path).table, Files(tmp_path).symbols):
        with pytest.raises(DataError, match="'A' and 'A' are one symbol in two places"):
            ask()


def test_more_than_the_limits_is_refused_unless_allowed(tmp_path):
    path = write(tmp_path / "p.csv", TIDY)
    Files(path).table().to_parquet(tmp_path / "p.parquet")
    packed = write(tmp_path / "bomb.csv.gz", gzip.compress(TIDY.encode() + b" " * 10_000))
    assert len(Files(path, max_bytes=path.stat().st_size, max_rows=3).table()) == 3
    for file in (path, tmp_path / "p.parquet"):
        with pytest.raises(DataError, match=r"more than 2 rows.*max_rows"):
            Files(file, max_rows=2).table()
    for file in (path, tmp_path / "p.parquet", packed):
        with pytest.raises(DataError, match=r"MB to read.*max_bytes"):
            Files(file, max_bytes=packed.stat().st_size if file == packed else 100).table()


def test_rows_are_counted_over_a_whole_folder(tmp_path):
    for symbol in "ABC":
        write(tmp_path / f"{symbol}.csv", "Date,Close\n2024-01-02,1\n2024-01-03,1\n")
    assert len(Files(tmp_path, max_rows=6).table()) == 6
    with pytest.raises(DataError, match="more than 5 rows"):
        Files(tmp_path, max_rows=5).table()


def test_a_path_that_is_not_there_is_a_matter_of_usage(tmp_path):
    with pytest.raises(SettingsError, match="no such file or folder"):
        Files(tmp_path / "none.csv").table()
    with pytest.raises(DataError, match="no price files in this folder"):
        Files(tmp_path).table()


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
@pytest.mark.parametrize("asked", [["A", "MSFT", "X"], ["a", "MSFT"], ["MSFT"], []])
def test_unknown_symbols_are_named_beside_some_that_exist(tmp_path, name, asked):
    Files(write(tmp_path / "p.csv", TIDY)).table().to_parquet(tmp_path / "p.parquet")
    with pytest.raises(SettingsError, match=r"no symbol .*such as \['A', 'B'\]") as refusal:
        Files(tmp_path / name).table(asked)
    assert all((repr(symbol) in str(refusal.value).split(";")[0]) == (symbol != "A") for symbol in asked)


def test_an_unreadable_file_is_refused(tmp_path):
    path = write(tmp_path / "A.csv", TIDY)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(SettingsError, match="cannot be read"):
        Files(path).table()


# --- real files


def test_the_real_files_load(price_data):
    whole = Files(price_data / "us_daily.parquet")
    assert len(whole.symbols()) == 200
    assert whole.table(["AAPL", "MSFT"])["symbol"].unique().tolist() == ["AAPL", "MSFT"]
    stocks = Files(price_data / "acl18").table()
    assert stocks["symbol"].nunique() == 88
    assert len(stocks) == 108_592
    bad = Files(price_data / "bad_prices").table()
    assert bad["symbol"].nunique() == 22
    newest_first = bad[bad["symbol"] == "SSW-JO-1d-100x-error"]["date"]
    assert newest_first.is_monotonic_decreasing


def test_implied_dividends_of_real_stocks_come_four_times_a_year(price_data):
    """Known to the cent from the companies: 0.63 for AAPL and 0.77 for XOM in August 2017, 20 each in five years."""
    table = Files(price_data / "acl18").table(["AAPL", "XOM"])
    paid = table[table["dividend"] != 0]
    assert paid.groupby("symbol").size().to_dict() == {"AAPL": 20, "XOM": 20}
    last = paid.groupby("symbol").last()
    assert last["date"].dt.strftime("%Y-%m-%d").tolist() == ["2017-08-10", "2017-08-10"]
    assert last["dividend"].tolist() == pytest.approx([0.63, 0.77], abs=1e-4)
