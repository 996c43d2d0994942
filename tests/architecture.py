"""The rules of the house, read from the source with `ast`: nothing is imported, so any folder can be checked.

`faults(folder)` is used on app/ itself, and on planted bad files that each rule has to find.
"""

import ast
import graphlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

STREET = (
    ("errors",),
    ("allowed",),
    ("atomic", "home"),
    ("schema", "queries"),
    ("prices",),
    ("dataset",),
    ("forecasters",),
    ("evaluation",),
    ("insight", "registry", "journal", "routine", "report", "executors", "reproduce"),
    ("config",),
    ("pipeline",),
    ("doctor", "daily"),
    ("commands",),
    ("grammar",),
    ("cli",),
)
"""A module imports its own folder or anything in an earlier row; those in one row do not know each other."""

OFF_STREET = ("__init__", "__main__")
"""The notebook API and `python -m app` may reach everything, and nothing may import them."""

KERAS_HOMES = (
    "forecasters/cells.py",
    "forecasters/layers.py",
    "forecasters/bodies.py",
    "forecasters/decoder.py",
    "forecasters/gradients.py",
    "forecasters/networks.py",
    "forecasters/recurrent.py",
    "insight",
    "reproduce/networks.py",
)
HOMES = {
    "keras": KERAS_HOMES,
    "tensorflow": KERAS_HOMES,
    "jax": KERAS_HOMES,
    "yfinance": ("prices/yahoo.py",),
    "matplotlib": ("report",),
    "exchange_calendars": ("prices/calendar.py",),
    "sqlite3": ("prices/database.py",),
    "ray": ("executors.py",),
}
"""Library → the only files or folders that may import it."""

EXCEPTIONS = {
    ("__init__.py", "importlib"): "the notebook API loads each name when it is first asked for",
    ("cli.py", "importlib"): "loads the module of the one command that was asked for",
    ("forecasters/start.py", "importlib"): "starts Keras with its chatter held back, when a network is first needed",
    ("prices/providers.py", "importlib"): "loads the client library of the one provider that is asked",
    ("prices/yahoo.py", "sqlite3"): "throws away a damaged cache of yfinance, which is an SQLite file",
}
"""(file, library) → why this one file may do what is refused elsewhere. "importlib" stands for importing by a
name that is only known at run time; where it is allowed, it may load any library. Add exceptions here only."""

