"""The rooms stay readable: no folder is a heap, and no two files import each other."""

from __future__ import annotations

import ast
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.support import ROOT

ROOMS = ("engine", "fitness", "spaces", "strategies")
LIMIT = 15
# Catalogues: each file is one score, one strategy or one command behind the same contract.
CATALOGUES = {"fitness/proxies", "strategies", "engine/commands"}
SOURCES = {path.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("*.py")}


def imported(path: Path) -> set[Path]:
    """Returns the project's files that a file imports anywhere, late imports and those for type checkers included."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            base = list(path.parts[: len(path.parts) - node.level]) if node.level else []
            parts = [*base, *(node.module or "").split(".")] if node.module else base
            names = [[*parts, alias.name] for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        else:
            continue
        for parts in names:
            inner = parts[1:] if parts[0] == "rbflex_evo" else parts
            for depth in (len(inner), len(inner) - 1):
                files = (
                    {Path(*inner[:depth]).with_suffix(".py"), Path(*inner[:depth], "__init__.py")} & SOURCES if depth > 0 else set()
                )
                if files:
                    found |= files
                    break
    return found - {path}


def test_the_reader_of_imports_sees_relative_absolute_and_late_ones() -> None:
    assert Path("fitness/proxies/rbflex/kernels.py") in imported(Path("fitness/proxies/rbflex/score.py"))
    assert Path("fitness/evaluation.py") in imported(Path("engine/search/loop.py"))
    commands = [path for path in SOURCES if path.parent == Path("engine/commands")]
    assert any(Path("engine/search/search.py") in imported(path) for path in commands)


def test_no_folder_is_a_heap() -> None:
    counts = Counter(path.parent.as_posix() for path in SOURCES if path.name != "__init__.py")
    assert {folder: n for folder, n in counts.items() if n > LIMIT and folder not in CATALOGUES} == {}
    assert all(counts[folder] for folder in CATALOGUES)


def test_no_files_import_each_other() -> None:
    # A package's own __init__.py only re-exports.
    graph = {path: {other for other in imported(path) if other.name != "__init__.py"} for path in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        raise AssertionError(f"a circle of imports: {' -> '.join(str(path) for path in circle.args[1])}") from None
