"""Functions that a configuration names as ``module:function``, or that a Python program hands in."""

from __future__ import annotations

import functools
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from rbflex_evo.spaces.errors import ConfigError, near_name, reason, shown

_NAME = r"[^\W\d]\w*"
# The parts in <> stand in the paths of functions that only a Python program can hand in.
PATH = re.compile(rf"{_NAME}(\.{_NAME})*:({_NAME}|<lambda>\w*)(\.({_NAME}|<lambda>\w*|<locals>|<given>\w*))*")


def path_of(function: Any) -> str:
    """Returns the text that stands for a function in configurations: ``module:function``, or ``module:Class.method``.

    If no import gives the function, such as a partial one, the text ends in ``<given>`` unless it shows that already.
    """
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    path = f"{named.__module__}:{named.__qualname__}"
    return path if not is_stored(path) or _imported(path) is function else f"{path}.<given>"


def is_stored(path: str) -> bool:
    """Returns whether a path names a function that another process may import."""
    return not path.startswith("__main__:") and "<" not in path


def _imported(path: str) -> Any:
    """Returns what a path names among the modules that are imported, or None."""
    module, _, name = path.partition(":")
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def load(path: str, where: str) -> Callable[..., Any]:
    """Imports the function of a path. Modules are also looked for in the current folder.

    Args:
        path: ``module:function``.
        where: Key of the path in the configuration, for error messages.

    Raises:
        ConfigError: If it cannot be imported, or cannot be called.
    """
    module, _, name = path.partition(":")
    if not is_stored(path):
        raise ConfigError(
            f"{where!r} is {path!r}, a function of a notebook, a script or another function, which is never stored; hand it "
            "in again: call search(...) as before, or give space=Choices(...) to Search.from_folder, export_run, load_network or "
            "explain"
        )
    found: Any = _module(module, path, where)
    for part in name.split("."):
        if not hasattr(found, part):
            near = (
                near_name(part, [known for known in vars(found) if not known.startswith("_")]) if hasattr(found, "__dict__") else ""
            )
            raise ConfigError(f"{where!r} is {path!r}, but there is no {part!r} in {module!r}{near}")
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError(f"{where!r} is {path!r}, which is no function or class, but {shown(found)}")
    function: Callable[..., Any] = found
    return function


def _module(name: str, path: str, where: str) -> Any:
    try:
        try:
            return import_module(name)
        except ModuleNotFoundError as error:
            # A console command does not look for modules in the current folder.
            if error.name != name.partition(".")[0] or os.getcwd() in sys.path:
                raise
            sys.path.append(os.getcwd())
            return import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{where!r} is {path!r}, but there is no module {error.name!r}; start where it is, or install it"
        ) from None
    except Exception as error:  # the module of a user may raise anything
        raise ConfigError(f"{where!r} is {path!r}, whose module cannot be imported ({reason(error)})") from error


def arguments_of(function: Callable[..., Any]) -> tuple[dict[str, bool], bool]:
    """Returns the arguments that a function takes by name, each with whether it has a default, and whether it takes any other.

    A class or a compiled function without a signature takes any argument.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {}, True
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = {each.name: each.default is not each.empty for each in parameters if each.kind in named}
    return known, any(each.kind is each.VAR_KEYWORD for each in parameters)


def check_arguments(function: Callable[..., Any], names: Iterable[str], given: Iterable[str], where: str) -> None:
    """Checks that a builder takes all choices and arguments, and needs no other.

    Raises:
        ConfigError: If it does not take one of them, or needs another one.
    """
    known, any_other = arguments_of(function)
    every = [*names, *given]
    strange = [] if any_other else [name for name in every if name not in known]
    if strange:
        near = near_name(strange[0], known) if known else "; it takes none"
        raise ConfigError(f"{where} {path_of(function)!r} takes no argument {strange[0]!r}{near}")
    lacking = [name for name, default in known.items() if not default and name not in every]
    if lacking:
        raise ConfigError(
            f"{where} {path_of(function)!r} needs the argument {lacking[0]!r}; make it a choice, or give it a value in 'arguments'"
        )
