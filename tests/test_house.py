"""The shape of the house: few scripts, arrows one way, short functions.

Everything is read from the source by `ast`, so nothing is imported.
"""

import ast
import graphlib
from pathlib import Path

from conftest import ROOT

MOST_LINES, MOST_PARAMETERS = 80, 7
TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text(encoding="utf-8"))
    for pattern in ("*.py", "toolbox/**/*.py", "benchmarks/**/*.py", "tests/**/*.py")
    for path in sorted(ROOT.glob(pattern))
}
HOUSE = {path: tree for path, tree in TREES.items() if path.parts[0] != "tests"}
SCRIPTS = [path for path in HOUSE if len(path.parts) == 1 and path.name != "utils.py"]


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


def import_graph(trees: dict[Path, ast.Module]) -> dict[str, set[str]]:
    """Each module of `trees`, and those of them that it imports."""
    modules = {module_name(path) for path in trees}
    return {module_name(path): imported(tree) & modules for path, tree in trees.items()}


def find_cycle(trees: dict[Path, ast.Module]) -> list[str]:
    """Modules that import each other in a circle; [] if none do."""
    try:
        graphlib.TopologicalSorter(import_graph(trees)).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def wrong_arrows(trees: dict[Path, ast.Module]) -> list[str]:
    """Imports from toolbox/ to anything of this project that is not in toolbox/."""
    return [
        f"{module} imports {name}"
        for module, names in import_graph(trees).items()
        if module.split(".")[0] == "toolbox"
        for name in sorted(names)
        if name.split(".")[0] != "toolbox"
    ]


def too_large(tree: ast.Module) -> list[str]:
    """Functions of more than 80 lines or more than 7 parameters besides `self`."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            arguments = node.args
            names = [
                a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
            ]
            count = len([name for name in names if name not in ("self", "cls")])
            lines = node.end_lineno - node.lineno + 1
            if lines > MOST_LINES or count > MOST_PARAMETERS:
                found.append(f"{node.name}: {lines} lines, {count} parameters")
    return found


def missing_parts(tree: ast.Module) -> list[str]:
    """What a script lacks of a docstring, `Args` and `main`."""
    names = {node.name for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    return [*([] if ast.get_docstring(tree) else ["docstring"]), *sorted({"Args", "main"} - names)]


def test_few_files_at_the_top():
    assert len(SCRIPTS) + 1 <= 11, SCRIPTS
    assert len((ROOT / "utils.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_imports_make_no_circle():
    assert find_cycle(TREES) == []


def test_the_toolbox_imports_no_script():
    assert wrong_arrows(HOUSE) == []


def test_functions_are_short():
    found = {str(path): too_large(tree) for path, tree in TREES.items()}
    assert {path: functions for path, functions in found.items() if functions} == {}


def test_each_script_has_its_parts():
    assert {path.name: missing_parts(HOUSE[path]) for path in SCRIPTS} == {
        path.name: [] for path in SCRIPTS
    }


def test_each_check_can_fail():
    bad = {
        Path("toolbox/a.py"): ast.parse("def f():\n    import toolbox.b"),
        Path("toolbox/b.py"): ast.parse("from toolbox import a\nimport script"),
        Path("script.py"): ast.parse("def main(): ..."),
    }
    assert set(find_cycle(bad)) == {"toolbox.a", "toolbox.b"}
    assert wrong_arrows(bad) == ["toolbox.b imports script"]
    assert missing_parts(bad[Path("script.py")]) == ["docstring", "Args"]
    long = "def long():\n" + "    x = 1\n" * MOST_LINES
    wide = "class A:\n    def wide(self, a, b, c, d, e, f, /, g, *, h): ..."
    assert too_large(ast.parse(long)) == [f"long: {MOST_LINES + 1} lines, 0 parameters"]
    assert too_large(ast.parse(wide)) == ["wide: 1 lines, 8 parameters"]
    assert too_large(ast.parse(long.replace("    x = 1\n", "", 1))) == []
