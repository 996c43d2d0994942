"""The one-way street and the other rules of docs/decisions.md hold in app/, and their checker sees each breach."""

import ast
from pathlib import Path

import pytest

from tests.architecture import EXCEPTIONS, FUNCTION_LINES, HOMES, MODULE_LINES, STREET, faults

ROOT = Path(__file__).resolve().parents[1]
APP = ROOT / "app"

LONG_FUNCTION = '"""Doc."""\n\n\ndef f():\n    """Doc."""\n' + "    x = 1\n" * FUNCTION_LINES
FITTING_FUNCTION = '"""Doc."""\n\n\ndef f():\n    """Doc.\n\n    More.\n    """\n' + "    x = 1\n" * (
    FUNCTION_LINES - 1
)

PLANTED = {
    "an upward import": ("prices/store.py", "from app.dataset import windows", "prices imports app.dataset.windows"),
    "an upward import inside a function": (
        "schema.py", "def _f():\n    import app.pipeline", "schema imports app.pipeline"
    ),
    "a relative upward import": ("dataset/features.py", "from ..forecasters import base", "dataset imports app.forec"),
    "a sideways import": ("report/page.py", "from app.registry import newest", "report imports app.registry.newest"),
    "an import of the notebook API": ("pipeline.py", "from app import forecast", "pipeline imports app.forecast"),
    "a module without a place": ("helpers.py", "", "helpers has no place"),
    "keras in the back test": ("evaluation/backtest.py", "import keras", "imports keras"),
    "keras in another forecaster": ("forecasters/garch.py", "from keras import ops", "imports keras"),
    "tensorflow in the command line": ("cli.py", "def _f():\n    import tensorflow as tf", "imports tensorflow"),
    "yfinance in the pipeline": ("pipeline.py", "import yfinance", "imports yfinance"),
    "yfinance in another source": ("prices/sources.py", "import yfinance as yf", "imports yfinance"),
    "matplotlib outside the report": ("evaluation/metrics.py", "import matplotlib.pyplot as plt", "imports matplotlib"),
    "a second calendar": ("dataset/windows.py", "import exchange_calendars", "imports exchange_calendars"),
    "a second database": ("registry.py", "import sqlite3", "imports sqlite3"),
    "an import by name": ("registry.py", "import importlib\nx = importlib.import_module('keras')", "keras by its name"),
    "an import by name beside an exception": ("doctor.py", "x = import_module('keras')", "keras by its name"),
    "__import__": ("pipeline.py", "x = __import__(y)", "by its name at run time"),
    "pickle": ("registry.py", "import pickle", "imports pickle"),
    "joblib": ("forecasters/tabular.py", "from joblib import dump", "imports joblib.dump"),
    "shelve": ("registry.py", "import shelve", "imports shelve"),
    "marshal": ("registry.py", "import marshal", "imports marshal"),
    "eval": ("config.py", "x = eval('1')", "eval() runs"),
    "exec": ("config.py", "exec('1')", "exec() runs"),
    "a pickled array": ("prices/sources.py", "import numpy as np\nx = np.load(y, allow_pickle=True)", "allow_pickle"),
    "a pickled array by a variable": ("prices/sources.py", "x = load(y, allow_pickle=z)", "allow_pickle"),
    "a pickled table": ("prices/sources.py", "import pandas as pd\nx = pd.read_pickle(y)", "read_pickle is refused"),
    "a model loaded without care": ("forecasters/recurrent.py", "x = load(y, safe_mode=False)", "safe_mode"),
    "a Lambda layer": ("forecasters/networks.py", "import keras\nx = keras.layers.Lambda(y)", "Lambda is refused"),
    "an imported Lambda layer": ("forecasters/networks.py", "from keras.layers import Lambda", "Lambda is refused"),
    "what is not Python": ("config.py", "def f(:", "is not Python 3.11"),
    "a long module": ("errors.py", "\n" * (MODULE_LINES + 1), f"{MODULE_LINES + 1} lines"),
    "a long function": ("errors.py", LONG_FUNCTION, f"f has {FUNCTION_LINES + 1} lines"),
    "a print": ("pipeline.py", "print('done')", "prints"),
    "a function without a docstring": ("errors.py", "def f(): ...", "f has no docstring"),
    "a class without a docstring": ("errors.py", "class C: ...", "C has no docstring"),
    "a method without one": ("errors.py", 'class C:\n    """Doc."""\n    def f(self): ...', "f has no docstring"),
}  # fmt: skip

