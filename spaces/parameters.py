"""Typed parameters of anything that a configuration names: strict types, no unknown keys, errors that name the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigError, near_name


class Parameters(BaseModel):
    """Base of every parameter set: unknown keys are errors, ``"3"`` is not a number, values do not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """Returns `values` as a `model`.

    Raises:
        ConfigError: one line that names the key below `where`, what came, what was expected and the nearest known key.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_one_line(model, error, where)) from None


def _one_line(model: type[BaseModel], error: ValidationError, where: str) -> str:
    # One problem is enough: a user mends one key at a time, and others often follow from it, as a missing key does
    # from a misspelt one.
    problem = _of_alternatives(error.errors(), min(error.errors(), key=lambda one: one["type"] != "extra_forbidden"))
    path = [str(part) for part in problem["loc"] if not _is_tag(part)]
    name = ".".join(([where] if where else []) + path)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {name!r}{near_name(path[-1], _fields(model, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{name!r} is missing"
    if problem["type"] == "value_error":  # of a model's own validator, whose message says it all
        return f"{name!r}: {problem['ctx']['error']}"
    return f"{name!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}, but it is {problem['input']!r}"


def _of_alternatives(problems: list[Any], first: Any) -> Any:
    """Where a value may be of several types, returns what is wrong with it as the type that it has, or else all that it may be."""
    tags = [i for i, part in enumerate(first["loc"]) if _is_tag(part)]
    if not tags:
        return first
    same = [one for one in problems if one["loc"][: tags[0]] == first["loc"][: tags[0]]]
    for one in same:
        if one["type"] != "literal_error" and not one["type"].endswith("_type"):
            return one
    return {**first, "msg": " or ".join([first["msg"], *(one["msg"].partition(" should be ")[2] for one in same[1:])])}


def _is_tag(part: object) -> bool:
    # Pydantic puts the alternative that it tried, such as "list[int]", into the path.
    return isinstance(part, str) and part.endswith("]") and "[" in part


def _fields(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        inner = None if field is None else field.annotation
        candidates = [inner, *getattr(inner, "__args__", ())]
        models = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not models:
            return []
        model = models[0]
    return list(model.model_fields)
