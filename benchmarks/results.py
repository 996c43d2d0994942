"""Results of long benchmarks, one row a run: a table that is whole after every run, so that none is made twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from app.atomic import publish_file


class Results:
    """A CSV file of finished runs. One process at a time may write a file.

    Args:
        path: of the CSV file; it is made by the first result.
        keys: the columns that tell runs apart. Of two rows with the same keys the later counts.
    """

    def __init__(self, path: Path, keys: Sequence[str]):
        self.path = Path(path)
        self.keys = list(keys)

    def table(self) -> pd.DataFrame:
        """Every run, in the order in which they finished; without columns when there is none."""
        if not self.path.exists():
            return pd.DataFrame()
        return pd.read_csv(self.path).drop_duplicates(self.keys, keep="last", ignore_index=True)

    def find(self, key: Mapping[str, object]) -> pd.Series | None:
        """The run with these keys, or None."""
        table = self.table()
        if table.empty:
            return None
        same = (table[self.keys].astype(str) == [str(key[name]) for name in self.keys]).all(axis=1)
        return table[same].iloc[-1] if same.any() else None

    def add(self, row: Mapping[str, object]) -> None:
        """Keep one more run: the file is written aside, flushed and renamed."""
        table = pd.concat([self.table(), pd.DataFrame([dict(row)])], ignore_index=True)
        table = table.drop_duplicates(self.keys, keep="last", ignore_index=True)
        publish_file(self.path, lambda draft: table.to_csv(draft, index=False))


def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(field) for field in line) + " |" for line in lines)