UNSAFE_MODULES = ("pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
UNSAFE_CALLS = ("eval", "exec")
UNSAFE_NAMES = ("Lambda", "read_pickle", "to_pickle", "enable_unsafe_deserialization")
UNSAFE_ARGUMENTS = {"allow_pickle": False, "safe_mode": True}
"""Keyword → the only value it may be given."""

MODULE_LINES, FUNCTION_LINES = 300, 30
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Import:
    """One name that a module imports: `name` is dotted and absolute.

    `at_run_time`: the name is handed to importlib. `at_import`: it is imported with the module, not first
    when a function is called, and not only for the type checker.
    """

    name: str
    line: int
    at_run_time: bool = False
    at_import: bool = True


@dataclass(frozen=True)
class Module:
    """One source file: `path` is relative to the package's folder, with slashes."""

    package: str
    path: str
    source: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source, self.path)

    @property
    def name(self) -> str:
        parts = [self.package, *self.path.removesuffix(".py").split("/")]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def stage(self) -> str:
        return self.path.removesuffix(".py").split("/")[0]

    @cached_property
    def imports(self) -> list[Import]:
        later = {id(node) for block in ast.walk(self.tree) if _runs_later(block) for node in ast.walk(block)}
        return [
            replace(found, at_import=id(node) not in later)
            for node in ast.walk(self.tree)
            for found in self._imports_of(node)
        ]

    def lies_in(self, homes: tuple[str, ...]) -> bool:
        return any(self.path == home or self.path.startswith(f"{home}/") for home in homes)

    def _imports_of(self, node: ast.AST) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = self._absolute(node)
            yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            target = node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else "?"
            yield Import(str(target), node.lineno, at_run_time=True)

    def _absolute(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        own = [self.package, *self.path.split("/")[:-1]]
        base = own[: len(own) - node.level + 1]
        return ".".join([*base, node.module] if node.module else base)


def faults(folder: Path) -> list[str]:
    """Every breach of the rules in the package at `folder`, each as "path:line: what is wrong"."""
    folder = Path(folder)
    modules = [
        Module(folder.name, path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.py"))
    ]
    broken = {module.path: fault for module in modules for fault in _unreadable(module)}
    modules = [module for module in modules if module.path not in broken]
    rules = (_upward, _strangers, _run_time_imports, _unsafe, _too_long, _prints, _undocumented)
    found = [f"{module.path}:{fault}" for module in modules for rule in rules for fault in rule(module)]
    return [f"{path}:{fault}" for path, fault in broken.items()] + found + _cycles(modules)


def _unreadable(module: Module) -> Iterator[str]:
    try:
        module.tree  # noqa: B018 - parsing is the question
    except SyntaxError as error:
        yield f"{error.lineno}: is not Python 3.11: {error.msg}"


def _upward(module: Module) -> Iterator[str]:
    if module.path in [f"{name}.py" for name in OFF_STREET]:
        return
    rank = {stage: row for row, stages in enumerate(STREET) for stage in stages}
    if module.stage not in rank:
        yield f"1: {module.stage} has no place on the street"
        return
    for found in module.imports:
        parts = found.name.split(".")
        if parts[0] != module.package or len(parts) < 2 or parts[1] == module.stage:
            continue
        if rank.get(parts[1], len(STREET)) >= rank[module.stage]:
            yield f"{found.line}: {module.stage} imports {found.name}, which is not before it on the street"


def _strangers(module: Module) -> Iterator[str]:
    for found in module.imports:
        library = found.name.split(".")[0]
        allowed = found.at_run_time or (module.path, library) in EXCEPTIONS
        if library in HOMES and not allowed and not module.lies_in(HOMES[library]):
            yield f"{found.line}: imports {library}, whose place is {', '.join(HOMES[library])}"


def _run_time_imports(module: Module) -> Iterator[str]:
    for found in module.imports:
        if found.at_run_time and (module.path, "importlib") not in EXCEPTIONS:
            yield f"{found.line}: imports {found.name} by its name at run time"


def _unsafe(module: Module) -> Iterator[str]:
    for found in module.imports:
        if found.name.split(".")[0] in UNSAFE_MODULES:
            yield f"{found.line}: imports {found.name}, which runs what it loads"
        if found.name.split(".")[-1] in UNSAFE_NAMES:
            yield f"{found.line}: {found.name} is refused"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and node.attr in UNSAFE_NAMES:
            yield f"{node.lineno}: {node.attr} is refused"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNSAFE_CALLS:
            yield f"{node.lineno}: {node.func.id}() runs what it is given"
        if isinstance(node, ast.keyword) and node.arg in UNSAFE_ARGUMENTS:
            only = UNSAFE_ARGUMENTS[node.arg]
            if not (isinstance(node.value, ast.Constant) and node.value.value is only):
                yield f"{node.value.lineno}: {node.arg} may only be {only}"


def _too_long(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > MODULE_LINES:
        yield f"{lines}: the module has {lines} lines, allowed are {MODULE_LINES}"
    for node in ast.walk(module.tree):
        if isinstance(node, FUNCTIONS) and (length := _lines(node)) > FUNCTION_LINES:
            yield f"{node.lineno}: {node.name} has {length} lines without its docstring, allowed are {FUNCTION_LINES}"


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    documented = first.end_lineno - first.lineno + 1 if ast.get_docstring(function) is not None else 0
    return function.end_lineno - function.lineno + 1 - documented


def _prints(module: Module) -> Iterator[str]:
    if module.stage == "cli":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"{node.lineno}: prints; log instead, or let the command line say it"


def _undocumented(module: Module) -> Iterator[str]:
    for node in _public(module.tree):
        if ast.get_docstring(node) is None:
            yield f"{node.lineno}: {node.name} has no docstring"


def _public(scope: ast.Module | ast.ClassDef) -> Iterator[ast.AST]:
    """Public functions and classes; the methods only of classes without a base, as an override is documented there."""
    for node in scope.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef) and all(ast.unparse(base) == "Protocol" for base in node.bases):
                yield from _public(node)


def _runs_later(block: ast.AST) -> bool:
    return isinstance(block, FUNCTIONS) or (isinstance(block, ast.If) and "TYPE_CHECKING" in ast.unparse(block.test))


def _cycles(modules: list[Module]) -> list[str]:
    names = {module.name for module in modules}
    graph = {module.name: set() for module in modules}
    for module in modules:
        if module.path in [f"{name}.py" for name in OFF_STREET]:
            continue
        for found in (found for found in module.imports if found.at_import):
            target = found.name if found.name in names else found.name.rpartition(".")[0]
            if target in names and target not in (module.package, module.name):
                graph[module.name].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [f"{' -> '.join(reversed(error.args[1]))}: modules import each other in a circle"]
    return []


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))
