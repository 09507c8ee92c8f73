"""The contract between `Workers` and what runs its calls: an executor opens pools, a pool has workers that run calls.

    pool = executor.open(start, arguments, count=4, cards=cards)
    pool.begin()                                  # each worker first calls start(*arguments, device)
    result = pool.call(function, *arguments)      # from as many threads as calls shall run at once
    pool.close()

A candidate can end the process that measures it, take too long or have code that a worker cannot load; a machine can go away. A
pool tells these cases apart by its exceptions, because only the first two are the fault of the candidate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from rbflex_evo.spaces import Parameters as AnyParameters
from rbflex_evo.spaces import RbflexEvoError, Registry

if TYPE_CHECKING:
    from rbflex_evo.fitness.passes.device import Card

EXECUTORS = Registry("executor")
EXECUTORS.register("local", "rbflex_evo.fitness.measuring.executors.local:Local")
EXECUTORS.register("ray", "rbflex_evo.fitness.measuring.executors.ray:Ray")


class ProcessDied(Exception):
    """A process ended before it answered; the message is the cause: "signal 9, most likely memory" or "exit code 3"."""


class DiedAtStart(ProcessDied):
    """A process ended before it took its first call."""


class WorkerLost(Exception):
    """A worker went away together with its machine, so the call can be made again; the message is the cause."""


class TookTooLong(Exception):
    """A process did not answer in time and was killed."""


class NotPortable(Exception):
    """Objects cannot be sent to another process, or another process cannot import their code."""


class WorkerError(RbflexEvoError, RuntimeError):
    """Workers cannot be started."""

    exit_code = 1


class ExecutorLost(WorkerError):
    """All workers went away in the course of a search."""


class Pool(ABC):
    """Workers that run calls.

    Attributes:
        peak_memory: Bytes that the largest of the processes held; 0 if unknown.
        most: Largest number of calls that run at once at any time.
    """

    peak_memory: int
    most: int

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of calls that can run at once now, at least 1; it may change where workers come and go."""

    @property
    def able(self) -> bool:
        """Whether something can be measured now; False while all workers have gone and others may come."""
        return True

    @abstractmethod
    def begin(self) -> None:
        """Starts the first worker.

        Raises:
            DiedAtStart: If its process ends before it takes a call.
            NotPortable: If it cannot import the code of the arguments.
            WorkerError: If there are no workers.
        """

    @abstractmethod
    def call(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
        """Returns the result of a function in one of the workers.

        Args:
            function: Function of a module of this package.
            arguments: Arguments of the function.
            timeout: Seconds after which the process is killed; the time to start a process does not count.

        Raises:
            ProcessDied: If the process ended first.
            TookTooLong: If the process did not answer in time.
            WorkerLost: If the worker went away with its machine.
            WorkerError: If there are no workers any more.
        """

    @abstractmethod
    def call_alone(self, function: Callable[..., Any], *arguments: Any, timeout: float | None = None) -> Any:
        """Does the same as `call` in a new process, which runs nothing else before and after."""

    @abstractmethod
    def close(self) -> None:
        """Ends the workers; calls that are running raise `ProcessDied`."""


class Executor(ABC):
    """Opens pools of workers of one kind.

    Args:
        parameters: Its parameters, checked.

    Attributes:
        name: Name in configurations.
        here: Whether its workers are processes of this machine, so that measuring in this process can take their place.
    """

    name: ClassVar[str]
    here: ClassVar[bool]
    Parameters: ClassVar[type[AnyParameters]]

    def __init__(self, parameters: AnyParameters | None = None) -> None:
        self.parameters = self.Parameters() if parameters is None else parameters

    @abstractmethod
    def default_count(self, cards: Sequence[Card]) -> int:
        """Returns the number of workers if none is asked for, as far as it is known before a pool begins."""

    @abstractmethod
    def open(self, start: Callable[..., None], arguments: Sequence[Any], *, count: int | None, cards: Sequence[Card]) -> Pool:
        """Returns a pool that is to begin.

        Args:
            start: Function of a module of this package that each worker calls first.
            arguments: Arguments of `start`, to which each worker adds its own device.
            count: Number of workers; None for `default_count`.
            cards: Devices of this machine that the workers share, at least one, all of one kind.

        Raises:
            NotPortable: If the arguments cannot be pickled.
        """


def create_executor(name: str, parameters: AnyParameters | None = None) -> Executor:
    """Returns the executor of that name.

    Raises:
        UnknownNameError: If the name is not registered.
        ConfigError: If a package that it needs is not installed.
    """
    executor: Executor = EXECUTORS.get(name)(parameters)
    return executor
