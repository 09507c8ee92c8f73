"""The cheaper forms of a configuration: smaller images, fewer inputs, narrower and shallower networks, and pairs of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from rbflex_evo.engine.configuration.config import Config
from rbflex_evo.engine.configuration.fidelity_section import FidelityConfig
from rbflex_evo.engine.configuration.form import cheap_form
from rbflex_evo.engine.terminal.wording import flat
from rbflex_evo.spaces import SPACES, ConfigError
from rbflex_evo.spaces.errors import reason

# Parts of the full size of the images, of the number of inputs, and of a number that makes networks narrower or shallower.
SIZES, INPUTS, SCALES = (7 / 8, 3 / 4, 5 / 8, 1 / 2, 3 / 8, 1 / 4, 1 / 8), (1 / 2, 1 / 4), (1 / 2, 1 / 4)
NARROWER, SHALLOWER = ("channels", "width"), ("cells", "layers")
SMALLEST = 8
# For each kind of change, so many forms that are good enough are tried in pairs, the cheapest ones.
PAIRED = 2

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """A form of a configuration.

    Attributes:
        values: The keys of ``fidelity`` without ``rescore``; empty for the full form.
        kind: What is smaller: ``size``, ``n`` or a parameter of the space; empty for the full form, ``pair`` for two changes.
    """

    values: Values
    kind: str

    @property
    def name(self) -> str:
        """The form in words, such as "size 64, n 8"; "full" for the full form."""
        return ", ".join(f"{path.rpartition(' · ')[2]} {text}" for path, text in flat(self.values)) or "full"

    @property
    def stem(self) -> str:
        """Name of the form's files."""
        return self.name.replace(", ", "-").replace(" ", "-")

    def config(self, base: Config) -> Config:
        """Returns the configuration whose evaluator scores in this form.

        Args:
            base: A configuration without ``fidelity``.

        Raises:
            ConfigError: If the form is no form of the configuration.
        """
        return cheap_form(base.model_copy(update={"fidelity": FidelityConfig(**self.values)})) if self.values else base


FULL = Form({}, "")


def single_forms(base: Config) -> tuple[list[Form], dict[str, str]]:
    """Returns the forms with one change, the cheapest of each kind last, and the reasons why others are left out.

    Args:
        base: A configuration without ``fidelity``.
    """
    found: list[Form] = []
    refused: dict[str, str] = {}
    for form in _candidates(base):
        try:
            form.config(base)
        except ConfigError as error:
            refused[form.name] = reason(error)
        else:
            found.append(form)
    return found, refused


def pairs_of(good: Sequence[Form]) -> list[Form]:
    """Returns the forms with two changes of different kinds, made of the cheapest of the given forms with one change."""
    kinds = list(dict.fromkeys(form.kind for form in good))
    cheapest = {kind: [form for form in good if form.kind == kind][-PAIRED:] for kind in kinds}
    return [
        Form(_merged(one.values, other.values), "pair")
        for first, second in combinations(kinds, 2)
        for one in cheapest[first]
        for other in cheapest[second]
    ]


def _merged(one: Values, other: Values) -> Values:
    space = {**one.get("space", {}), **other.get("space", {})}
    return {**one, **other, **({"space": space} if space else {})}


def _candidates(base: Config) -> Iterator[Form]:
    data, space = base.data.parameters, base.space.parameters
    shape = getattr(data, "shape", None)
    size = min(shape[1:]) if isinstance(shape, list) and len(shape) == 3 else getattr(data, "size", None)
    if isinstance(size, int) and (SPACES.get(base.space.name).any_size or isinstance(getattr(space, "size", None), int)):
        # Most networks halve their maps several times.
        step = 32 if size >= 128 else 8 if size >= 64 else 4
        yield from (Form({"size": value}, "size") for value in _parts(size, SIZES, step, SMALLEST))
    n = getattr(data, "n", None)
    if isinstance(n, int):
        yield from (Form({"n": value}, "n") for value in _parts(n, INPUTS, 1, 2))
    for name in (*NARROWER, *SHALLOWER):
        full = getattr(space, name, None)
        if isinstance(full, float):
            yield from (Form({"space": {name: full * part}}, name) for part in SCALES)
        elif isinstance(full, int):
            yield from (Form({"space": {name: value}}, name) for value in _parts(full, SCALES, 1, 1))


def _parts(full: int, parts: Sequence[float], step: int, least: int) -> list[int]:
    """Returns multiples of `step` near parts of a number, the largest first, below it and not below `least`."""
    values = dict.fromkeys(step * max(1, round(part * full / step)) for part in parts)
    return [value for value in values if least <= value < full]
