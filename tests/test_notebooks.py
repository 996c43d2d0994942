"""Every notebook runs from top to bottom as committed, imports only app, and ends with a sentence."""

import ast
import os
from pathlib import Path

import jupytext
import nbclient
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def test_there_is_a_notebook():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.setenv("STOCK_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    notebook = jupytext.read(path)
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_ipynb_says_the_same_as_the_py(path):
    ours, paired = (
        [(cell.cell_type, cell.source) for cell in jupytext.read(place).cells]
        for place in (path, path.with_suffix(".ipynb"))
    )
    assert ours == paired


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_imports_only_app_defines_no_long_function_and_ends_in_words(path):
    notebook = jupytext.read(path)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            assert [name.name for name in node.names] == ["app"]
        if isinstance(node, ast.ImportFrom):
            assert node.module.split(".")[0] == "app"
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 5
    last = notebook.cells[-1]
    assert last.cell_type == "markdown"
    assert last.source.strip().endswith(".")


def test_every_name_of_the_notebook_api_is_there_and_hides_no_module():
    import app

    for name in app.__all__:
        assert getattr(app, name) is not None
        assert not (ROOT / "app" / name).exists(), f"app.{name} would be taken for the module"
    with pytest.raises(AttributeError, match="has no 'prophesy'"):
        app.prophesy  # noqa: B018
