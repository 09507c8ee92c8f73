"""Searching and scoring never read an accuracy: what they import, directly or not, holds none."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.support import ROOT

PACKAGES = ("fitness", "strategies")
# Modules that read known accuracies, and libraries that hold them.
TABLE_FILES = [path for name in ("table.py", "analog_table.py", "npz_csv.py") for path in sorted((ROOT / "spaces").rglob(name))]
FORBIDDEN = (
    *(".".join(("rbflex_evo", *path.relative_to(ROOT).with_suffix("").parts)) for path in TABLE_FILES),
    "nats_bench",
    "analog_nasbench",
)
# Names by which the tables could be reached through a module that is allowed.
FORBIDDEN_NAMES = {"TABLES"}


def modules(packages):
    """Path of each module by its dotted name."""
    found = {}
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = ("rbflex_evo", *path.relative_to(ROOT).with_suffix("").parts)
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(module, path):
    """Every module that a source file imports anywhere in it, late imports too, as dotted names; members of packages as well."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def is_forbidden(name):
    return any(name == module or name.startswith(f"{module}.") for module in FORBIDDEN)


def reached(start, known):
    """Modules of the project that `start` imports, directly or not, each with the one that imports it."""
    paths = {start: ""}
    waiting = [start]
    while waiting:
        module = waiting.pop()
        for name in imported(module, known[module]):
            # A package's own file runs before its members.
            for part in [name, *(name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1))]:
                if part not in paths:
                    paths[part] = module
                    if part in known:
                        waiting.append(part)
    return paths


def test_the_walk_would_see_an_import_of_a_table():
    known = modules(("engine", "spaces", *PACKAGES))
    assert any(is_forbidden(name) for name in reached("rbflex_evo.spaces.families.nats_bench.table", known))
    assert "rbflex_evo.fitness.measuring.evaluator" in reached("rbflex_evo.engine.configuration.assembly", known)
    assert len(TABLE_FILES) >= 12
    found = (
        reached("rbflex_evo.fitness.proxies.rbflex.score", known).keys()
        | reached("rbflex_evo.fitness.measuring.measurer", known).keys()
    )
    assert {"rbflex_evo.fitness", "rbflex_evo.spaces.architecture.plan"} <= found


@pytest.mark.parametrize("module", modules(PACKAGES))
def test_no_module_of_scores_or_strategies_reaches_a_table(module):
    found = {name: by for name, by in reached(module, modules(("spaces", *PACKAGES))).items() if is_forbidden(name)}
    assert not found


@pytest.mark.parametrize("module", modules(PACKAGES))
def test_no_module_of_scores_or_strategies_names_a_table(module):
    tree = ast.parse(modules(PACKAGES)[module].read_text(encoding="utf-8"))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert not names & FORBIDDEN_NAMES
    # A module that is imported by name, as a registry does, shows as a string.
    strings = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert not [text for text in strings if is_forbidden(text.partition(":")[0])]


@pytest.mark.slow
def test_importing_every_score_and_strategy_loads_no_table():
    names = [*modules(PACKAGES)]
    program = f"import importlib, sys\nfor name in {names}: importlib.import_module(name)\nprint(*sys.modules, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert "rbflex_evo.fitness.measuring.evaluator" in loaded
    assert not [name for name in loaded if is_forbidden(name)]
