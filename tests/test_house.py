"""The shape of the house: few scripts, arrows one way, short functions.

Everything is read from the source by `ast`, so nothing is imported.
"""

import ast
import graphlib
from pathlib import Path

from conftest import ROOT, SCRIPTS

MOST_LINES, MOST_PARAMETERS = 80, 7
TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8"))
    for pattern in ("*.py", "toolbox/**/*.py", "benchmarks/**/*.py")
    for path in sorted(ROOT.glob(pattern))
}


def module_name(path: Path) -> str:
    """toolbox/files.py is toolbox.files, and toolbox/__init__.py is toolbox."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.Module) -> set[str]:
    """Every module that a file imports, wherever the import is; `from a import b` may mean a.b."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


GRAPH = {module_name(path): imported(tree) for path, tree in TREES.items()}
GRAPH = {module: names & GRAPH.keys() for module, names in GRAPH.items()}


def too_large(function: ast.FunctionDef) -> bool:
    arguments = function.args
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    count = sum(parameter.arg not in ("self", "cls") for parameter in parameters)
    return function.end_lineno - function.lineno >= MOST_LINES or count > MOST_PARAMETERS


def test_few_files_at_the_top():
    assert len(SCRIPTS) + 1 <= 11, SCRIPTS
    assert len((ROOT / "utils.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_imports_make_no_circle():
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises CycleError, which names them


def test_the_toolbox_imports_no_script():
    found = {m: names for m, names in GRAPH.items() if m.split(".")[0] == "toolbox"}
    outside = {m: {n for n in names if n.split(".")[0] != "toolbox"} for m, names in found.items()}
    assert {module: names for module, names in outside.items() if names} == {}


def test_functions_are_short():
    functions = [
        (str(path), node)
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    ]
    assert [(path, node.name) for path, node in functions if too_large(node)] == []
