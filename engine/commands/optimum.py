"""``optimum``: what is the best that a search could find, proved."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rbflex_evo.engine.terminal.wording import columns

from .options import AsJson, Overrides

if TYPE_CHECKING:
    from rbflex_evo.engine.optimum.question import Question


def optimum(
    target: Annotated[str, typer.Argument(metavar="CONFIG|SPACE", help="A YAML file, or the name of a search space.")],
    maximise: Annotated[
        list[str] | None, typer.Option("--maximise", metavar="NAME", help="Cost or count to maximise. Repeatable.")
    ] = None,
    minimise: Annotated[
        list[str] | None, typer.Option("--minimise", metavar="NAME", help="Cost or count to minimise. Repeatable.")
    ] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option("--limit", metavar="NAME=NUMBER", help="Largest allowed value, such as flops=3e8. Repeatable."),
    ] = None,
    least: Annotated[
        list[str] | None, typer.Option("--least", metavar="NAME=NUMBER", help="Smallest allowed value. Repeatable.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option("--table", metavar="FILE", help="Costs on devices, for a name such as latency:pixel3.")
    ] = None,
    predictor: Annotated[
        Path | None, typer.Option("--predictor", metavar="FILE", help="Predictor of a cost, for a name such as predicted:board.")
    ] = None,
    enumerate_: Annotated[bool, typer.Option("--enumerate", help="Enumerate the space, whatever else is possible.")] = False,
    seconds: Annotated[float | None, typer.Option("--seconds", min=0.0, help="Most seconds that the proof may take.")] = None,
    rows: Annotated[int, typer.Option("--rows", min=2, help="Networks of a front that are printed.")] = 10,
    save: Annotated[Path | None, typer.Option("--save", metavar="FILE", help="Write the whole front as JSON.")] = None,
    set_: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Prove the optimum or the Pareto front of costs and counts.

    With a configuration, the question is its objective within its constraints, unless goals are named.
    """
    from rbflex_evo.engine.optimum.facts import facts_of, value_lines
    from rbflex_evo.engine.run.folder import replace_text

    files = {"table": table, "predictor": predictor}
    question = _question(target, maximise or [], minimise or [], limit or [], least or [], files, set_ or [])
    found = facts_of(question.prove(seconds, "enumeration" if enumerate_ else None), question.space)
    if save is not None:
        replace_text(save, found.model_dump_json(indent=1) + "\n")
    if as_json:
        print(found.model_dump_json())
        return
    print("\n".join(columns(list(value_lines(found, rows)))))
    if save is not None:
        print("\n".join(columns([("saved", str(save))])))


def _question(
    target: str,
    maximise: list[str],
    minimise: list[str],
    limit: list[str],
    least: list[str],
    files: dict[str, Path | None],
    overrides: list[str],
) -> Question:
    from rbflex_evo.engine.configuration.assembly import Assembly
    from rbflex_evo.engine.configuration.config import load_scoring
    from rbflex_evo.engine.optimum.question import files_of, named_question, question_of
    from rbflex_evo.engine.search.find import read_limits
    from rbflex_evo.spaces import SPACES, ConfigError, create_space

    bounds: dict[str, dict[str, float]] = {}
    for texts, option, side in ((limit, "--limit", "max"), (least, "--least", "min")):
        for name, value in read_limits(texts, option).items():
            bounds.setdefault(name, {})[side] = value
    if target in SPACES.names():
        if overrides:
            raise ConfigError("--set changes a configuration; write one with the space, or leave it out")
        space = create_space(target)
    else:
        parts = Assembly(load_scoring(target, overrides))
        if not maximise and not minimise:
            if bounds:
                raise ConfigError(
                    "a configuration has its own limits; name goals with --maximise or --minimise, or leave limits out"
                )
            return question_of(parts)
        space = parts.space
    return named_question(space, maximise, minimise, bounds, files_of([*maximise, *minimise, *bounds], files))
