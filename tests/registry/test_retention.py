"""What the sweep keeps: whatever is done in whatever order, nothing that is needed goes."""

import datetime as dt
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from app import registry
from app.registry.retention import ABANDONED_S, PREVIOUS
from app.registry.versions import folders


@dataclass
class Row:
    """A row of the champion table."""

    version: str
    reason: str


def made(models: Path, day: dt.date, model: str = "ewma") -> str:
    """A version with nothing in it: the sweep looks at names alone."""
    name = f"{day:%Y%m%d}000000-{model}"
    (models / name).mkdir(parents=True, exist_ok=True)
    return name


def days(count: int, every: int = 1) -> list[dt.date]:
    return [dt.date(2024, 1, 1) + dt.timedelta(days=every * number) for number in range(count)]


def test_the_newest_ten_and_the_first_of_each_month_stay(tmp_path):
    names = [made(tmp_path, day) for day in days(100)]
    gone = registry.sweep(tmp_path, [])
    firsts = {names[0], names[31], names[60], names[91]}
    assert {path.name for path in folders(tmp_path)} == firsts | set(names[-PREVIOUS:])
    assert set(gone) == set(names) - firsts - set(names[-PREVIOUS:])
    assert sorted(os.listdir(tmp_path)) == sorted(firsts | set(names[-PREVIOUS:]))


def test_the_champions_of_every_source_and_ten_before_each_stay(tmp_path):
    names = [made(tmp_path, day) for day in days(100)]
    one, other = names[1:15], names[33:36]
    registry.sweep(tmp_path, [one, other])
    there = {path.name for path in folders(tmp_path)}
    assert set(one[-1 - PREVIOUS :]) <= there
    assert set(other) <= there
    assert not set(one[: -1 - PREVIOUS]) & there


def test_each_model_is_counted_by_itself(tmp_path):
    for day in days(20):
        made(tmp_path, day, "ewma")
    lstm = [made(tmp_path, day, "lstm") for day in days(5)]
    registry.sweep(tmp_path, [])
    assert {path.name for path in folders(tmp_path, "lstm")} == set(lstm)


def test_a_draft_being_written_stays_and_an_abandoned_one_goes(tmp_path):
    draft, gone = tmp_path / ".writing-new", tmp_path / ".removing-x"
    (draft / "20240101000000-ewma").mkdir(parents=True)
    (draft / "20240101000000-ewma" / "weights").write_text("half")
    gone.mkdir()
    touched = (draft / "20240101000000-ewma" / "weights").stat().st_mtime
    registry.sweep(tmp_path, [], now=touched + ABANDONED_S - 60)
    assert [path.name for path in tmp_path.iterdir()] == [draft.name]
    registry.sweep(tmp_path, [], now=touched + ABANDONED_S + 60)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_version_is_left_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / ".gitkeep").write_text("")
    registry.sweep(tmp_path, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".gitkeep", "notes"]


class Years(RuleBasedStateMachine):
    """Publish, promote, roll back and sweep, in any order, over years."""

    def __init__(self):
        super().__init__()
        self.models = Path(tempfile.mkdtemp())
        self.day, self.history, self.every = dt.date(2024, 1, 1), [], []

    @rule(pause=st.integers(1, 20), count=st.integers(1, 12), model=st.sampled_from(["ewma", "lstm"]))
    def publish(self, pause, count, model):
        for _ in range(count):
            self.day += dt.timedelta(days=pause)
            self.every.append(made(self.models, self.day, model))

    @precondition(lambda self: self.every)
    @rule(back=st.integers(0, 12))
    def promote(self, back):
        there = [path.name for path in folders(self.models)]
        if there:
            self.history.append(Row(there[-1 - back % len(there)], "better"))

    @precondition(lambda self: len(registry.line(self.history)) > 1)
    @rule()
    def roll_back(self):
        before = registry.line(self.history)
        self.history.append(Row(before[-2], f"{registry.ROLLBACK}: drill"))
        assert registry.line(self.history) == before[:-1]

    @rule()
    def sweep(self):
        registry.sweep(self.models, [registry.line(self.history)])

    @invariant()
    def all_that_is_needed_is_there(self):
        there = {path.name for path in folders(self.models)}
        line = registry.line(self.history)
        assert line[-1:] == [row.version for row in self.history[-1:]]
        assert set(line[-1 - PREVIOUS :]) <= there
        for model in ("ewma", "lstm"):
            mine = [name for name in self.every if name.endswith(model)]
            assert set(mine[-PREVIOUS:]) <= there
            firsts = {name[:6]: name for name in reversed(mine)}
            assert set(firsts.values()) <= there

    @invariant()
    def after_a_sweep_little_is_left(self):
        assert len(folders(self.models)) <= len(self.every)

    def teardown(self):
        registry.sweep(self.models, [registry.line(self.history)])
        months = {(name[:6], name[15:]) for name in self.every}
        assert len(folders(self.models)) <= len(months) + 2 * PREVIOUS + PREVIOUS + 1
        shutil.rmtree(self.models)


TestYears = Years.TestCase
TestYears.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)


def test_the_line_of_champions_by_hand():
    rows = [Row("a", "first"), Row("b", "better"), Row("c", "better"), Row("b", "rollback: c was worse")]
    assert registry.line(rows) == ["a", "b"]
    rows += [Row("d", "better"), Row("a", "forced: x"), Row("d", "rollback"), Row("a", "rollback")]
    assert registry.line(rows) == ["a"]
    assert registry.line([]) == []
    assert [path.name for path in registry.in_service(Path("models"), rows[:3])] == ["c", "b", "a"]
