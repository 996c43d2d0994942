"""The command `models`: list, show, compare, promote, rollback, verify."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app import registry
from app.cli import main
from app.journal import Journal
from tests.registry.saved import ABOUT, trained, windows

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def made():
    """An ewma and a small network, fitted once."""
    every = windows()
    return {name: trained(name, every) for name in ("ewma", "gru")}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def versions(home, made):
    """Two versions of each, the network's second with other weights; trained on prices of the source sample."""
    about = {**ABOUT, "source": "sample"}
    found = {}
    for name, one in made.items():
        found[name] = [registry.save(home / "models", one, about).id for _ in range(2)]
    return found


def answer(capsys, *words, code=0):
    assert main(["models", *words, "--json", "--quiet"]) == code
    return json.loads(capsys.readouterr().out)


def champion(home):
    return Journal(home / "data" / "ledger.sqlite", "sample").champion()


def forecast(home, every):
    """What the version in service says."""
    journal = Journal(home / "data" / "ledger.sqlite", "sample")
    served = registry.first_sound(registry.in_service(home / "models", journal.champions()))
    return served.version.id, served.fitted.predict(every)


@pytest.mark.parametrize(("first", "second"), [("ewma", "gru"), ("gru", "ewma")])
def test_after_a_rollback_forecasts_are_bit_for_bit_those_before_the_promotion(
    first, second, home, versions, made, capsys
):
    every = made["ewma"].windows
    answer(capsys, "promote", versions[first][0], "--reason", "the first")
    before = forecast(home, every)
    answer(capsys, "promote", versions[second][0], "--reason", "a try")
    assert not np.array_equal(forecast(home, every)[1], before[1])
    moved = answer(capsys, "rollback", "--reason", "it was a mistake")
    assert (moved["version"], moved["previous"]) == (versions[first][0], versions[second][0])
    after = forecast(home, every)
    assert after[0] == before[0]
    np.testing.assert_array_equal(after[1], before[1])


