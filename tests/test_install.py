"""`requirements/install.sh` on a stand-in project: one wheel in a folder plays the package index."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WITHOUT_PIP = "import sys\nsys.modules['ensurepip'] = sys.modules['pip'] = None\n"
KILLED_IN_PIP = "import os, signal, sys\nif 'install' in sys.argv: os.kill(os.getpid(), signal.SIGKILL)\n"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """A folder with two versions of a package called brick."""
    folder = tmp_path_factory.mktemp("index")
    for version in ("1.0", "2.0"):
        _wheel(folder, version)
    return folder


@pytest.fixture
def project(tmp_path, index):
    """A project with the real installer, which wants brick."""
    (tmp_path / "requirements").mkdir()
    shutil.copy(ROOT / "requirements" / "install.sh", tmp_path / "requirements")
    (tmp_path / "requirements.txt").write_text("brick>=1,<2\n")
    return tmp_path


def test_it_survives_being_killed_installs_once_and_follows_the_requirements(project, index):
    (project / "sitecustomize.py").write_text(KILLED_IN_PIP)
    killed = _install(project, index, PYTHONPATH=str(project))
    assert killed.returncode != 0
    assert "ready" not in killed.stderr
    assert not (project / ".venv" / "installed").exists()

    first = _install(project, index)
    assert first.returncode == 0, first.stderr
    assert "was cut off; starting over" in first.stderr
    assert _brick(project) == "1.0"
    assert list((project / ".venv").glob("lib/python*/site-packages/__pycache__/brick.*.pyc"))

    again = _install(project, index)
    assert (again.returncode, again.stderr) == (0, "")

    (project / "requirements.txt").write_text("brick>=2,<3\n")
    assert "ready" in _install(project, index).stderr
    assert _brick(project) == "2.0"

    (project / "requirements.txt").write_text("brick>=3,<4\n")
    refused = _install(project, index)
    assert refused.returncode == 1
    assert "pip could not install requirements.txt" in refused.stderr
    assert _brick(project) == "2.0"


def test_without_venv_and_pip_it_names_the_package_to_install(project, index):
    (project / "sitecustomize.py").write_text(WITHOUT_PIP)
    refused = _install(project, index, PYTHONPATH=str(project))
    assert refused.returncode == 1
    assert f"sudo apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv" in refused.stderr
    assert not (project / ".venv").exists()


def test_a_python_that_is_too_old_is_named(project, index):
    old = project / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    refused = _install(project, index, PYTHON=str(old))
    assert refused.returncode == 1
    assert "old-python is Python 3.9.2" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (project / ".venv").exists()


def _install(project: Path, index: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the installer with the Python of this test, which meets no index but the folder."""
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    settings = {**os.environ, "PYTHON": sys.executable, "PYTHONDONTWRITEBYTECODE": "1", **offline, **environment}
    return subprocess.run(
        ["sh", "requirements/install.sh", "requirements.txt"],
        cwd=project, env=settings, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def _brick(project: Path) -> str:
    command = [project / ".venv" / "bin" / "python", "-c", "import brick; print(brick.VERSION)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _wheel(folder: Path, version: str) -> None:
    info = f"brick-{version}.dist-info"
    files = {
        "brick.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: brick\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"brick-{version}-py3-none-any.whl", "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)
