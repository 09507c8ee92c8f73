"""The entries of the section ``compare`` that span several settings, as sections of a configuration that are not checked yet.

compare:
  strategies: [random, genetic]
  budgets: [100, 200]
  spaces: [nats_tss, {name: toy, genes: 6, label: small toy, scores: runs/toy-table/scores.npz}]
  objectives: [naswot, {preset: rbflex_robust}, {proxies: {flops: {}}, label: fewest}]

compare:
  strategies: [random, genetic]
  settings:
  - {space: nats_tss, fitness: {objective: naswot}, scores: runs/tss-table/scores.npz}
  - {space: nats_sss, fitness: {objective: flops}, label: sss by flops}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rbflex_evo.spaces import ConfigError, near_name, parse
from rbflex_evo.spaces.errors import shown

from .compare_section import CompareParameters
from .selection import NAME, NAME_RULE

LISTS = ("spaces", "objectives", "budgets", "settings")
# What an entry of `spaces` may have in addition to the parameters of the space.
OF_A_SPACE = ("data", "table", "scores")
KEYS = ("label", "space", "fitness", *OF_A_SPACE)


@dataclass(frozen=True)
class Entry:
    """Sections that replace those of the configuration, and the labels that were given to them."""

    where: str
    sections: Mapping[str, Any]
    label: str | None = None
    space: str | None = None
    objective: str | None = None


def entries_of(compare: CompareParameters) -> list[Entry]:
    """Returns the combinations of spaces and objectives, or the listed settings.

    Raises:
        ConfigError: If an entry has another form.
    """
    if compare.settings:
        return [_listed(entry, f"compare.settings.{i}") for i, entry in enumerate(compare.settings)]
    spaces = [_space(entry, f"compare.spaces.{i}") for i, entry in enumerate(compare.spaces)] or [Entry("", {})]
    objectives = [_objective(entry, f"compare.objectives.{i}") for i, entry in enumerate(compare.objectives)]
    return [
        Entry(
            ", ".join(filter(None, (space.where, objective.where))) or "compare",
            {**space.sections, **objective.sections},
            space=space.space,
            objective=objective.objective,
        )
        for space in spaces
        for objective in objectives or [Entry("", {})]
    ]


def _space(entry: Any, where: str) -> Entry:
    if not isinstance(entry, Mapping):
        return Entry(where, {"space": entry})
    brought = {key: entry[key] for key in OF_A_SPACE if key in entry}
    space = {key: value for key, value in entry.items() if key not in ("label", *OF_A_SPACE)}
    return Entry(where, {"space": space, **brought}, space=_label(entry, where))


def _objective(entry: Any, where: str) -> Entry:
    if isinstance(entry, str):
        return Entry(where, {"fitness": {"objective": entry}}, objective=entry)
    if not isinstance(entry, Mapping):
        raise ConfigError(
            f"'{where}': should be a score, {{preset: NAME}} or a mapping as the section 'fitness', but it is {shown(entry)}"
        )
    fitness = {key: value for key, value in entry.items() if key != "label"}
    return Entry(where, {"fitness": fitness}, objective=_label(entry, where))


def _listed(entry: Any, where: str) -> Entry:
    if not isinstance(entry, Mapping):
        raise ConfigError(f"'{where}': should be a mapping with the keys {', '.join(KEYS)}, but it is {shown(entry)}")
    unknown = [str(key) for key in entry if key not in KEYS]
    if unknown:
        raise ConfigError(f"'{where}' has the unknown key {shown(unknown[0])}{near_name(unknown[0], KEYS)}")
    if "fitness" in entry and not isinstance(entry["fitness"], Mapping):
        raise ConfigError(f"'{where}.fitness': should be a mapping as the section 'fitness', but it is {shown(entry['fitness'])}")
    return Entry(where, {key: value for key, value in entry.items() if key != "label"}, label=_label(entry, where))


def first_sections(compare: Mapping[str, Any]) -> dict[str, Any]:
    """Returns space, fitness and budget of the first setting of a section ``compare``, as far as its lists name them.

    Raises:
        ConfigError: If the section or an entry has another form.
    """
    if not any(compare.get(key) for key in LISTS):
        return {}
    parameters = parse(CompareParameters, compare, "compare")
    sections = entries_of(parameters)[0].sections
    budget = {"budget": {"evaluations": parameters.budgets[0]}} if parameters.budgets else {}
    return {**{key: sections[key] for key in ("space", "fitness") if key in sections}, **budget}


def _label(entry: Mapping[Any, Any], where: str) -> str | None:
    label = entry.get("label")
    if label is not None and (not isinstance(label, str) or not NAME.fullmatch(label)):
        raise ConfigError(f"'{where}.label': should be {NAME_RULE}, but it is {shown(label)}")
    return label