FINE = {
    "the street downwards": ("cli.py", "from app import pipeline\nfrom app.config import Settings\nimport app.errors"),
    "a neighbour in the folder": ("prices/store.py", "from app.prices import calendar\nfrom . import adjust"),
    "keras where it lives": ("forecasters/networks.py", "import keras\nfrom keras import ops"),
    "keras in insight": ("insight/gates.py", "import keras"),
    "the command line prints": ("cli/prices.py", "print('done')"),
    "the notebook API": ("__init__.py", "import importlib\nx = importlib.import_module('app.cli')\nimport app.cli"),
    "python -m app": ("__main__.py", "from app.cli import main"),
    "Keras is started in one place": ("forecasters/start.py", "import importlib\nx = importlib.import_module(y)"),
    "importlib.metadata": ("report/page.py", "from importlib import metadata, resources"),
    "an array without pickle": ("prices/sources.py", "x = load(y, allow_pickle=False)"),
    "an override": ("forecasters/cells.py", 'class C(Layer):\n    """Doc."""\n    def call(self, x): ...'),
    "a private function": ("errors.py", "def _f(): ..."),
    "a method named eval": ("insight/gates.py", "x = model.eval()"),
    "a long docstring": ("errors.py", FITTING_FUNCTION),
}


def test_app_keeps_the_rules():
    assert faults(APP) == []


@pytest.mark.parametrize(("path", "source", "expected"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_found_where_it_is(path, source, expected, tmp_path):
    found = faults(_planted(tmp_path, {path: source}))
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")
    assert expected in found[0]


@pytest.mark.parametrize(("path", "source"), FINE.values(), ids=FINE)
def test_what_is_allowed_is_not_a_fault(path, source, tmp_path):
    assert faults(_planted(tmp_path, {path: source})) == []


def test_a_circle_is_found(tmp_path):
    files = {"prices/a.py": "from app.prices.b import f", "prices/b.py": "from app.prices import c",
             "prices/c.py": "try:\n    import app.prices.a\nexcept ValueError: ..."}  # fmt: skip
    (found,) = faults(_planted(tmp_path, files))
    assert "in a circle" in found
    assert {"app.prices.a", "app.prices.b", "app.prices.c"} <= set(found.split(":")[0].split(" -> "))


def test_an_import_that_waits_for_a_call_closes_no_circle(tmp_path):
    files = {"prices/a.py": "def _f():\n    from app.prices import b", "prices/b.py": "from app.prices import c",
             "prices/c.py": "if TYPE_CHECKING:\n    from app.prices import b\nfrom app.prices import a"}  # fmt: skip
    assert faults(_planted(tmp_path, files)) == []


def test_every_folder_and_module_of_app_has_one_place_on_the_street():
    stages = [stage for row in STREET for stage in row]
    assert len(stages) == len(set(stages))


@pytest.mark.parametrize(("path", "library"), EXCEPTIONS)
def test_an_exception_is_for_a_file_that_uses_it(path, library):
    if not (APP / path).is_file():
        pytest.skip(f"app/{path} is not written yet")
    assert library in (APP / path).read_text(encoding="utf-8")


def test_the_reference_versions_never_import_app():
    reference = ROOT / "tests" / "reference.py"
    tree = ast.parse(reference.read_text(encoding="utf-8") if reference.is_file() else "")
    imported = [getattr(node, "module", None) or node.names[0].name for node in ast.walk(tree)
                if isinstance(node, (ast.Import, ast.ImportFrom))]  # fmt: skip
    assert [name for name in imported if name.split(".")[0] == "app"] == []


def test_the_homes_of_the_libraries_are_on_the_street():
    stages = {stage for row in STREET for stage in row}
    assert {home.removesuffix(".py").split("/")[0] for homes in HOMES.values() for home in homes} <= stages


def _planted(folder: Path, files: dict[str, str]) -> Path:
    app = folder / "app"
    for path, source in files.items():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).write_text(source, encoding="utf-8")
    return app
