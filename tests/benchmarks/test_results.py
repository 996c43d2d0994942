"""Results survive an end at any moment, and nothing is made twice."""

import pandas as pd
import pytest

from benchmarks.results import Results, markdown


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path / "out" / "runs.csv", ["task", "lag", "cell"])


def run(cell: str, steps: int, lag: int = 50) -> dict[str, object]:
    return {"task": "adding", "lag": lag, "cell": cell, "steps": steps}


def test_a_run_is_found_by_its_keys_once_it_was_added(results):
    assert results.find(run("lstm", 0)) is None
    results.add(run("gru", 300))
    results.add(run("lstm", 600))
    assert results.find({"task": "adding", "lag": 50, "cell": "lstm"})["steps"] == 600
    assert results.find({"task": "adding", "lag": 500, "cell": "lstm"}) is None


def test_a_run_made_again_takes_the_place_of_the_earlier_one(results):
    for row in (run("lstm", 1000), run("gru", 300), run("lstm", 4000)):
        results.add(row)
    assert results.table()[["cell", "steps"]].to_numpy().tolist() == [["gru", 300], ["lstm", 4000]]


def test_another_process_finds_what_was_added(results):
    results.add(run("lstm", 600))
    assert Results(results.path, results.keys).find(run("lstm", 0))["steps"] == 600


def test_an_end_while_writing_leaves_the_runs_that_were_there(results, monkeypatch):
    results.add(run("lstm", 600))

    def torn(self, path, **options):
        path.write_text("task,la")
        raise KeyboardInterrupt

    monkeypatch.setattr(pd.DataFrame, "to_csv", torn)
    with pytest.raises(KeyboardInterrupt):
        results.add(run("gru", 300))
    assert results.table()["cell"].tolist() == ["lstm"]


def test_a_table_in_markdown():
    assert markdown(["cell", "lag 50"], [["gru", 3]]) == "| cell | lag 50 |\n| --- | --- |\n| gru | 3 |"
