"""Notations of cells: the ``Genotype(...)`` text of DARTS and the JSON records of Radosavovic et al. (2019), read without eval."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rbflex_evo.spaces.errors import GenotypeError, near_name, shown
from rbflex_evo.spaces.literals import expression, literal, python_value

from .cells import INPUTS, CellEdges

FIELDS = ("normal", "normal_concat", "reduce", "reduce_concat")
GENOTYPE_SHAPE = "Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=range(2, 6), reduce=[...], reduce_concat=range(2, 6))"


def genotype_fields(text: str) -> dict[str, Any]:
    """Reads a ``Genotype(...)`` expression of literals and ranges, or the four fields as a plain tuple.

    Raises:
        GenotypeError: If the text is no such expression.
    """
    wrong = GenotypeError(f"{shown(text, 60)} is not a genotype; expected {GENOTYPE_SHAPE}")
    try:
        tree = expression(text)
        values: dict[str | None, ast.expr]
        match tree:
            case ast.Call(func=ast.Name(id="Genotype"), args=arguments, keywords=keywords):
                values = dict(zip(FIELDS, arguments, strict=False))
                values |= {word.arg: word.value for word in keywords}
                given = len(arguments) + len(keywords)
            case ast.Tuple(elts=parts):
                values = dict(zip(FIELDS, parts, strict=False))
                given = len(parts)
            case _:
                raise wrong
        if given != len(FIELDS) or set(values) != set(FIELDS):
            raise wrong
        return {str(name): python_value(value) for name, value in values.items()}
    except (ValueError, TypeError):
        raise wrong from None


def record_fields(text: str, expected: str) -> dict[str, Any]:
    """Reads a record of the NDS files, or its ``net`` alone, and returns the fields of ``net``.

    Args:
        text: The JSON text.
        expected: Example of a record, for the error message.

    Raises:
        GenotypeError: If the text is not such a JSON object.
    """
    wrong = GenotypeError(f"{shown(text, 60)} is not a network; expected JSON like {expected}")
    try:
        record = literal(text)
    except ValueError:
        raise wrong from None
    net = record.get("net", record) if isinstance(record, dict) else None
    if not isinstance(net, dict):
        raise wrong
    return net


def choice(fields: Mapping[str, Any], name: str, allowed: Sequence[int], setting: str) -> int:
    """Returns the position of the value of a field among the allowed values.

    Args:
        fields: Values by field.
        name: Name of the field.
        allowed: Allowed values.
        setting: Parameter of the space that sets the allowed values, for the error message.

    Raises:
        GenotypeError: If the value is missing or not allowed.
    """
    value = fields.get(name)
    if type(value) is not int or value not in allowed:
        listed = ", ".join(map(str, allowed))
        raise GenotypeError(f"{name} must be one of {listed} (set space.{setting} for others), but it is {shown(value)}")
    return allowed.index(value)


def read_cell(
    fields: Mapping[str, Any], cell: str, nodes: int, operations: Sequence[str], output: Callable[[CellEdges], Sequence[int]]
) -> CellEdges:
    """Reads the fields of one cell.

    Args:
        fields: Values by field.
        cell: ``normal`` or ``reduce``.
        nodes: Number of nodes of a cell.
        operations: Names of the operations of the space.
        output: Returns the states that the output of a cell concatenates in this space.

    Raises:
        GenotypeError: If an edge or a field is invalid; the message states which one.
    """
    edges = fields.get(cell)
    if not isinstance(edges, list | tuple) or len(edges) != 2 * nodes:
        count = f"{len(edges)} of them" if isinstance(edges, list | tuple) else shown(edges)
        raise GenotypeError(f"{cell} must be {2 * nodes} pairs (operation, state), two a node, but it is {count}")
    read = [_edge(edge, cell, place // 2 + INPUTS, operations) for place, edge in enumerate(edges)]
    found: CellEdges = tuple((read[i], read[i + 1]) for i in range(0, len(read), 2))
    expected, given = list(output(found)), fields.get(f"{cell}_concat")
    if not isinstance(given, list | tuple) or sorted(given, key=repr) != sorted(expected, key=repr):
        raise GenotypeError(f"{cell}_concat must be {expected} in this space, but it is {shown(given)}")
    return found


def _edge(edge: Any, cell: str, state: int, operations: Sequence[str]) -> tuple[int, int]:
    if not isinstance(edge, list | tuple) or len(edge) != 2 or not isinstance(edge[0], str):
        raise GenotypeError(f"an edge of {cell} node {state} must be a pair (operation, state), but it is {shown(edge)}")
    name, source = edge
    if name not in operations:
        raise GenotypeError(f"unknown operation {shown(name)} in {cell} node {state}{near_name(name, operations)}")
    if type(source) is not int or not 0 <= source < state:
        raise GenotypeError(f"{cell} node {state} reads states 0..{state - 1}, but one edge reads {shown(source)}")
    return source, operations.index(name)
