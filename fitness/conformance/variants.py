"""Variants of a score with one parameter changed to another value of its type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError


def variants(proxy: Proxy) -> Iterator[tuple[str, Any, Proxy]]:
    """Yields (parameter, value, proxy) for each parameter that can be changed while the others stay the same."""
    kind, values = type(proxy), proxy.parameters.model_dump()
    for field, info in type(proxy.parameters).model_fields.items():
        for value in other_values(info.annotation, getattr(proxy.parameters, field)):
            try:
                changed = kind(kind.Parameters.model_validate({**values, field: value}))
            except (ValidationError, ConfigError):
                continue
            yield field, value, changed
            break


def other_values(annotation: Any, value: Any) -> Iterator[Any]:
    """Yields other values of a type than `value`, the nearest first."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        yield from (choice for choice in inner if choice != value)
    elif origin is Annotated:
        yield from other_values(inner[0], value)
    elif annotation is bool:
        yield not value
    elif annotation in (int, float):
        number = annotation(value) if isinstance(value, int | float) else annotation(1)
        yield from (number + 1, number - 1, 2 * number, number / 2 if annotation is float else number // 2)
    else:
        for part in inner:
            yield from other_values(part, value)