def test_a_promotion_by_hand_is_on_record_as_forced_with_its_reason(home, versions, capsys):
    row = answer(capsys, "promote", versions["ewma"][0], "--reason", "the\n gate is asleep")
    assert row["reason"] == "forced: the gate is asleep"
    assert row["p_value"] is None
    detail = json.loads(champion(home).detail)
    assert detail["forced"] is True
    assert detail["card"] == registry.digest(home / "models" / versions["ewma"][0] / "card.json")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["promote", "ID"], 2, "--reason"),
        (["promote", "ID", "--reason", " "], 2, "--reason must say why"),
        (["promote", "nothing", "--reason", "x"], 2, "no version 'nothing'; the newest are"),
        (["show", "../../etc"], 2, "no version '../../etc'"),
        (["rollback"], 2, "no champion to go back to: there is none yet for prices of 'sample'"),
        (["compare", "ID", "ID"], 2, "needs two versions"),
        ([], 2, "ACTION"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_and_moves_nothing(words, code, message, home, versions, capsys):
    given = [versions["ewma"][0] if word == "ID" else word for word in words]
    assert main(["models", *given, "--quiet"] if given else ["models"]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert champion(home) is None


def test_a_version_of_another_target_is_not_promoted(home, made, versions, capsys):
    saved = registry.save(home / "models", made["ewma"], {**ABOUT, "target": "volatility", "source": "sample"})
    assert main(["models", "promote", saved.id, "--reason", "x", "--quiet"]) == 2
    assert f"{saved.id} forecasts volatility; what is published are returns." in capsys.readouterr().err
    assert champion(home) is None


def test_a_champion_without_its_card_is_damage_and_no_fault(home, versions, capsys):
    version = versions["ewma"][0]
    answer(capsys, "promote", version, "--reason", "the first")
    (home / "models" / version / "card.json").unlink()
    assert version in answer(capsys, "verify", code=8)["damaged"]


def test_rollback_goes_further_back_each_time_and_passes_over_what_is_damaged(home, versions, capsys):
    line = [versions["ewma"][0], versions["gru"][0], versions["ewma"][1], versions["gru"][1]]
    for version in line:
        answer(capsys, "promote", version, "--reason", "next")
    (home / "models" / line[2] / "ewma.json").write_text("{}")
    assert answer(capsys, "rollback")["version"] == line[1]
    assert answer(capsys, "rollback")["version"] == line[0]
    assert main(["models", "rollback", "--quiet"]) == 2
    assert f"{line[0]} is the first" in capsys.readouterr().err
    assert len(Journal(home / "data" / "ledger.sqlite", "sample").champions()) == 6


def test_a_damaged_version_is_never_promoted(home, versions, capsys):
    (home / "models" / versions["gru"][0] / "member-1.keras").write_bytes(b"PK")
    assert main(["models", "promote", versions["gru"][0], "--reason", "x", "--quiet"]) == 8
    assert champion(home) is None
    assert "member-1.keras is missing or is not what was saved" in capsys.readouterr().err


def test_list_marks_the_champion_and_the_damaged_in_text_and_json(home, versions, capsys):
    answer(capsys, "promote", versions["ewma"][1], "--reason", "x")
    (home / "models" / versions["gru"][0] / "card.json").write_text("{")
    (home / "models" / versions["gru"][1] / "member-1.keras").unlink()
    rows = {row["id"]: row for row in answer(capsys, "list")["versions"]}
    assert {name for name, row in rows.items() if row["champion"] == "sample"} == {versions["ewma"][1]}
    assert {name for name, row in rows.items() if row["state"] == "damaged"} == set(versions["gru"])
    assert rows[versions["ewma"][0]]["trained_to"] == "2024-03-29"
    assert main(["models", "list", "--quiet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if "of sample" in line] == [versions["ewma"][1]]


def test_list_before_anything_was_trained_says_so(home, capsys):
    assert answer(capsys, "list") == {"versions": []}
    assert main(["models", "list", "--quiet"]) == 0
    assert "no versions yet" in capsys.readouterr().out


def test_show_tells_the_whole_card(home, versions, capsys):
    card = answer(capsys, "show", versions["gru"][0])
    assert card["id"] == versions["gru"][0]
    assert {"settings", "data", "seeds", "scores", "libraries", "curve", "trained_to", "held_out", "sha256"} <= set(
        card
    )
    assert main(["models", "show", versions["gru"][0], "--quiet"]) == 0
    assert "held_out: 198 sessions, 2024-03-29 to 2024-12-31" in capsys.readouterr().out


def test_verify_names_what_is_damaged_and_exits_with_8(home, versions, capsys):
    answer(capsys, "promote", versions["ewma"][0], "--reason", "x")
    assert answer(capsys, "verify") == {"versions": 4, "damaged": {}}
    (home / "models" / versions["gru"][1] / "stranger").write_text("x")
    found = answer(capsys, "verify", code=8)["damaged"]
    assert list(found) == [versions["gru"][1]]
    assert "stranger was not saved with the version" in found[versions["gru"][1]]


def test_verify_finds_a_champion_that_is_gone_or_was_exchanged_for_another(home, versions, made, capsys):
    answer(capsys, "promote", versions["ewma"][0], "--reason", "x")
    folder, other = (home / "models" / version for version in versions["ewma"])
    for path in other.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    found = answer(capsys, "verify", code=8)["damaged"]
    assert found == {"champion of sample": f"the card of {folder.name} is not the one that was promoted"}
    folder.rename(home / "elsewhere")
    assert "is not there" in answer(capsys, "verify", code=8)["damaged"]["champion of sample"]


def test_verify_golden_tries_every_model(home, versions, capsys, monkeypatch):
    tried = []
    monkeypatch.setattr("app.registry.load", lambda version: tried.append(version.id))
    answer(capsys, "verify", "--golden")
    assert sorted(tried) == sorted(versions["ewma"] + versions["gru"])


def test_compare_judges_both_on_the_same_rows_from_the_later_cut_off_on(home, capsys):
    quick = "--lookback 10 --horizons 1 5 --set backtest.validation=60 --start 2013-01-01 --quiet".split()
    for end, model in (("2017-01-31", "random-walk"), ("2017-06-30", "ewma")):
        assert main(["train", "--models", model, "--end", end, *quick]) == 0
    capsys.readouterr()
    pair = sorted(path.name for path in (home / "models").iterdir())
    pair.sort(key=lambda name: "ewma" in name)
    found = answer(capsys, "compare", *pair, "--start", "2013-01-01")
    assert found["since"] == "2017-06-30"
    assert {row["model"] for row in found["scores"]} == set(pair)
    assert len({(row["horizon"], row["n"]) for row in found["scores"]}) == 2
    crps = {(row["model"], row["horizon"]): row["crps"] for row in found["scores"]}
    ratio = np.mean([crps[pair[1], horizon] / crps[pair[0], horizon] for horizon in (1, 5)])
    assert found["decision"]["difference"] == pytest.approx(ratio - 1)
    assert found["decision"]["promote"] == (found["decision"]["p_value"] < 0.05 and ratio < 1)


def test_no_command_about_versions_but_those_that_load_one_touches_a_model_library(home, versions, capsys):
    for version in versions["gru"]:
        answer(capsys, "promote", version, "--reason", "x")
    code = (
        "import sys; from app.cli import main\n"
        f"for words in (['list'], ['show', {versions['gru'][0]!r}], ['verify'], ['rollback']):\n"
        "    assert main(['models', *words, '--quiet']) == 0\n"
        "print([name for name in ('tensorflow', 'keras', 'jax', 'sklearn', 'arch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip().endswith("[]")
    assert champion(home).version == versions["gru"][0]
