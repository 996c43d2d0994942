"""A version forecasts only if it is what was saved and says what it said then; else the one before it does."""

import dataclasses
import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app import registry
from app.errors import DamageError, SettingsError
from app.forecasters import load_fitted, save_fitted
from app.forecasters.baselines import FittedRandomWalk
from app.forecasters.harx import FittedHarX
from app.forecasters.recipe import Network
from app.forecasters.recurrent import FittedNetwork
from app.journal import Champion
from app.registry import serving
from app.registry.libraries import check_libraries
from tests.registry.saved import ABOUT, RECIPES, copy_of, resealed, trained, windows


@pytest.fixture(scope="module")
def every_window():
    return windows()


@pytest.fixture(scope="module")
def made(every_window):
    """Each model, fitted once."""
    return {name: trained(name, every_window) for name in RECIPES}


@pytest.fixture(scope="module")
def published(made, tmp_path_factory):
    """A version of each model."""
    models = tmp_path_factory.mktemp("models")
    return {name: registry.save(models, one, ABOUT) for name, one in made.items()}


@pytest.mark.parametrize("name", RECIPES)
def test_a_version_of_every_model_forecasts_bit_for_bit_what_the_fitted_one_does(name, made, published):
    all_windows = made[name].windows
    expected = made[name].fitted.predict(all_windows)
    np.testing.assert_array_equal(registry.load(published[name]).predict(all_windows), expected)


def test_the_card_says_what_was_learnt_from_what_and_until_when(made, published):
    card = published["gru"].card
    assert card["trained_to"] == "2024-03-29"
    assert card["held_out"][0] == "2024-03-29"
    assert card["held_out"][-1] == "2024-12-31"
    assert card["symbols"] == ["A", "B"]
    assert card["seeds"] == [0]
    assert published["ewma"].card["seeds"] == []
    assert card["windows"] == {"learnt": len(made["gru"].learnt), "validation": len(made["gru"].validation)}
    assert card["curve"][0]["epoch"] == 1
    assert card["curve"][0]["kept"] is True
    assert [row["horizon"] for row in card["scores"]] == [1, 4]
    assert all(row["crps"] > 0 for row in card["scores"])
    assert {"golden.npz", "member-1.keras", "recipe.json"} <= set(card["sha256"])


def test_no_target_learnt_from_is_after_the_cut_off_and_no_origin_held_out_before_it(made, published):
    card, one = published["ewma"].card, made["ewma"]
    until = np.datetime64(card["trained_to"])
    assert max(one.learnt.date.max(), one.validation.date.max()) == until
    held_out = one.windows.originating(until, until + 1000)
    assert (held_out.date > until).all()


def test_the_fingerprint_is_of_the_past_alone(every_window):
    day = np.datetime64("2024-03-29")
    panel = every_window.panel
    later = dataclasses.replace(panel, returns=np.where(panel.date > day, 9.0, panel.returns))
    earlier = dataclasses.replace(panel, returns=np.where(panel.date == day, 9.0, panel.returns))
    prints = [
        registry.trained.fingerprint(dataclasses.replace(every_window, panel=one), day)
        for one in (panel, later, earlier)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_the_golden_windows_are_few_and_enough(made, published):
    golden = registry.Golden.load(published["gru"].folder)
    assert sorted(golden.windows.symbol) == ["A", "B"]
    assert golden.quantiles.shape == (2, 2, 19)
    np.testing.assert_array_equal(golden.windows.origin, made["gru"].windows.newest().origin)
    np.testing.assert_array_equal(golden.windows.gather(), made["gru"].windows.newest().gather())


@pytest.mark.parametrize(("shift", "refused"), [(0.9e-5, False), (1.1e-5, True), (np.nan, True)])
def test_a_model_that_no_longer_says_what_it_said_is_refused(shift, refused, published, monkeypatch):
    version = published["ewma"]
    fitted = load_fitted(version.folder)
    monkeypatch.setattr(serving, "load_fitted", lambda folder: Shifted(fitted, shift))
    if refused:
        with pytest.raises(DamageError, match=r"does not give its golden output again: .* apart, allowed are 1e-05"):
            registry.load(version)
    else:
        registry.load(version)


@dataclasses.dataclass
class Shifted:
    """Another model, a little off."""

    fitted: object
    shift: float

    def predict(self, asked):
        return self.fitted.predict(asked) + self.shift


def test_cut_and_turned_bits_in_a_network_are_all_refused(published, tmp_path):
    """60 truncations, 120 turned bits; the seal is what finds them, so Keras never sees one."""
    version, draw = copy_of(published["gru"], tmp_path), random.Random(1)
    path = version.folder / "member-1.keras"
    whole = path.read_bytes()
    for number in range(180):
        place = draw.randrange(len(whole))
        turned = whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :]
        path.write_bytes(whole[:place] if number < 60 else turned)
        with pytest.raises(DamageError, match=r"member-1.keras is missing or is not what was saved"):
            registry.load(version)


