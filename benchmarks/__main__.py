"""Lists and runs the benchmarks.

    python -m benchmarks                     list the commands
    python -m benchmarks NAME [arguments]    run one; NAME --help describes its arguments

A command is a file of a subfolder that defines `main`.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rbflex_evo.spaces.errors import near_name

ROOT = Path(__file__).parent


@dataclass(frozen=True)
class Command:
    """A benchmark that can be run by its name.

    Attributes:
        module: Import name of its module.
        summary: First line of the module's docstring.
    """

    module: str
    summary: str


def commands() -> dict[str, Command]:
    """Returns every command by its name. The files are parsed, not imported, so that this is fast."""
    found = {}
    for path in sorted(ROOT.glob("*/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            summary = (ast.get_docstring(tree) or "").partition("\n")[0]
            found[path.stem] = Command(f"{ROOT.name}.{path.parent.name}.{path.stem}", summary)
    return found


def main(arguments: Sequence[str] | None = None) -> int | None:
    """Lists the commands, or runs the one that the first argument names.

    Args:
        arguments: Name of a command and its arguments; those of the process by default.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    known = commands()
    if name in ("-h", "--help"):
        width = max(map(len, known))
        print("usage: python -m benchmarks NAME [arguments]\n")
        print("\n".join(f"{each.ljust(width)}  {command.summary}" for each, command in known.items()))
        return 0
    if name not in known:
        print(f"no benchmark {name!r}{near_name(name, known)}", file=sys.stderr)
        return 2
    sys.argv = [f"python -m benchmarks {name}", *rest]
    status: int | None = importlib.import_module(known[name].module).main()
    return status


if __name__ == "__main__":
    sys.exit(main())
