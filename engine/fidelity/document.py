"""The format of fidelity.json: how well cheaper forms keep the order of networks, and how much faster they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rbflex_evo.engine.run.folder import RunFolder, replace_text
from rbflex_evo.engine.run.result_document import Agreement, Part

from .agreements import OBJECTIVE

FILE = "fidelity.json"
VERSION: Literal[1] = 1


class FormFacts(Part):
    """One form beside the full one.

    Attributes:
        name: The form in words.
        values: The keys of ``fidelity`` without ``rescore``.
        agreement: Kendall with the full form by score; ``objective`` is that of an objective of several scores.
        failed: Number of networks of which a score failed.
        milliseconds: Median time to measure a network in one process.
        speed_up: The full form's median time by that of this form.
    """

    name: str
    values: dict[str, Any]
    agreement: dict[str, Agreement]
    failed: int
    milliseconds: float
    speed_up: float


class FidelityDocument(Part):
    """The content of fidelity.json.

    Attributes:
        name: Name of the configuration.
        space: Name of the space.
        networks: Number of networks that were scored in every form.
        timed: Number of these that were timed.
        decides: Names of the agreements of which the least must reach `at_least`.
        at_least: Kendall from which a form is good enough.
        full: The full form.
        forms: The cheaper forms, in the order in which they were tried.
        left_out: Reasons why forms were not tried, by name.
        environment: Versions and machine.
    """

    version: Literal[1] = VERSION
    name: str
    space: str
    networks: int
    timed: int
    decides: list[str]
    at_least: float
    full: FormFacts
    forms: list[FormFacts]
    left_out: dict[str, str]
    environment: dict[str, str]

    def kendall(self, form: FormFacts) -> float | None:
        """Returns the least agreement of a form among those that decide; None if one is undefined."""
        return least(form.agreement, self.decides)

    @property
    def cheapest(self) -> FormFacts | None:
        """The fastest form that is good enough; None if none is, or none of them is faster than the full form."""
        good = [form for form in self.forms if (self.kendall(form) or 0.0) >= self.at_least and form.speed_up > 1]
        return max(good, key=lambda form: form.speed_up, default=None)


@dataclass(frozen=True)
class Fidelity:
    """The measured forms, and the folder that holds them."""

    folder: Path
    document: FidelityDocument


def least(agreement: dict[str, Agreement], decides: list[str]) -> float | None:
    """Returns the least Kendall among those that decide; None if one is undefined."""
    values = [agreement[name].kendall if name in agreement else None for name in decides]
    known = [value for value in values if value is not None]
    return min(known) if known and len(known) == len(values) else None


def deciding(scores: tuple[str, ...], ranked: bool) -> list[str]:
    """Returns the names of the agreements that decide: that of the objective if it ranks scores, else those of its scores."""
    return [OBJECTIVE] if ranked else list(scores)


def write_document(folder: RunFolder, document: FidelityDocument) -> None:
    """Writes fidelity.json.

    Raises:
        RunError: If it cannot be written.
    """
    text = json.dumps(document.model_dump(mode="json"), indent=2, ensure_ascii=False)
    replace_text(folder.path / FILE, text + "\n")