def test_what_a_library_says_about_a_file_becomes_one_line(published, tmp_path):
    version = resealed(copy_of(published["quantile-boosting"], tmp_path), "boosting.skops", b"no zip")
    with pytest.raises(DamageError, match=r"cannot be loaded \(\w+: .*\)\. Train again") as caught:
        registry.load(version)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_network_whose_weights_do_not_fit_is_refused_in_one_line(published, tmp_path):
    version = copy_of(published["gru"], tmp_path)
    path = version.folder / "member-1.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content[:500] if name.endswith(".h5") else content)
    with pytest.raises(DamageError, match=r"cannot be loaded") as caught:
        registry.load(resealed(version, path.name, path.read_bytes()))
    assert len(str(caught.value)) < 200


def test_a_network_with_a_stranger_inside_is_refused_before_keras_sees_it(published, tmp_path, monkeypatch):
    """Even where every hash fits: what is in the file counts, not who wrote the card."""
    version = copy_of(published["gru"], tmp_path)
    path = version.folder / "member-1.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = members["config.json"].replace(b'"GRU"', b'"Lambda"')
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    monkeypatch.setattr(serving, "load_fitted", lambda folder: pytest.fail("it was loaded"))
    with pytest.raises(DamageError, match=r"names 'Lambda' of 'keras\.layers'"):
        registry.load(resealed(version, path.name, path.read_bytes()))


def test_a_golden_file_with_pickle_in_it_is_refused(published, tmp_path):
    version = copy_of(published["ewma"], tmp_path)
    np.savez(version.folder / "golden.npz", output=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DamageError, match=r"golden.npz cannot be read"):
        registry.load(resealed(version, "golden.npz", (version.folder / "golden.npz").read_bytes()))


@pytest.mark.parametrize(
    ("model", "then", "refused"),
    [
        ("gru", "3.15.9", False), ("gru", "3.14.1", True), ("gru", "2.15.1", True), ("gru", None, True),
        ("gru:one-to-one", "3.14.1", True), ("ewma", "3.14.1", False),
        ("quantile-boosting", "3.15.1", True), ("garch", None, False),
    ],
)  # fmt: skip
def test_another_release_of_the_library_that_reads_the_files_is_refused_a_patch_is_not(model, then, refused):
    card = {"model": model, "libraries": {"keras": then, "scikit-learn": "1.8.0"} if then else {}}
    installed = {"keras": "3.15.1", "scikit-learn": "1.9.1"}.__getitem__
    if refused:
        with pytest.raises(DamageError, match=r"x was saved by (keras|scikit-learn) .*, here is .*Train again"):
            check_libraries("x", card, installed)
    else:
        check_libraries("x", card, installed)


def test_a_version_from_another_release_is_refused_before_anything_is_loaded(published, tmp_path, monkeypatch):
    old = copy_of(published["gru"], tmp_path)
    libraries = {**old.card["libraries"], "keras": "3.0.5"}
    version = resealed(old, "recipe.json", (old.folder / "recipe.json").read_bytes(), libraries=libraries)
    monkeypatch.setattr(serving, "load_fitted", lambda folder: pytest.fail("it was loaded"))
    with pytest.raises(DamageError, match=r"was saved by keras 3.0.5, here is 3.1"):
        registry.load(version)


def test_the_version_before_a_damaged_one_forecasts_and_the_reason_is_told(made, tmp_path, caplog):
    first, second, third = (registry.save(tmp_path, made["ewma"], ABOUT) for _ in range(3))
    (third.folder / "ewma.json").write_text("{}")
    (second.folder / "card.json").unlink()
    served = registry.newest_sound(tmp_path, "ewma")
    assert served.version.id == first.id
    assert [reason.split("/")[0] for reason in served.refused] == [third.id, second.id]
    assert all(reason in caplog.text for reason in served.refused)


