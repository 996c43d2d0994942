"""The set-up keeps its promises: bounds, the lock, the installed versions and the first lines of the README."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
FIVE = ["tensorflow", "pandas", "scikit-learn", "yfinance", "matplotlib"]
FILES = ["requirements.txt", *sorted(f"requirements/{path.name}" for path in (ROOT / "requirements").glob("*.txt"))]
EXTRAS = {"gpu": "tensorflow", "jax": "jax", "ray": "ray", "dev": "pytest"}
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def test_the_first_two_commands_of_the_readme_are_make_run_and_make_test():
    readme = ROOT / "README.md"
    if not readme.is_file():
        pytest.skip("there is no README.md yet")
    blocks = re.findall(r"^```(?:sh|bash|shell|console)?\n(.*?)^```", readme.read_text(encoding="utf-8"), re.M | re.S)
    lines = [line.split("#")[0].strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    assert [line for line in lines if line][:2] == ["make run", "make test"]


def test_the_five_packages_the_application_is_built_on_come_first():
    assert [requirement.name for requirement in _requirements("requirements.txt")][:5] == FIVE


@pytest.mark.parametrize("file", FILES)
def test_every_requirement_has_a_floor_and_an_upper_bound(file):
    for requirement in _requirements(file):
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators & {">=", "~=", "=="}, f"{requirement} has no floor"
        assert operators & {"<", "<=", "~=", "=="}, f"{requirement} has no upper bound"


@pytest.mark.parametrize(("extra", "package"), EXTRAS.items())
def test_an_extra_adds_to_the_requirements_of_the_application(extra, package):
    lines = (ROOT / "requirements" / f"{extra}.txt").read_text(encoding="utf-8").splitlines()
    assert "-r ../requirements.txt" in lines
    assert package in [requirement.name for requirement in _requirements(f"requirements/{extra}.txt")]


def test_the_gpu_extra_asks_for_the_same_tensorflow():
    ours, theirs = (
        {r.name: r.specifier for r in _requirements(file)} for file in ("requirements.txt", "requirements/gpu.txt")
    )
    assert theirs["tensorflow"] == ours["tensorflow"]


def test_every_library_the_application_imports_is_required():
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py")]
    imported = {name for source in sources for name in re.findall(r"^\s*(?:import|from) ([a-z_]+)", source, re.M)}
    providers = metadata.packages_distributions()
    needed = {canonicalize_name(providers[name][0]) for name in imported if name in providers}
    required = {
        canonicalize_name(r.name) for file in ("requirements.txt", "requirements/ray.txt") for r in _requirements(file)
    }
    assert needed - required == set()


def test_the_lock_has_a_version_that_satisfies_each_requirement():
    locked = _locked()
    for requirement in _requirements("requirements.txt"):
        versions = locked.get(canonicalize_name(requirement.name), [])
        assert versions, f"requirements.lock does not hold {requirement.name}; run make lock"
        assert all(version in requirement.specifier for version in versions), (
            f"{requirement}: locked {versions}; run make lock"
        )


def test_the_lock_has_hashes_for_every_package():
    entries = _entries()
    assert len(entries) > len(_requirements("requirements.txt"))
    assert [entry.split()[0] for entry in entries if not HASH.search(entry)] == []


def test_the_lock_says_how_it_was_made_and_names_no_machine():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    command = next(line for line in text.splitlines() if "uv pip compile" in line).lstrip("# ")
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    assert all(option in recipe for option in command.split())
    assert not re.search(
        r"(?<![\w.])/\w+/|https?://|file:|--index-url|--find-links", text.replace("--no-emit-find-links", "")
    )


def test_what_is_installed_satisfies_the_requirements():
    for requirement in _requirements("requirements.txt"):
        version = Version(metadata.version(requirement.name))
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}, installed is {version}"


def _requirements(file: str) -> list[Requirement]:
    lines = (line.split(" #")[0].strip() for line in (ROOT / file).read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith(("#", "-r "))]


def _entries() -> list[str]:
    """The packages of the lock, each as one line with its hashes."""
    joined = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]


def _locked() -> dict[str, list[str]]:
    """Package → its versions: a universal lock has one per range of Python where they differ."""
    versions: dict[str, list[str]] = {}
    for entry in _entries():
        name, version = re.match(r"([\w.-]+)==(\S+)", entry).groups()
        versions.setdefault(canonicalize_name(name), []).append(version)
    return versions
