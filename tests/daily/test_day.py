"""A day: it does what is due once, carries on wherever it was killed, and a failure never makes things worse."""

import json

import pytest

from app.errors import DamageError, SourceError, StorageError, TrainingError
from app.journal import DONE, SESSION, SKIPPED, Journal


def keys(journal):
    """Every published (model, symbol, origin, horizon), as often as it is there."""
    table = journal.forecasts()
    return sorted(zip(table["model"], table["symbol"], table["origin"].astype(str), table["horizon"], strict=True))


def outcomes(journal):
    return [(note.session, note.outcome) for note in journal.notes(stage=SESSION)]


def test_the_first_start_does_all_of_it_and_the_second_nothing(home):
    done = home.start()
    assert done.failure is None
    assert outcomes(home.journal) == [(done.session, DONE)]
    assert len(keys(home.journal)) == 2 * 2 * 2
    assert home.journal.champion().reason.startswith("first version")
    before = len(home.journal.notes())
    again = home.start()
    assert again.lines == [f"{done.session}: nothing is due, every forecast is made"]
    assert (home.jobs, len(home.journal.notes())) == (["train"], before)


def test_the_next_session_fills_in_what_came_true(home):
    home.start()
    home.live_to(1)
    home.start()
    table = home.journal.forecasts()
    first = table[(table["origin"] == table["origin"].min()) & (table["horizon"] == 1)]
    assert first["actual"].notna().all()
    assert table["actual"].isna().sum() == len(table) - len(first)


def test_missed_sessions_are_skipped_with_a_reason_and_the_newest_is_forecast(home):
    home.start()
    home.live_to(4)
    done = home.start()
    settled = home.journal.settled()
    assert [note.outcome for note in settled.values()] == [DONE, SKIPPED, SKIPPED, SKIPPED, DONE]
    assert "no run was started" in list(settled.values())[1].detail
    assert done.result["skipped"] == list(settled)[1:4]
    assert home.journal.newest_origins() == {"AAA": done.session, "BBB": done.session}


def test_what_there_is_to_say_of_the_champion_is_logged_once_and_noted(home, caplog):
    home.start()
    champion, home.warning = home.journal.champion().version, "lacks its market"
    home.live_to(1)
    home.challenger = 4.0  # it stays: of the challenger nothing is said
    done = home.start()
    assert [line.message for line in caplog.records if "lacks" in line.message] == [f"{champion} lacks its market"]
    (note,) = home.journal.notes(done.session, "forecast")
    assert json.loads(note.detail)["warnings"] == [f"{champion} lacks its market"]


@pytest.mark.parametrize(("challenger", "promoted"), [(1.0, True), (2.5, False), (4.0, False)])
def test_a_challenger_is_promoted_on_evidence_only_and_the_decision_is_kept(home, challenger, promoted):
    home.start()
    first = home.journal.champion().version
    home.live_to(1)
    home.challenger = challenger
    done = home.start()
    champion = home.journal.champion()
    assert (champion.version != first) == promoted == done.result["promoted"]
    assert champion.p_value == (done.result["p_value"] if promoted else None)
    decision = home.journal.notes(done.session, "train")[-1].detail
    assert f'"promote": {str(promoted).lower()}' in decision
    assert '"p_value": ' in decision


def test_a_failed_training_keeps_the_champion_and_the_forecasts_are_made(home):
    home.start()
    champion = home.journal.champion()
    home.live_to(1)
    home.failing = TrainingError("training: its process was killed by signal 9.")
    done = home.start()
    assert done.failure.exit_code == 6
    assert home.journal.champion() == champion
    assert home.journal.newest_origins()["AAA"] == done.session
    assert done.session in home.journal.settled()


def test_without_any_champion_the_baselines_forecast(home):
    home.failing = TrainingError("training: no epoch gave a finite validation loss.")
    done = home.start()
    assert done.failure.exit_code == 6
    assert {key[0] for key in keys(home.journal)} == {"random-walk"}
    assert home.journal.champion() is None


def test_training_is_left_out_until_it_is_due(home):
    home.flags = {"every": 3}
    for number in range(5):
        home.live_to(number)
        home.start()
    assert home.jobs == ["train", "forecast", "forecast", "train", "forecast"]


WRITES = ("begin", "note", "note_all", "publish", "crown", "fill_in")


def test_killed_at_any_write_the_next_start_carries_on(tmp_path, home, monkeypatch):
    """Every write of the journal in turn is where the process dies, before and after it by turns; the end is the same.

    `benchmarks.kills` kills at moments, not at writes, and both sides of each.
    """
    monkeypatch.setattr("app.daily.day._watch", lambda *_: None)  # it writes nothing that a start needs
    monkeypatch.setattr("app.daily.leftovers._old", lambda *_: [])
    with monkeypatch.context() as patch:
        written = whole(home, patch)
    assert written > 8
    expected = (keys(home.journal), outcomes(home.journal)[-1][1])
    for failing in range(1, written + 1):
        other = type(home)(tmp_path / str(failing))
        other.live_to(0)
        with monkeypatch.context() as patch:
            kill_at(patch, failing, committed=failing % 2 == 0)
            with pytest.raises(Killed):
                lived(other)
        lived(other)
        assert (keys(other.journal), outcomes(other.journal)[-1][1]) == expected, failing
        settled = [session for session, outcome in outcomes(other.journal) if outcome in (DONE, SKIPPED)]
        assert len(settled) == len(set(settled)) == 2, failing
        versions = [champion.version for champion in other.journal.champions()]
        assert len(versions) == len(set(versions)), failing


class Killed(BaseException):
    """The process died."""


def lived(home):
    """Two sessions; what is there already is found there."""
    for number in range(2):
        home.live_to(number)
        home.start()


def whole(home, patch):
    """Live through undisturbed; how often the journal was written."""
    count = kill_at(patch, None, committed=False)
    lived(home)
    return len(count)


def kill_at(monkeypatch, failing, committed):
    """Die at the n-th write of the journal, before or after its transaction."""
    count = []

    def dying(original):
        def write(self, *args, **kwargs):
            count.append(original.__name__)
            last = len(count) == failing
            if last and not committed:
                raise Killed
            answer = original(self, *args, **kwargs)
            if last:
                raise Killed
            return answer

        return write

    for name in WRITES:
        if name != "note":  # it is written by note_all
            monkeypatch.setattr(Journal, name, dying(getattr(Journal, name)))
    return count


def test_a_source_that_does_not_answer_leaves_the_session_open(home, monkeypatch):
    """The next start asks again, and when the session after it has its price, this one is skipped with the reason."""
    home.start()
    home.live_to(1)
    monkeypatch.setattr("app.daily.steps.fetch_failure", lambda results, unpriced: SourceError("Yahoo is out."))
    monkeypatch.setattr("app.daily.due.Due.unpriced", property(lambda self: tuple(self.expected)))
    monkeypatch.setattr("app.daily.day._models", lambda start, day: None)
    done = home.start()
    assert done.failure.exit_code == 3
    assert done.session not in home.journal.settled()
    monkeypatch.undo()
    home.live_to(2)
    home.start()
    assert home.journal.settled()[done.session].detail == "Yahoo is out."


@pytest.mark.parametrize("error", [StorageError("the disk is full"), DamageError("the ledger is damaged")])
def test_what_cannot_be_worked_around_ends_the_start(home, error):
    home.start()
    champion = home.journal.champion()
    home.live_to(1)
    home.failing = error
    with pytest.raises(type(error)):
        home.start()
    home.failing = None
    assert home.start().failure is None
    assert home.journal.champions()[0] == champion