def test_when_every_version_is_damaged_the_newest_is_named(made, tmp_path):
    versions = [registry.save(tmp_path, made["ewma"], ABOUT) for _ in range(2)]
    for version in versions:
        (version.folder / "ewma.json").unlink()
    with pytest.raises(DamageError, match=f"{versions[1].id}/ewma.json is missing"):
        registry.newest_sound(tmp_path, "ewma")
    with pytest.raises(SettingsError, match="no saved gru yet"):
        registry.newest_sound(tmp_path, "gru")


def test_a_model_that_cannot_be_read_back_is_never_published(made, tmp_path):
    """What a later start would refuse is refused at once: here a member with something more inside."""
    one = made["gru"]

    def write(draft):
        save_fitted(one.name, one.recipe, one.fitted, draft)
        with zipfile.ZipFile(draft / "member-1.keras", "a") as archive:
            archive.writestr("assets.txt", json.dumps({}))

    with pytest.raises(DamageError, match=r"assets\.txt"):
        registry.publish(tmp_path, {"model": "gru", "made_at": "2026-01-02T03:04:05"}, write)
    assert list(tmp_path.iterdir()) == []


def test_the_champion_forecasts_and_not_a_newer_version_that_never_came_into_service(made, tmp_path, caplog):
    ids = [registry.save(tmp_path, made["ewma"], ABOUT).id for _ in range(3)]
    history = [Champion(1, "", "sample", ids[0], None, "the first", None, "")]
    assert registry.serve(tmp_path, "ewma", []).version.id == ids[2]
    assert registry.serve(tmp_path, "ewma", history).version.id == ids[0]
    assert f"the newer {ids[2]} does once it is promoted" in caplog.text
    with pytest.raises(SettingsError, match="no saved gru yet"):
        registry.serve(tmp_path, "gru", history)
    back = [dataclasses.replace(history[0], id=2, version=ids[2], reason="better")]
    back += [dataclasses.replace(history[0], id=3, reason="rollback: it was a mistake")]
    assert registry.serve(tmp_path, "ewma", [*history, *back]).version.id == ids[0]


def test_a_damaged_champion_is_stood_in_for_by_the_champion_before_it(made, tmp_path):
    ids = [registry.save(tmp_path, made["ewma"], ABOUT).id for _ in range(3)]
    rows = [Champion(number, "", "sample", ids[number], None, "better", None, "") for number in (0, 1)]
    (tmp_path / ids[1] / "ewma.json").write_text("{}")
    served = registry.serve(tmp_path, "ewma", rows)
    assert served.version.id == ids[0]
    assert ids[1] in served.refused[0]


TEN = [f"S{number}" for number in range(10)]


@pytest.mark.parametrize(
    ("learnt", "given", "missed"),
    [
        (TEN, TEN[:9], ["10 symbols of XNYS, and 9"]),
        (TEN, TEN, []),
        (TEN[:9], TEN[:3], []),
        ([*TEN, "BMW.DE"], [*TEN, "BMW.DE"], []),
        ([*TEN, *(f"{name}.DE" for name in TEN)], [*TEN, "BMW.DE"], ["10 symbols of XETR, and 1"]),
        ([*TEN, *(f"{name}.DE" for name in TEN)], ["A", "BMW.DE"], ["of XETR, and 1", "of XNYS, and 1"]),
    ],
)
def test_a_version_says_which_market_it_misses(learnt, given, missed):
    """Ten symbols of an exchange make a market; of an exchange that is not asked for nothing is missed."""
    card, line = {"symbols": learnt}, object.__new__(FittedHarX)
    network = dataclasses.replace(FittedNetwork(Network(), (), None), frame=line)
    for fitted in (line, network):
        found = registry.Served(registry.Version(Path("v1"), card), fitted).warnings(given)
        assert len(found) == len(missed)
        assert all(part in sentence for part, sentence in zip(missed, found, strict=True))
    for fitted in (FittedRandomWalk(250), dataclasses.replace(network, frame=None)):
        assert registry.Served(registry.Version(Path("v1"), card), fitted).warnings(given) == []
