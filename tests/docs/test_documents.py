"""What README.md and docs/ show works as it is printed."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from benchmarks.__main__ import commands as benchmarks
from rbflex_evo.engine import parse_config
from rbflex_evo.engine.commands.app import app
from rbflex_evo.engine.commands.list import Listed, registry_of
from rbflex_evo.engine.configuration.config import Config, load_scoring
from rbflex_evo.engine.configuration.yaml_reader import read_value

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# All pages with links; the templates of .github/ have none.
LINKED = [
    *PAGES,
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    ROOT / "tests" / "support" / "README.md",
    ROOT / "examples" / "plugin" / "README.md",
]
# What a fragment of a configuration leaves out.
BASE = {
    "name": "fragment",
    "space": "nats_tss",
    "data": "noise",
    "fitness": {"proxies": {"rbflex": {}}},
    "strategy": "random",
    "budget": {"evaluations": 10},
}
COMMAND = "rbflex-evo "
LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, without the indentation of a list that they may be in."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return ["\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def command_lines(page: Path) -> Iterator[list[str]]:
    """The words after ``rbflex-evo`` of every command line, in blocks and in prose."""
    lines = [line.partition("$ ")[2] or line for block in blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    for line in lines:
        if line.startswith(COMMAND):
            words = shlex.split(line, comments=True)[1:]
            yield words[: words.index(">")] if ">" in words else words


def parse(words: list[str]) -> dict[str, Any]:
    """Parses a command line and runs nothing; the name of a command alone need not have its arguments."""
    command: Any = get_command(app)
    words = [word for word in words if word != "--debug"]
    alone = len(words) == 1
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, f"there is no command {words[0]!r}"
        command, words = command.commands[words[0]], words[1:]
    if alone or hasattr(command, "commands"):
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert set(words) <= known
        return {}
    context = command.make_context(command.name, list(words), resilient_parsing="--help" in words)
    return dict(context.params)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_line_parses(page):
    for words in command_lines(page):
        try:
            values = parse(words)
        except Exception as error:
            pytest.fail(f"{page.name}: rbflex-evo {shlex.join(words)}: {error}")
        config = values.get("config")
        if config is not None and (ROOT / config).is_file():
            load_scoring(ROOT / config, values.get("set_") or [])
        elif config is not None:
            assert config.parts[0] != "configs", f"{config} does not exist"


def test_every_benchmark_that_is_named_exists():
    named = {name for page in PAGES for name in re.findall(r"python -m benchmarks (\w+)", page.read_text(encoding="utf-8"))}
    assert named
    assert named <= set(benchmarks())


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_configuration_is_accepted(page):
    for block in blocks(page, "yaml"):
        values = read_value(block, name_of(page))
        assert set(values) <= set(Config.model_fields), block
        if "timm." in block and importlib.util.find_spec("timm") is None:
            continue  # an extra, whose constructors are looked up
        parse_config({**BASE, **values})


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_every_relative_link_and_picture_exists(page):
    for target in LINK.findall(prose(page)):
        path = target.partition("#")[0]
        if path and not path.startswith(("http://", "https://")):
            assert (page.parent / path).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_python_block_compiles_and_its_imports_exist(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    importlib.import_module(alias.name)
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page.name}: {node.module} has no {alias.name}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_of_the_repository_that_is_named_exists(page):
    rooms = "engine|fitness|spaces|strategies|tests|configs|examples|benchmarks|docs"
    for path in re.findall(rf"`((?:{rooms})/[\w./-]+)`", prose(page)):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_every_name_of_a_space_score_preset_and_strategy_is_in_the_readme():
    from rbflex_evo.fitness import PROXIES
    from rbflex_evo.fitness.objective.presets import PRESETS
    from rbflex_evo.spaces import SPACES
    from rbflex_evo.strategies import STRATEGIES

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for registry in (SPACES, PROXIES, PRESETS, STRATEGIES):
        for name in registry.names():
            assert registry.package_of(name) is not None or f"`{name}`" in text, name


def test_every_key_that_the_tables_show_is_described():
    hooks = runpy.run_path(str(ROOT / "docs" / "hooks.py"))
    models = list(hooks["sections"]().values())
    for kind in Listed:
        registry = registry_of(kind)
        names = [] if kind in (Listed.presets, Listed.devices) else registry.names()
        models += [registry.get(name).Parameters for name in names if registry.package_of(name) is None]
    for model in models:
        assert set(model.model_fields) <= set(hooks["attributes_of"](model)), f"{model.__module__}.{model.__name__}"


def test_a_package_index_shows_no_relative_link_or_picture(monkeypatch):
    pytest.importorskip("setuptools")  # gives distutils where Python has none
    from distutils.core import run_setup

    monkeypatch.chdir(ROOT)
    text = run_setup("setup.py", stop_after="init").metadata.long_description
    assert text.startswith("# rbflex-evo")
    targets = LINK.findall(text)
    assert targets
    assert all(target.startswith("https://") for target in targets)


def test_every_generated_part_of_a_page_can_be_made():
    generators = runpy.run_path(str(ROOT / "docs" / "hooks.py"))["GENERATORS"]
    for name, make in generators.items():
        assert len(make()) > 100, name
