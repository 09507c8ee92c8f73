"""Fills the pages of the documentation with what the code knows, while MkDocs builds them.

A line ``<!-- generated: NAME -->`` in a page is replaced by the text that `GENERATORS` makes for that name: tables of configuration
keys from the pydantic models, commands from the typer app, names and parameters from the registries, and files of the repository.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from rbflex_evo.engine.configuration.selection import Choice

ROOT = Path(__file__).parent.parent
MARKER = re.compile(r"^<!-- generated: ([a-z-]+) -->$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\((?!https?://|#)([^)]+)\)")
# The sections of a configuration that hold the name of a registered thing and its parameters.
CHOSEN = {
    "space": "../reference/spaces.md",
    "data": "../reference/data.md",
    "strategy": "../reference/strategies.md",
    "table": "../reference/tables.md",
    "executor": "scale-out.md#executors",
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Returns a page with its markers replaced; MkDocs calls this for every page.

    Raises:
        KeyError: If a marker names no generator.
    """
    return MARKER.sub(lambda found: GENERATORS[found[1]](), markdown)


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Returns a Markdown table."""
    heads = list(columns)
    lines = [heads, ["---"] * len(heads), *([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def configuration() -> str:
    """Returns a table for each section of a configuration."""
    models = sections()
    parts = []
    for name, model in models.items():
        parts += [f"### {name}", introduction(model), keys_of(model, models, "" if name == TOP else f"{name}.")]
    return "\n\n".join(parts)


TOP = "Top level"


def sections() -> dict[str, type[BaseModel]]:
    """Returns the model of each section of a configuration."""
    from rbflex_evo.engine.configuration import config
    from rbflex_evo.engine.configuration.compare_section import CompareParameters
    from rbflex_evo.engine.configuration.fidelity_section import FidelityConfig
    from rbflex_evo.fitness.objective.objective import ObjectiveParameters
    from rbflex_evo.fitness.passes.weights import WeightParameters

    return {
        TOP: config.Config,
        "fitness": config.FitnessConfig,
        "fitness.objective": ObjectiveParameters,
        "fitness.weights": WeightParameters,
        "budget": config.BudgetConfig,
        "fidelity": FidelityConfig,
        "sample": config.SampleConfig,
        "correlate": config.CorrelateConfig,
        "compare": CompareParameters,
    }


def keys_of(model: type[BaseModel], sections: Iterable[str] = (), prefix: str = "") -> str:
    """Returns the table of a model's keys; keys that are sections link to their own table."""
    described = attributes_of(model)
    rows = []
    for name, field in model.model_fields.items():
        if field.exclude:
            continue
        known = f"{prefix}{field.alias or name}"
        shown = f"[`{name}`](#{known.replace('.', '')})" if known in sections else f"`{name}`"
        if not prefix and name in CHOSEN:
            shown = f"[`{name}`]({CHOSEN[name]})"
        rows.append((shown, type_of(field), default_of(field), described.get(name, "")))
    columns = 4 if any(row[-1] for row in rows) else 3
    return table(("key", "type", "default", "meaning")[:columns], [row[:columns] for row in rows])


def type_of(field: FieldInfo) -> str:
    """Returns what may be written for a field, with the bounds of its value."""
    limits = [f"{sign} {getattr(rule, name):g}" for rule in field.metadata for name, sign in BOUNDS.items() if hasattr(rule, name)]
    return " ".join([written_as(field.annotation), *([f"({', '.join(limits)})"] if limits else [])])


BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
PLAIN = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "mapping",
    Any: "value",
    type(None): "none",
}


def written_as(annotation: Any) -> str:
    """Returns a type in the words of YAML."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return written_as(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (list, tuple):
        return f"list of {written_as(arguments[0])}"
    if origin in (dict, Mapping):
        return "mapping"
    if arguments:
        return " or ".join(dict.fromkeys(written_as(part) for part in arguments if part is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "name, or mapping" if annotation.__name__ == "Choice" else "mapping"
    return PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def default_of(field: FieldInfo) -> str:
    """Returns a field's default value as it would be written in a configuration."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Choice):
        return f"`{value.name}`"
    if isinstance(value, BaseModel):
        return "its defaults"
    return "none" if value is None else f"`{json.dumps(to_jsonable_python(value)) if not isinstance(value, str) else value}`"


