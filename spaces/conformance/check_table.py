"""Conformance tests for authors of tables; `rbflex_evo.engine.conformance` has all of them.

from rbflex_evo.engine.conformance import check_table
check_table(MyTable, MySpace(), path="known.txt")
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rbflex_evo.spaces.errors import ConfigError, GenotypeError, TableError
from rbflex_evo.spaces.parameters import Parameters, parse
from rbflex_evo.spaces.space import SearchSpace, create_space
from rbflex_evo.spaces.tables.table import TABLES, Table

from .check_encoding import rng_of
from .checking import CheckFailed, called, require, shown

# Number of draws among which an architecture that the table does not contain is searched.
DRAWS = 1000
REMEDY = "raise TableError, in one line that names the file, for whatever may be wrong with one"


def check_table(table: str | type[Table], space: SearchSpace, **values: Any) -> None:
    """Checks that a table satisfies the contract of `Table`.

    If it has a parameter ``path``, missing, empty and arbitrary files are tried as well.

    Args:
        table: A class, or a registered name.
        space: The space that the table belongs to.
        **values: Parameters of the table.

    Raises:
        CheckFailed: At the first violation.
        UnknownNameError: If no table has that name.
        ConfigError: If a parameter is invalid.
        TableError: If the table cannot be created with those parameters.
    """
    kind: type[Table] = TABLES.get(table) if isinstance(table, str) else table
    name = getattr(kind, "__name__", repr(kind))
    require(
        isinstance(kind, type) and issubclass(kind, Table),
        f"{name} is no Table; derive it from rbflex_evo.spaces.tables.table.Table",
    )
    require(isinstance(getattr(kind, "name", None), str), f"{name} has no name; set the class attribute 'name'")
    require(issubclass(kind.Parameters, Parameters), f"{name}.Parameters must derive from rbflex_evo.spaces.Parameters")

    def make(values: Mapping[str, Any], space: SearchSpace) -> Table:
        parameters = parse(kind.Parameters, values, "table")
        with called(f"{name}(parameters, space)", REMEDY, TableError, ConfigError):
            return kind(parameters, space)  # type: ignore[call-arg]

    made = make(values, space)
    _check_belongs(made, name, space)
    with called(f"{name}.accuracies()", REMEDY, TableError):
        accuracies = made.accuracies()
    _check_accuracies(accuracies, name, space)
    _check_lookups(made, accuracies, name, space)
    _check_other_space(make, name, values, space)
    if "path" in kind.Parameters.model_fields and "path" in values:
        _check_files(make, name, values, space)


def _check_belongs(table: Table, name: str, space: SearchSpace) -> None:
    for attribute in ("space", "dataset"):
        value = getattr(table, attribute, None)
        require(isinstance(value, str), f"{name}.{attribute} is {value!r}; set it in __init__: the space, the data set")
    try:
        table.check(space)
    except TableError as error:
        raise CheckFailed(f"{name}.check() refuses the space that it was made for ({error}); set self.space = space.name") from None


def _check_accuracies(accuracies: Any, name: str, space: SearchSpace) -> None:
    what = f"{name}.accuracies()"
    require(isinstance(accuracies, Mapping) and accuracies, f"{what} gave {shown(accuracies)}; return a dict, accuracy by notation")
    for notation, accuracy in accuracies.items():
        try:
            written = space.notation(space.parse(notation))
        except (GenotypeError, TypeError, AttributeError) as error:
            raise CheckFailed(
                f"{what} has {notation!r}, which {space.name} cannot read ({error}); "
                "use rbflex_evo.spaces.tables.notations.checked_notations"
            ) from error
        require(written == notation, f"{what} has {notation!r}, but the space writes it {written!r}; key it as the space writes it")
        require(
            isinstance(accuracy, float) and math.isfinite(accuracy) and accuracy <= 100,
            f"{what} gives {notation!r} the accuracy {accuracy!r}; give a finite float in percent, or raise TableError",
        )
    require(
        len(accuracies) < 2 or max(accuracies.values()) > 1,
        f"{what} has nothing above 1; accuracies are in percent, 93.5 and not 0.935",
    )


def _check_lookups(table: Table, accuracies: Mapping[str, float], name: str, space: SearchSpace) -> None:
    for notation in list(accuracies)[:100]:
        found = table.accuracy(notation)
        require(
            found == accuracies[notation],
            f"{name}.accuracy({notation!r}) is {found!r}, but accuracies() has {accuracies[notation]!r}; make them agree",
        )
        validation = table.validation(notation)
        require(
            validation is None or (isinstance(validation, float) and math.isfinite(validation)),
            f"{name}.validation({notation!r}) is {validation!r}; give a finite float, or None where it is not known",
        )
        runs = table.runs(notation)
        require(
            isinstance(runs, tuple) and all(isinstance(run, float) for run in runs),
            f"{name}.runs({notation!r}) is {runs!r}; give a tuple of floats, NaN where a run is missing, or an empty one",
        )
    require(len(table) == len(accuracies), f"len({name}) is {len(table)}, but there are {len(accuracies)} accuracies")
    rng = rng_of(0)
    drawn = (space.notation(space.encoding.sample(rng)) for _ in range(DRAWS))
    unknown = next((notation for notation in drawn if notation not in accuracies), None)
    if unknown is not None:
        with called(f"{name}.accuracy({unknown!r})", "return None for an architecture that it does not know"):
            found = table.accuracy(unknown)
        require(found is None, f"{name}.accuracy({unknown!r}) is {found!r}, though accuracies() lacks it; return None")


def _check_other_space(make: Any, name: str, values: Mapping[str, Any], space: SearchSpace) -> None:
    other = create_space("nasbench_macro" if space.name == "toy" else "toy")
    _refused(make, name, values, other, f"for {other.name}, another space than its own,", "compare its notations with the space's")


def _check_files(make: Any, name: str, values: Mapping[str, Any], space: SearchSpace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        missing = Path(folder) / f"missing{Path(values['path']).suffix}"
        _refused(make, name, {**values, "path": str(missing)}, space, "of a file that is not there", "look first")
        for content, what in ((b"", "of an empty file"), (b"\x80\xff\x00\n" * 8, "of a file of arbitrary bytes")):
            path = Path(folder) / f"wrong{Path(values['path']).suffix}"
            path.write_bytes(content)
            _refused(make, name, {**values, "path": str(path)}, space, what, "check what is read")


def _refused(make: Any, name: str, values: Mapping[str, Any], space: SearchSpace, what: str, how: str) -> None:
    try:
        made: Table = make(values, space)
        with called(f"{name} {what}", REMEDY, TableError):
            made.check(space)
            made.accuracies()
    except (TableError, ConfigError) as error:
        require("\n" not in str(error), f"{name} {what} has an error of several lines, {shown(str(error))}; say it in one")
        return
    raise CheckFailed(f"{name} {what} is accepted; {how} and raise TableError, in one line")
