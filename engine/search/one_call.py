"""`search`: a search in one call, from a space and the settings of a configuration by name.

    from rbflex_evo import Choices, search
    space = Choices(build, depth=[2, 3, 4], width=[32, 64, 96], input_shape=(3, 32, 32))
    result = search(space, limits={"params": 1e6}, evaluations=500)

The call is a configuration: the same settings in a YAML file give the same journal, in the same folder. Calling it again resumes
the run or returns its result.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any

from rbflex_evo.engine.configuration.config import BudgetConfig, Config, parse_config
from rbflex_evo.engine.run.folder import begun
from rbflex_evo.fitness.data.inputs import default_data
from rbflex_evo.spaces import SPACES, ConfigError, RunError, SearchSpace, create_space
from rbflex_evo.spaces.errors import shown

from .callback import Callback
from .result import Result
from .search import Search

# Unless the call says otherwise.
EVALUATIONS = 500
STRATEGY = "auto"
# Before `auto` existed; runs that began with it go on with it.
EARLIER_STRATEGY = "genetic"
# For spaces without known accuracies; see docs/results/which-score.md.
FITNESS: dict[str, dict[str, Any]] = {
    "images": {"preset": "rbflex_robust"},
    "words": {"proxies": {"rbflex": {}}, "objective": {"score": "rbflex"}},
}
OWN = ("space", "budget", "fitness")


def search(
    space: SearchSpace | str | Mapping[str, Any],
    *,
    limits: Mapping[str, float | Mapping[str, Any]] | None = None,
    evaluations: int | None = None,
    seconds: float | None = None,
    generations: int | None = None,
    preset: str | None = None,
    proxies: str | Sequence[str] | Mapping[str, Any] | None = None,
    objective: str | Mapping[str, Any] | None = None,
    quiet: bool = False,
    report: bool = True,
    callbacks: Iterable[Callback] = (),
    **settings: Any,
) -> Result:
    """Searches a space and returns the result.

    If the folder of the run, ``runs/NAME``, holds an unfinished run of an equal call, the run is resumed. A finished run gives its
    result.

    Args:
        space: A space, as from `Choices` or `create_space`, a registered name, or a name with parameters, as in
            ``{"name": "toy", "genes": 8}``.
        limits: Limits of costs by metric: a number for the largest allowed value, or ``{"min": ..., "max": ...}``.
        evaluations: Number of distinct architectures to evaluate; by default 500, unless another limit is given.
        seconds: Time of the search.
        generations: Number of generations of the strategy.
        preset: Named combination of scores, which is the objective; further `proxies` are measured and recorded, and parameters of
            its own members replace its parameters. By default ``rbflex_robust`` for images and the score ``rbflex`` for words.
        proxies: Scores: one name, names, or parameters by name. Several are combined by rank unless `objective` says otherwise.
        objective: How scores become one utility: the name of a score, or the section ``fitness.objective``.
        quiet: Whether to show no progress.
        report: Whether to write report.html at the end.
        callbacks: Told of evaluations, snapshots and the end, in this order; see `Callback`.
        **settings: Other keys of a configuration, such as ``strategy``, ``data``, ``name``, ``seed``, ``workers``, ``cache``,
            ``table`` and ``fitness`` (for ``weights`` and ``constraints``).

    Raises:
        ConfigError: If a setting is unknown or wrong; the message names it as a configuration does.
        UnknownNameError: If a name is not registered.
        RunError: If the folder holds another run, or the code of the space has changed since that run began.
        Interrupted, Stopped: After Ctrl-C or another stop signal, everything saved.
    """
    for name, flag in (("quiet", quiet), ("report", report)):
        if not isinstance(flag, bool):
            raise ConfigError(f"{name!r} should be True or False, but it is {shown(flag)}")
    budget = {"evaluations": evaluations, "seconds": seconds, "generations": generations}
    fitness = {"preset": preset, "proxies": proxies, "objective": objective, "limits": limits}
    config, built = configured(space, budget, fitness, settings)
    with worded(r"--set (name|runs)=", r"\1="):
        return Search(config, space=built, quiet=quiet, report=report, callbacks=callbacks).run()


def configured(
    space: SearchSpace | str | Mapping[str, Any], budget: Mapping[str, Any], fitness: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[Config, SearchSpace]:
    """Returns the configuration of a call of `search`, and its space.

    Args:
        space: As in `search`.
        budget: Limits of the search by name; None for those that are not given.
        fitness: ``preset``, ``proxies``, ``objective`` and ``limits``; None for those that are not given.
        settings: Other keys of a configuration.

    Raises:
        ConfigError: If a setting is unknown or wrong.
        UnknownNameError: If a name is not registered.
    """
    for key in OWN[:2]:
        if key in settings:
            way_out = "pass it first" if key == "space" else f"pass {', '.join(BudgetConfig.model_fields)} by name"
            raise ConfigError(f"{key!r} is no setting of search(); {way_out}")
    if hasattr(settings.get("data"), "shape"):
        raise ConfigError(
            f"'data': should be a source, but it is a {type(settings['data']).__name__} of shape {list(settings['data'].shape)}; "
            "save it as a file: numpy.save('inputs.npy', inputs), data={'source': 'file', 'path': 'inputs.npy'}"
        )
    built, section = _space(space)
    given = {name: value for name, value in budget.items() if value is not None}
    values = {
        "name": built.name,
        "space": section,
        "data": default_data(built),
        "strategy": STRATEGY,
        **{name: _plain(value) for name, value in settings.items()},
        "fitness": _fitness(fitness, settings.get("fitness") or {}, built.inputs),
        "budget": given or {"evaluations": EVALUATIONS},
    }
    config = parse_config(values)
    return config if "strategy" in settings else _as_it_began(config), built


def _as_it_began(config: Config) -> Config:
    """Returns the configuration with the strategy of its run if a version with another default began the run."""
    began = begun(config.folder)
    earlier = began is not None and not began.chosen and began.strategy.name == EARLIER_STRATEGY
    return config.model_copy(update={"strategy": began.strategy}) if began is not None and earlier else config


def _space(space: SearchSpace | str | Mapping[str, Any]) -> tuple[SearchSpace, dict[str, Any]]:
    """Returns the space and the section of the configuration that describes it."""
    if isinstance(space, SearchSpace):
        try:
            # A class that only this program knows becomes known by its name.
            SPACES.register(space.name, type(space))
        except ValueError as error:
            raise ConfigError(f"{error}; give your space another 'name'") from None
        return space, {"name": space.name, **space.parameters.model_dump(exclude_unset=True)}
    if isinstance(space, str):
        space = {"name": space}
    if not isinstance(space, Mapping) or not isinstance(space.get("name"), str):
        way_out = (
            "; make a space: Choices(build, depth=[2, 3], input_shape=(3, 32, 32))" if space is None or callable(space) else ""
        )
        raise ConfigError(
            f"'space': should be a space, a name, or a mapping with the key 'name', but it is {shown(space)}{way_out}"
        )
    values = {str(key): value for key, value in space.items() if key != "name"}
    return create_space(space["name"], **values), {"name": space["name"], **values}


def _fitness(given: Mapping[str, Any], section: Any, inputs: str) -> Any:
    """Returns the section ``fitness`` of the keywords of `search`, of that section itself, and of defaults."""
    if not isinstance(section, Mapping):
        return section
    named = {name: value for name, value in given.items() if value is not None}
    for name in named:
        key = "constraints" if name == "limits" else name
        if section.get(key) is not None:
            raise ConfigError(f"{name!r} and 'fitness.{key}' are both given; leave one out")
    limits = named.pop("limits", None)
    found = {**section, **{name: _plain(value) for name, value in named.items()}}
    if "proxies" in named:
        found["proxies"] = _proxies(named["proxies"])
    if limits is not None:
        found["constraints"] = _limits(limits)
    if not {"preset", "proxies", "objective"} & set(found):
        found |= FITNESS[inputs]
    several = isinstance(found.get("proxies"), Mapping) and len(found["proxies"]) > 1
    if several and found.get("preset") is None and found.get("objective") is None:
        found["objective"] = {"rank": list(found["proxies"])}
    return found


def _proxies(given: Any) -> Any:
    names = [given] if isinstance(given, str) else given
    twice = [name for name in names if names.count(name) > 1] if isinstance(names, list | tuple) else []
    if twice:
        raise ConfigError(f"'proxies' names {shown(twice[0])} twice; leave one out")
    return {name: {} for name in names} if isinstance(names, list | tuple) else _plain(names)


def _limits(limits: Any) -> Any:
    if not isinstance(limits, Mapping):
        raise ConfigError(f"'limits': should be bounds by metric, such as {{'params': 1e6}}, but it is {shown(limits)}")
    return {name: {"max": float(bound)} if type(bound) in (int, float) else _plain(bound) for name, bound in limits.items()}


def _plain(value: Any) -> Any:
    """Returns a setting as a YAML file gives it: with lists for tuples, dictionaries for other mappings, and texts for paths."""
    if isinstance(value, PathLike):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


@contextmanager
def worded(option: str, replacement: str) -> Iterator[None]:
    """Context that words the way out of an error for another way to search than a configuration.

    Args:
        option: Pattern of the option as the command ``search`` takes it.
        replacement: What to write instead, as `re.sub` takes it.
    """
    try:
        yield
    except RunError as error:
        text = re.sub(option, replacement, str(error))
        if text == str(error):
            raise
        worded = type(error)(text)
        worded.exit_code = error.exit_code
        raise worded from error