def attributes_of(thing: type) -> dict[str, str]:
    """Returns the entries of the sections ``Attributes`` of a class and of its base classes."""
    entries: dict[str, str] = {}
    for base in reversed([each for each in thing.__mro__ if issubclass(each, BaseModel) and each is not BaseModel]):
        entries |= own_attributes(base)
    return entries


def own_attributes(thing: type) -> dict[str, str]:
    """Returns the entries of the section ``Attributes`` of a class's docstring, one sentence or more each."""
    _, _, section = inspect.cleandoc(thing.__doc__ or "").partition("Attributes:\n")
    entries: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if found := re.match(r"    (\w+)(?: \([^)]*\))?: (.*)", line):
            name = found[1]
            entries[name] = found[2]
        elif line.startswith("     ") and name:
            entries[name] += f" {line.strip()}"
        elif line.strip():
            break
    return {name: sentence(text) for name, text in entries.items()}


def sentence(text: str) -> str:
    """Returns a text with a capital first letter and a full stop, and with single backquotes."""
    text = text.strip().replace("``", "`")
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":")) else ".")


def introduction(thing: type) -> str:
    """Returns a class's docstring up to its first section."""
    text = inspect.cleandoc(thing.__doc__ or "")
    return re.split(r"^\w+:$", text, maxsplit=1, flags=re.MULTILINE)[0].strip().replace("``", "`")


def commands() -> str:
    """Returns the help of every command, as typer writes it in Markdown."""
    import typer
    from typer.cli import get_docs_for_click
    from typer.main import get_command

    from rbflex_evo.engine.commands.app import app

    group: Any = get_command(app)
    context = typer.Context(group, info_name="rbflex-evo")
    parts = []
    for name, command in group.commands.items():
        text = get_docs_for_click(obj=command, ctx=context, indent=1, name=name, call_prefix="rbflex-evo")
        parts.append(re.sub(r"\{(\w[^}]*)\}", r"\1", text).replace("[[", "[").replace("]]", "]").replace("## `rbflex-evo ", "## `"))
    return "\n\n".join(parts)


def registered(kind: str, heading: str = "###") -> str:
    """Returns a section for each name of a registry: its description, facts and parameters."""
    from rbflex_evo.engine.commands.list import Listed, describe, registry_of, sized

    which = Listed(kind)
    registry = registry_of(which)
    parts = []
    for name in registry.names():
        entry = describe(which, name)
        facts = [f"{sized(entry['size'])} genotypes"] if entry.get("size") else []
        facts += [f"In a run, where they are left out: {entry['rule']}"] if kind == "strategies" and "rule" in entry else []
        facts += [f"cost class: {entry['cost']}"] if "cost" in entry else []
        if kind == "presets":
            facts += [f"rule: {entry['rule']}", f"members: {', '.join(f'`{each}`' for each in entry['members'])}"]
        facts += ["RBFleX scores it by activations alone"] if entry.get("features") == "none" else []
        parts += [f"{heading} `{name}`", sentence(entry["description"]), *([sentence("; ".join(facts))] if facts else [])]
        if kind != "presets" and entry["parameters"]:
            model = registry.get(name).Parameters
            parts += [introduction(model), keys_of(model)]
    return "\n\n".join(parts)


def metrics() -> str:
    """Returns a table of what can be limited or minimised."""
    from rbflex_evo.engine.commands.list import Listed, describe, registry_of

    entries = [describe(Listed.metrics, name) for name in registry_of(Listed.metrics).names()]
    rows = [(f"`{e['name']}`", ", ".join(f"`{p}`" for p in e["parameters"]) or "none", sentence(e["description"])) for e in entries]
    return table(("metric", "parameters", "meaning"), rows)


