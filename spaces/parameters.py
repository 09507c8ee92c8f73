"""Typed parameters of every component that a configuration can select: strict types, no unknown keys, errors that name the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import ConfigError, near_name, shown


class Parameters(BaseModel):
    """Base class of every parameter set: unknown keys are errors, types are strict, instances are immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def refuse_without_effect(parameters: BaseModel, name: str, condition: str) -> None:
    """Refuses a parameter that other parameters leave without effect, unless it has its default; for validators.

    Args:
        parameters: The parameters.
        name: Name of the parameter.
        condition: What leaves it without effect, as in "without a repair that masks".

    Raises:
        ValueError: If it differs from its default.
    """
    value = getattr(parameters, name)
    if value != type(parameters).model_fields[name].get_default(call_default_factory=True):
        raise ValueError(f"{name} {shown(value)} has no effect {condition}; leave it out")


Model = TypeVar("Model", bound=BaseModel)


def parse(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """Returns `values` as an instance of `model`.

    Args:
        model: Class of the parameters.
        values: Values by name.
        where: Key of the section in the configuration, for error messages.

    Raises:
        ConfigError: If a value is invalid; one line with the key, the given value, the expected one and the nearest known key.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(_one_line(model, error, where)) from None


def _one_line(model: type[BaseModel], error: ValidationError, where: str) -> str:
    # Only one problem is reported: others often follow from it, as a missing key follows from a misspelt one.
    problem = _of_alternatives(error.errors(), min(error.errors(), key=lambda one: one["type"] != "extra_forbidden"))
    path = [str(part) for part in problem["loc"] if not _is_tag(part)]
    name = ".".join(([where] if where else []) + path)
    if problem["type"] == "extra_forbidden":
        return f"unknown key {shown(name)}{near_name(path[-1], _fields(model, path[:-1]))}"
    if problem["type"] == "missing":
        return f"{shown(name)} is missing"
    if problem["type"] == "value_error":  # raised by a validator of the model, whose message is complete
        return f"{shown(name)}: {problem['ctx']['error']}"
    return f"{shown(name)}: {problem['msg'][0].lower()}{problem['msg'][1:]}, but it is {shown(problem['input'])}"


def _of_alternatives(problems: list[Any], first: Any) -> Any:
    """Returns the problem to report where a value may have several types: that of its own type, or else all allowed types."""
    tags = [i for i, part in enumerate(first["loc"]) if _is_tag(part)]
    if not tags:
        return first
    same = [one for one in problems if one["loc"][: tags[0]] == first["loc"][: tags[0]]]
    for one in same:
        if one["type"] != "literal_error" and not one["type"].endswith("_type"):
            return one
    return {**first, "msg": " or ".join([first["msg"], *(one["msg"].partition(" should be ")[2] for one in same[1:])])}


def _is_tag(part: object) -> bool:
    # Pydantic adds the alternative that it tried, such as "list[int]", to the path.
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
    return [field.alias or name for name, field in model.model_fields.items()]
