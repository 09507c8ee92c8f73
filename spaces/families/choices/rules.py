"""Conditions and forbidden combinations: an expression such as ``depth >= 3 and act == 'relu'``, or a function.

Expressions hold names of choices, numbers, texts, lists, comparisons, ``in``, ``and``, ``or``, ``not`` and arithmetic. They are
evaluated here and run no code. A function takes the choices that it reads as arguments, by name.
"""

from __future__ import annotations

import ast
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rbflex_evo.spaces.encodings.conditional import INACTIVE, Rule
from rbflex_evo.spaces.errors import ConfigError, listed, near_name, reason, shown
from rbflex_evo.spaces.literals import expression

from .functions import arguments_of

# Most combinations of values for which a rule is tried when the space is made.
MOST_TRIED = 10_000

_COMPARISONS: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}


def evaluated(node: ast.expr, values: Mapping[str, Any]) -> Any:
    """Returns the value of an expression.

    Args:
        node: Its syntax tree, which holds nothing but what the module's docstring names.
        values: Values of names.
    """
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return values[node.id]
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return tuple(evaluated(part, values) for part in parts)
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(evaluated(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(evaluated(part, values) for part in parts)
        case ast.UnaryOp(op=ast.Not()):
            return not evaluated(node.operand, values)
        case ast.UnaryOp(op=ast.USub()):
            return -evaluated(node.operand, values)
        case ast.BinOp():
            return _ARITHMETIC[type(node.op)](evaluated(node.left, values), evaluated(node.right, values))
        case ast.Compare():
            sides = [evaluated(side, values) for side in (node.left, *node.comparators)]
            return all(_COMPARISONS[type(op)](*pair) for op, *pair in zip(node.ops, sides, sides[1:], strict=False))
    raise AssertionError(f"{type(node).__name__} was not checked")


_ALLOWED = (
    *(ast.Constant, ast.Name, ast.Load, ast.List, ast.Tuple, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub),
    *(ast.BinOp, ast.Compare, *_COMPARISONS, *_ARITHMETIC),
)
_tree = lru_cache(maxsize=1024)(expression)


@dataclass(frozen=True)
class Expression:
    """A test of choices, called with the values of `names`."""

    text: str
    names: tuple[str, ...]

    def __call__(self, values: Mapping[str, Any]) -> bool:
        """Returns whether the expression holds."""
        return bool(evaluated(_tree(self.text), values))


@dataclass(frozen=True)
class ByName:
    """A test of choices, called with the values of `names`, or of those among them that are active."""

    function: Callable[..., Any]
    names: tuple[str, ...]
    only_active: bool

    def __call__(self, values: Mapping[str, Any]) -> bool:
        """Returns whether the function returns something true."""
        return bool(self.function(**values))


def read_expression(text: str, choices: Sequence[str], where: str) -> Expression:
    """Reads an expression.

    Args:
        text: The expression.
        choices: Names of the choices that it may read.
        where: Key of the expression in the configuration, for error messages.

    Raises:
        ConfigError: If it is malformed, reads no choice or an unknown one, or holds something that is not allowed.
    """
    try:
        nodes = list(ast.walk(_tree(text)))
    except ValueError:
        raise ConfigError(f"{where!r}: {shown(text)} is neither an expression such as 'depth >= 3' nor 'module:function'") from None
    strange = [node for node in nodes if not isinstance(node, _ALLOWED)]
    if strange:
        raise ConfigError(
            f"{where!r}: {shown(text)} holds more than choices, numbers, texts, comparisons and arithmetic "
            f"({type(strange[0]).__name__}); use a function: 'module:function'"
        )
    names = sorted({node.id for node in nodes if isinstance(node, ast.Name)})
    unknown = [name for name in names if name not in choices]
    if unknown:
        near = near_name(unknown[0], choices)
        raise ConfigError(f"{where!r}: {shown(text)} reads {unknown[0]!r}, which is no choice{near}; quote texts")
    if not names:
        raise ConfigError(f"{where!r}: {shown(text)} reads no choice, so it is always the same")
    return Expression(text, tuple(names))


def check_values(test: Expression, choices: Mapping[str, Sequence[Any]], where: str) -> None:
    """Checks that an expression compares a choice, by ``==`` or ``!=``, with a value that it has, or one of them by ``in``.

    Args:
        test: The expression.
        choices: Values of each choice by name.
        where: Key of the expression in the configuration, for error messages.

    Raises:
        ConfigError: If it compares a choice with another value.
    """
    for node in ast.walk(_tree(test.text)):
        for name, values in _compared(node) if isinstance(node, ast.Compare) else ():
            if not any(value in choices[name] for value in values):
                value, texts = (*values, "nothing")[0], [str(each) for each in choices[name]]
                near = near_name(value, texts) if isinstance(value, str) else f"; known: {listed(texts)}"
                raise ConfigError(
                    f"{where!r}: {shown(test.text)} compares {name!r} with {shown(value)}, which is no value of it{near}"
                )


def _compared(comparison: ast.Compare) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yields each name that is compared for equality or by ``in``, with the constant values for it."""
    sides = [comparison.left, *comparison.comparators]
    for op, left, right in zip(comparison.ops, sides, sides[1:], strict=False):
        equal = isinstance(op, ast.Eq | ast.NotEq)
        for name, other in ((left, right), (right, left)) if equal else ((left, right),):
            constant = not any(isinstance(each, ast.Name) for each in ast.walk(other))
            if isinstance(name, ast.Name) and constant and (equal or isinstance(op, ast.In | ast.NotIn)):
                value = evaluated(other, {})
                if equal:
                    yield name.id, (value,)
                elif isinstance(value, tuple):
                    yield name.id, value


def check_outcomes(found: Rule, choices: Mapping[str, Sequence[Any]], where: str, always: str, never: str, sure: bool) -> None:
    """Checks that a rule holds for some values of the choices that it reads, and not for others.

    A rule is taken as it is if it reads INACTIVE choices, fails for some values, or reads too many values to go through.

    Args:
        found: The rule.
        choices: Values of each choice by name, in the order of the genes.
        where: Key of the rule in the configuration, for error messages.
        always: The way out if it always holds.
        never: The way out if it never holds.
        sure: Whether all choices that it reads are always active; otherwise it may always hold where they are.

    Raises:
        ConfigError: If it always or never holds.
    """
    ranges = [range(len(list(choices.values())[i])) for i in found.reads]
    if found.partial or math.prod(map(len, ranges)) > MOST_TRIED:
        return
    outcomes = set()
    for genes in itertools.product(*ranges):
        try:
            outcomes.add(found.holds(*genes))
        except ConfigError:  # told when a candidate has these values; another rule may forbid them
            return
        if len(outcomes) > 1:
            return
    if outcomes == {False} or sure:
        how, way_out = ("always", always) if True in outcomes else ("never", never)
        names = ", ".join(list(choices)[i] for i in found.reads)
        raise ConfigError(f"{where!r}: {shown(found.text)} {how} holds, whatever the values of {names}; {way_out}")


def read_function(function: Callable[..., Any], choices: Sequence[str], where: str, *, all_of_them: bool) -> ByName:
    """Returns a function as a test of the choices that its arguments name.

    Args:
        function: The function.
        choices: Names of the choices that it may read.
        where: Key of the function in the configuration, for error messages.
        all_of_them: Whether it may take ``**choices``, which are then all active choices.

    Raises:
        ConfigError: If it needs an argument that is no choice, or reads no choice.
    """
    known, any_other = arguments_of(function)
    if any_other and all_of_them:
        return ByName(function, tuple(choices), only_active=True)
    strange = [name for name, default in known.items() if not default and name not in choices]
    if strange:
        raise ConfigError(f"{where!r}: its function reads {strange[0]!r}, which is no choice{near_name(strange[0], choices)}")
    names = tuple(name for name in known if name in choices)
    if not names:
        raise ConfigError(f"{where!r}: its function names no choice among its arguments; name those that it reads")
    return ByName(function, names, only_active=False)


@dataclass(frozen=True)
class OfGenes:
    """A test of choices as a test of genes.

    Attributes:
        test: Called with the values of the active choices among those that it reads.
        values: Values of each of these choices.
        text: The test in words, for messages.
    """

    test: Expression | ByName
    values: tuple[tuple[Any, ...], ...]
    text: str

    def __call__(self, *genes: int) -> bool:
        """Returns whether the test holds for genes."""
        read = zip(self.test.names, genes, self.values, strict=True)
        given = {name: values[gene] for name, gene, values in read if gene != INACTIVE}
        try:
            return self.test(given)
        except Exception as error:  # the function of a user may raise anything
            named = ", ".join(f"{name}={value!r}" for name, value in given.items())
            raise ConfigError(f"the rule {self.text} failed for {named} ({reason(error)})") from error


def rule(test: Expression | ByName, choices: Mapping[str, Sequence[Any]], text: str) -> Rule:
    """Returns a rule of an encoding whose genes are positions among the values of choices.

    Args:
        test: Expression or function.
        choices: Values of each choice by name, in the order of the genes.
        text: The rule in words, for messages.
    """
    names = list(choices)
    reads = tuple(names.index(name) for name in test.names)
    partial = isinstance(test, ByName) and test.only_active
    return Rule(reads, OfGenes(test, tuple(tuple(choices[name]) for name in test.names), text), text, partial)
