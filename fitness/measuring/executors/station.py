"""A worker on a machine of a Ray cluster: an actor that keeps one process, in which candidates are measured.

A candidate that ends its process or takes too long does the same here as on the machine of the search: the actor, the parent of
the process, notices it and tells the cause. So the death of an actor is not the fault of the candidate that it had in hand, unless
the memory of the whole machine ran out. Requests and answers pass through the actor as bytes, without torch.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from .processes import Processes, answer_of, called, imported
from .starting import loaded_modules, preload

PACKAGES = ("rbflex-evo", "torch")


class Unlike(Exception):
    """A worker has another version of a package than the search; the message names both."""


@dataclass(frozen=True)
class Surroundings:
    """What a worker takes over from the process of the search, as far as its machine has it.

    Attributes:
        versions: Versions of `PACKAGES` and the kind of processor, by name.
        path: Folders from which modules are imported.
        folder: Current folder.
        modules: Modules of this package that the search has imported.
    """

    versions: Mapping[str, str]
    path: Sequence[str]
    folder: str
    modules: Sequence[str]

    @classmethod
    def here(cls) -> Surroundings:
        """Returns those of this process."""
        return cls(versions(), tuple(sys.path), os.getcwd(), tuple(loaded_modules()))


def versions() -> dict[str, str]:
    """Returns the versions that must be the same for all workers, by name."""
    return {**{name: _version(name) for name in PACKAGES}, "processor": platform.machine()}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


class Station:
    """Runs the calls of a pool in a process of its own, one at a time."""

    def begin(self, surroundings: Surroundings, job: bytes, forked: bool) -> bytes:
        """Starts the process.

        Args:
            surroundings: Those of the search.
            job: The function that the process calls first, with its arguments, pickled.
            forked: Whether processes may be forked from a server; not if they use an accelerator.

        Returns:
            The pickled answer (see `processes.answer_of`): the name of this machine in Ray, or why the process cannot work.
        """
        return answer_of(lambda: self._begin(surroundings, job, forked))

    def call(self, request: bytes, timeout: float | None, alone: bool) -> bytes:
        """Returns the pickled answer to a pickled function with its arguments.

        Args:
            request: The function and its arguments, pickled.
            timeout: Seconds after which the process is killed.
            alone: Whether to call it in a new process.

        Returns:
            The answer of this process, with that of the process of the candidate inside.
        """
        run: Callable[..., Any] = self._processes.call_alone if alone else self._processes.call
        return answer_of(lambda: run(_answered, request, timeout=timeout))

    def _begin(self, surroundings: Surroundings, job: bytes, forked: bool) -> str:
        import ray

        mine = versions()
        for name, wanted in surroundings.versions.items():
            if mine[name] != wanted:
                raise Unlike(f"{platform.node()} has {name} {mine[name]}, but this machine has {wanted}; install the same on both")
        sys.path += [folder for folder in surroundings.path if folder not in sys.path]
        with contextlib.suppress(OSError):
            os.chdir(surroundings.folder)
        preload(surroundings.modules)
        self._processes = Processes(_start, job, forked=forked)
        self._processes.begin()
        return str(ray.get_runtime_context().get_node_id())


def _start(job: bytes) -> None:
    start, arguments = imported(job)
    start(*arguments)


def _answered(request: bytes) -> bytes:
    return answer_of(lambda: called(request))
