"""The section ``fidelity``: a cheaper form in which a search scores its candidates, and how many it scores again in full.

    fidelity: {size: 64, rescore: 100}                       images of 64 x 64 pixels instead of those of `data`
    fidelity: {n: 8, space: {channels: 8}, rescore: 100}     fewer inputs, narrower networks

The form changes what is measured and nothing else: genotypes, keys, costs and constraints are those of the full form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from rbflex_evo.fitness.data.batch import sources
from rbflex_evo.spaces import SPACES, ConfigError, Parameters, near_name
from rbflex_evo.spaces.errors import shown

from .selection import Choice, read_choice

# Sections that know one form only, and why.
ONE_FORM = {"scores": "names a table of scores that are measured already", "compare": "compares at one form"}


class FidelityConfig(Parameters):
    """The section ``fidelity`` of a configuration.

    Attributes:
        size: Height and width of the images; None for those of ``data``.
        n: Number of inputs; None for that of ``data``.
        space: Parameters of the space that make its networks narrower or shallower, such as ``{channels: 8}``.
        rescore: Number of candidates, the best ones by the cheaper form, that are scored again in full at the end.
    """

    size: int | None = Field(default=None, ge=1)
    n: int | None = Field(default=None, ge=2)
    space: dict[str, Any] = Field(default_factory=dict)
    rescore: int = Field(default=100, ge=1)

    @model_validator(mode="after")
    def _has_a_form(self) -> FidelityConfig:
        if self.size is None and self.n is None and not self.space:
            raise PydanticCustomError("form", "needs a cheaper form to search with: size, n or space")
        return self

    @property
    def form(self) -> dict[str, Any]:
        """The cheaper form: the settings that differ from the full one."""
        return self.model_dump(mode="json", exclude={"rescore"}, exclude_defaults=True)


def cheaper(space: Choice, data: Choice, fidelity: FidelityConfig) -> tuple[Choice, Choice]:
    """Returns the space and the inputs of the cheaper form.

    Args:
        space: Space of the full form.
        data: Inputs of the full form.
        fidelity: The cheaper form.

    Raises:
        ConfigError: If space or inputs have no such setting, the form is larger than the full one, or it is the full one.
    """
    inputs, networks = dict(data.values), dict(space.values)
    if fidelity.n is not None:
        inputs["n"] = _at_most("n", fidelity.n, getattr(data.parameters, "n", None), f"data source {data.name!r}")
    if fidelity.size is not None:
        inputs |= _sized(fidelity.size, data)
        if not SPACES.get(space.name).any_size:
            full = getattr(space.parameters, "size", None)
            networks["size"] = _at_most("size", fidelity.size, full, f"space {space.name!r}")
    fields = type(space.parameters).model_fields
    for name, value in fidelity.space.items():
        if name not in fields:
            raise ConfigError(f"unknown key {shown(f'fidelity.space.{name}')}{near_name(str(name), fields)}")
        networks[name] = _at_most(f"space.{name}", value, getattr(space.parameters, name), f"space {space.name!r}")
    found = _choice(space, networks, "name"), _choice(data, inputs, "source")
    if all(now.parameters == before.parameters for now, before in zip(found, (space, data), strict=True)):
        raise ConfigError(f"'fidelity' names the full form, {fidelity.form}; make it cheaper, or leave it out")
    return found


def check_fidelity(fidelity: FidelityConfig, space: Choice, data: Choice, strategy: str, sections: Sequence[str]) -> None:
    """Makes sure that a configuration can be searched in a cheaper form.

    Args:
        fidelity: The section.
        space: Space of the full form.
        data: Inputs of the full form.
        strategy: Name of the strategy.
        sections: Other sections that the configuration has.

    Raises:
        ConfigError: If the form is no cheaper one (see `cheaper`), or the strategy or a section knows one form only.
    """
    cheaper(space, data, fidelity)
    for section, does in ONE_FORM.items():
        if section in sections:
            raise ConfigError(f"'fidelity' scores in two forms, but {section!r} {does}; leave one out")
    if strategy == "map_elites":
        raise ConfigError(
            "'fidelity' scores the best candidates again in full, but cells of 'map_elites' hold candidates of the cheaper form; "
            "leave one out"
        )


def _choice(full: Choice, values: Mapping[str, Any], key: str) -> Choice:
    registry = SPACES if key == "name" else sources
    return read_choice({key: full.name, **values}, "fidelity", key, registry)


def _sized(size: int, data: Choice) -> dict[str, Any]:
    """Returns the parameters of a data source for images of another size."""
    shape = getattr(data.parameters, "shape", None)
    if isinstance(shape, list) and len(shape) == 3:
        _at_most("size", size, min(shape[1:]), "data")
        return {"shape": [shape[0], size, size]}
    full = getattr(data.parameters, "size", None)
    return {"size": _at_most("size", size, full, f"data source {data.name!r}")}


def _at_most(key: str, value: Any, full: Any, where: str) -> Any:
    """Returns a setting of the form.

    Raises:
        ConfigError: If the full form has no such number, or a smaller one.
    """
    if not isinstance(full, int | float) or isinstance(full, bool):
        raise ConfigError(f"'fidelity.{key}' is given, but {where} has no number {key.rpartition('.')[2]!r} to make smaller")
    if not isinstance(value, int | float) or isinstance(value, bool) or value > full:
        raise ConfigError(f"'fidelity.{key}' must be a number of at most {full}, that of the full form, but it is {shown(value)}")
    return value