def predictors() -> str:
    """Returns a table of the kinds of predictors."""
    from rbflex_evo.fitness.costs.predictors.predictor import PREDICTORS

    rows = [(f"`{name}`", sentence(PREDICTORS.get(name).description)) for name in PREDICTORS.names()]
    return table(("kind", "meaning"), rows)


def device_tables() -> str:
    """Returns a table of the kinds of files with costs on devices."""
    from rbflex_evo.engine.commands.devices import device_kinds

    rows = [
        (
            f"`{kind['name']}`",
            ", ".join(f"`{space}`" for space in kind["spaces"]) or "any",
            sentence(kind["description"]),
            ", ".join(f"`{metric}`" for metric in kind["metrics"]) or "those of the file",
            ", ".join(f"`{dataset}`" for dataset in kind["datasets"]) or "none",
        )
        for kind in device_kinds(None)
    ]
    return table(("table", "spaces", "file", "metrics", "`dataset`"), rows)


def examples() -> str:
    """Returns every worked configuration."""
    paths = sorted((ROOT / "configs").glob("*.yaml"), key=lambda path: (path.stem != "quickstart", path.stem))
    return "\n\n".join(f"### {path.stem}\n\n```yaml\n{path.read_text(encoding='utf-8').strip()}\n```" for path in paths)


PLUGIN = ROOT / "examples" / "plugin"


def plugin_guide() -> str:
    """Returns the guide of the example package without its title; links to its files lead to the section that shows them."""
    text = (PLUGIN / "README.md").read_text(encoding="utf-8").partition("\n")[2]
    return LINK.sub(lambda found: f"[{found[1]}](#{anchor(found[2])})", text)


def plugin_files() -> str:
    """Returns every file of the example package that its guide links to."""
    paths = dict.fromkeys(path for _, path in LINK.findall((PLUGIN / "README.md").read_text(encoding="utf-8")))
    languages = {".py": "python", ".yaml": "yaml", ".toml": "toml"}
    parts = []
    for path in paths:
        text = (PLUGIN / path).read_text(encoding="utf-8").strip()
        parts.append(f"### {path} {{#{anchor(path)}}}\n\n```{languages.get(Path(path).suffix, 'text')}\n{text}\n```")
    return "\n\n".join(parts)


NOTEBOOKS = ROOT / "docs" / "notebooks"


def notebook(name: str) -> str:
    """Returns an executed notebook of ``docs/notebooks`` as Markdown, without its title."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    parts = []
    for number, cell in enumerate(cells):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source.partition("\n")[2] if number == 0 else source)
        else:
            parts += [f"```python\n{source}\n```", *map(output, cell["outputs"])]
    return "\n\n".join(parts)


def output(found: Mapping[str, Any]) -> str:
    """Returns one output of a notebook's cell: a picture, a part of a page, or text."""
    data = found.get("data", {})
    if "image/png" in data:
        return f'<img alt="Figure" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    if "text/html" in data:
        # Markdown would end a block at an empty line; a frame of pandas has borders that the theme's tables do not have.
        page = re.sub(r"\n\s*\n", "\n", "".join(data["text/html"]).strip())
        return page.replace('<table border="1" class="dataframe">', "<table>")
    text = "".join(found["text"] if "text" in found else data["text/plain"])
    return f"```text\n{text.rstrip()}\n```"


def anchor(path: str) -> str:
    """Returns the anchor of the section that shows a file of the example package."""
    return f"file-{re.sub(r'[^a-z0-9]+', '-', path.lower())}"


GENERATORS: dict[str, Callable[[], str]] = {
    "configuration": configuration,
    "examples": examples,
    "commands": commands,
    "metrics": metrics,
    "device-tables": device_tables,
    "predictors": predictors,
    "spaces": lambda: registered("spaces"),
    "proxies": lambda: registered("proxies"),
    "presets": lambda: registered("presets"),
    "strategies": lambda: registered("strategies"),
    "tables": lambda: registered("tables"),
    "sources": lambda: registered("sources"),
    "executors": lambda: registered("executors"),
    "plugin-guide": plugin_guide,
    "plugin-files": plugin_files,
    "notebook-search": lambda: notebook("search"),
}
