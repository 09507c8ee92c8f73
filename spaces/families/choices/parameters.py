"""The parameters of the space ``choices``, as a configuration gives them; functions are named by their path."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import Field, field_serializer, field_validator, model_validator
from pydantic_core import PydanticCustomError

from rbflex_evo.spaces.errors import near_name, shown
from rbflex_evo.spaces.parameters import Parameters

from .functions import PATH
from .notation import written


class ChoicesParameters(Parameters):
    """Parameters of the space ``choices``; without `build` and `choices`, they are those of `example.EXAMPLE`.

    Attributes:
        build: The function or class that builds a network, as ``module:function``; it takes the choices as arguments, by name.
        choices: Values of each choice, by name.
        input_shape: Shape [channels, height, width] of one image, or [length] of one sentence.
        arguments: Other arguments of `build`, by name, the same for every network.
        conditions: When a choice is active, by its name: an expression such as ``depth >= 3``, or ``module:function``.
        forbidden: Combinations that are left out, in the same forms.
        ordered: Choices whose neighbouring values are the only steps; by default those of rising or falling numbers.
        inputs: Kind of input.
        vocabulary: Number of word ids, if the inputs are words.
        classifier: Name of the layer whose input is the feature vector; by default the linear layer that is registered last.
    """

    build: str
    choices: dict[str, list[Any]] = Field(min_length=1)
    input_shape: list[int] = Field(min_length=1)
    arguments: dict[str, Any] = Field(default_factory=dict)
    conditions: dict[str, str] = Field(default_factory=dict)
    forbidden: list[str] = Field(default_factory=list)
    ordered: list[str] | None = None
    inputs: Literal["images", "words"] = "images"
    vocabulary: int = Field(default=0, ge=0)
    classifier: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _example(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and not {"build", "choices"} & set(values):
            from .example import EXAMPLE

            return {**EXAMPLE, **values}
        return values

    @field_validator("build")
    @classmethod
    def _is_a_path(cls, value: str) -> str:
        if not PATH.fullmatch(value):
            raise PydanticCustomError("path", "should be 'module:function', as in 'my_package.net:build'")
        return value

    @field_validator("choices", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        # As `_written_as_pairs` writes it.
        if isinstance(value, list) and all(isinstance(each, list | tuple) and len(each) == 2 for each in value):
            return dict(value)
        for name, values in value.items() if isinstance(value, Mapping) else ():
            if isinstance(values, set | frozenset | Mapping):
                raise ValueError(f"the values of {shown(name)} are {shown(values)}; expected a list, whose order is kept")
        return value

    @field_validator("choices")
    @classmethod
    def _has_values(cls, value: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for name, values in value.items():
            if not name.isidentifier():
                raise ValueError(f"{shown(name)} is no name of an argument")
            if not values:
                raise ValueError(f"{name!r} has no values")
            for each in values:
                check_plain(each, name)
            texts = [written(each) for each in values]
            twice = [text for text in texts if texts.count(text) > 1]
            if twice:
                raise ValueError(f"{name!r} has the value {twice[0]} twice")
        return value

    @field_validator("input_shape")
    @classmethod
    def _is_positive(cls, value: list[int]) -> list[int]:
        if min(value) < 1:
            raise PydanticCustomError("shape", "should be positive whole numbers")
        return value

    @model_validator(mode="after")
    def _fits(self) -> ChoicesParameters:
        named = {"conditions": self.conditions, "ordered": self.ordered or (), "arguments": ()}
        for key, names in named.items():
            for name in names:
                if name not in self.choices:
                    raise ValueError(f"{key} names {shown(name)}, which is no choice{near_name(name, self.choices)}")
        both = [name for name in self.arguments if name in self.choices]
        if both:
            raise ValueError(f"{both[0]!r} is among the choices and the arguments; leave one out")
        length = 1 if self.inputs == "words" else 3
        if len(self.input_shape) != length:
            expected = "[length]" if self.inputs == "words" else "[channels, height, width]"
            raise ValueError(f"input_shape of {self.inputs} should be {expected}, but it is {self.input_shape}")
        if (self.inputs == "words") != (self.vocabulary > 1):
            raise ValueError(f"inputs are {self.inputs}, so vocabulary should be {'at least 2' if length == 1 else 'left out'}")
        return self

    @field_serializer("choices", when_used="json")
    def _written_as_pairs(self, value: dict[str, list[Any]]) -> list[list[Any]]:
        # The order of choices is the order of genes, and must survive where keys are sorted.
        return [[name, values] for name, values in value.items()]


def plain(value: Any) -> Any:
    """Returns a value of Python as YAML would give it: numbers of numpy as numbers, tuples and ranges as lists.

    Sets have no order, and are returned as they are.
    """
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, str | bytes | set | frozenset):
        return value
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if isinstance(value, Iterable) and not isinstance(value, type):
        return [plain(each) for each in value]
    return value


def check_plain(value: Any, name: str) -> None:
    """Checks that a value of a choice is a finite number, a text, a truth value, None, or a list of these.

    Raises:
        ValueError: If it is anything else.
    """
    if isinstance(value, list):
        for each in value:
            check_plain(each, name)
    elif not (value is None or isinstance(value, bool | int | float | str)):
        raise ValueError(
            f"a value of {name!r} is {shown(value)}; expected a number, a text, a truth value, None, or a list of these "
            "(choose classes and functions by name, in build)"
        )
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a value of {name!r} is {value}; expected a finite number (None may stand for no limit)")
