"""Parameters of strategies that a configuration leaves unset: chosen when a run begins, and kept from then on.

    strategy: genetic                                       what the user wrote
    budget: {evaluations: 200}

    strategy: {name: genetic, population: 14, ...}          what the run writes into its folder
    chosen: {strategy: [population, ...]}

A later session of the run, also one with another budget, keeps what was chosen. A run of a version that chose nothing has no
`chosen`, and keeps the defaults of the strategy's class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rbflex_evo.spaces import SearchSpace
from rbflex_evo.strategies import STRATEGIES, Situation, Strategy
from rbflex_evo.strategies.auto import Auto

from .config import Config
from .selection import Choice, read_choice

# Keys of `Config.chosen`: the section of the strategy, and what precedes the label of a contender.
STRATEGY, COMPARED = "strategy", "compare "
# In a list of `Config.chosen`: the name of the strategy itself.
NAME = "name"


def settled(config: Config, space: SearchSpace, began: Config | None = None) -> Config:
    """Returns the configuration of a search with the parameters of its strategy that follow the budget and the space.

    Args:
        config: The configuration as its user wrote it.
        space: Its space.
        began: The configuration in the folder of the run if the run has begun; what it chose is kept.
    """
    before = None if began is None else (began.strategy, began.chosen.get(STRATEGY, []))
    strategy, names = _settled(config.strategy, config.chosen.get(STRATEGY, []), _situation(config, space), before, STRATEGY)
    return config.model_copy(update={"strategy": strategy, **_recorded(config, {STRATEGY: names})})


def settled_comparison(config: Config, space: SearchSpace, began: Config | None = None) -> Config:
    """Returns the configuration of a comparison with such parameters of every contender.

    Args:
        config: The configuration as its user wrote it.
        space: Its space.
        began: The configuration in the folder of the comparison if the comparison has begun.

    Raises:
        ConfigError: If the comparison is wrong; see `Config.plan`.
    """
    situation = _situation(config, space)
    earlier = {} if began is None else {contender.label: contender.strategy for contender in began.plan().contenders}
    strategies, chosen = [], {}
    for contender in config.plan().contenders:
        section = f"{COMPARED}{contender.label}"
        before = None
        if began is not None and contender.label in earlier:
            before = (earlier[contender.label], began.chosen.get(section, []))
        strategy, names = _settled(contender.strategy, config.chosen.get(section, []), situation, before, section)
        strategies.append({"label": contender.label, "name": strategy.name, **strategy.values})
        chosen[section] = names
    return config.model_copy(update={"compare": {**(config.compare or {}), "strategies": strategies}, **_recorded(config, chosen)})


def _situation(config: Config, space: SearchSpace) -> Situation:
    objectives = config.fitness.objective.pareto
    return Situation.of(config.budget.evaluations, space.encoding.size, 1 if objectives is None else len(objectives))


def _settled(
    choice: Choice, recorded: list[str], situation: Situation, before: tuple[Choice, list[str]] | None, section: str
) -> tuple[Choice, list[str]]:
    """Returns a strategy with its parameters, and the names of what was chosen."""
    kept = [name for name in recorded if name in choice.values or name == NAME]
    strategy: type[Strategy] = STRATEGIES.get(choice.name)
    if before is not None:
        earlier, names = before
        if issubclass(strategy, Auto) and NAME in names:
            return earlier, names
        if choice.name == earlier.name:
            # What was not chosen when the run began keeps the default of the class, whatever the rule says today.
            unset = strategy.defaults_for(situation, choice.values).keys() | set(names) - {NAME} - choice.values.keys()
            values = {
                name: earlier.values.get(name, getattr(choice.parameters, name)) for name in sorted(unset - choice.values.keys())
            }
            found = _with(choice.name, {**choice.values, **values}, section)
            return found, names if found.parameters == earlier.parameters else kept
    if issubclass(strategy, Auto):
        choice, kept = _with(Auto.choice(situation), {}, section), [NAME]
        strategy = STRATEGIES.get(choice.name)
    values = {k: v for k, v in strategy.defaults_for(situation, choice.values).items() if k not in choice.values}
    return _with(choice.name, {**choice.values, **values}, section), [*kept, *values]


def _with(name: str, values: Mapping[str, Any], section: str) -> Choice:
    return read_choice({"name": name, **values}, section, "name", STRATEGIES)


def _recorded(config: Config, chosen: dict[str, list[str]]) -> dict[str, object]:
    found = {**config.chosen, **chosen}
    found = {section: names for section, names in found.items() if names}
    # A run without such parameters is written as earlier versions did.
    return {"chosen": found} if found or config.chosen else {}
