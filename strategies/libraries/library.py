"""A strategy that asks an optimiser of another library, and how it is resumed.

    repeat:
        points <- the next proposals of the optimiser
        a point that is not valid is told as failed; one whose architecture was seen is told its known value; both cost nothing
        the others are the batch, and are told when they were evaluated
        after `repeats` points in a row that cost nothing: one unseen genotype at random, told as a candidate of the user's

The optimisers are told values, not ranks. They get the objectives of the view at the time when they are told; if these change
later, as those of a rank aggregate do, the optimiser keeps the earlier ones. Values of a view are comparable within one call, so
they are taken in a call with those of the last `MEMORY` told candidates.

Optimisers of libraries cannot be saved as plain data. Therefore the state holds what the optimiser was asked and told, in order,
with the values that it was told. A restored strategy asks and tells a new optimiser of the same seed the same, and checks that it
proposes the same. This takes the time that the optimiser needed until then, and a state grows by one short line an evaluation.
"""

from __future__ import annotations

import json
import zlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError, Encoding, Genotype, GenotypeError, Parameters, RbflexEvoError, RunError, near_name
from rbflex_evo.spaces.errors import reason
from rbflex_evo.strategies.population import Population
from rbflex_evo.strategies.strategy import Strategy, View
from rbflex_evo.strategies.unseen import Unseen

from .fence import fenced
from .optimiser import FAILED, Optimiser, Outcome, Point

MEMORY = 1000


class LibraryParameters(Parameters):
    """Parameters of every optimiser of another library.

    Attributes:
        repeats: Number of known or invalid proposals in a row after which a random genotype is evaluated instead.
    """

    repeats: int = Field(100, ge=1)


class LibraryStrategy(Strategy):
    """Base of the strategies that ask an optimiser of another library.

    A subclass sets `package` and implements `chosen` and `create`.

    Args:
        encoding: Encoding of the genotypes; it must have `variables`.
        seed: Seed of the strategy's random generator, from which the seed of the optimiser is drawn.
        parameters: Validated parameters of the strategy; None for the defaults.

    Raises:
        ConfigError: If the package is not installed, the encoding has no variables, or the optimiser or an option is unknown.
    """

    package: ClassVar[str]
    Parameters: ClassVar[type[Parameters]] = LibraryParameters
    parameters: LibraryParameters

    def __init__(self, encoding: Encoding, seed: int, parameters: LibraryParameters | None = None) -> None:
        super().__init__(encoding, seed, parameters)
        if encoding.variables is None:
            raise ConfigError(
                f"strategy {self.name!r} needs a fixed list of choices, which {type(encoding).__name__} does not have; "
                "take a strategy of this package, such as genetic"
            )
        self.library = f"{self.package} {installed(self.package)}"
        self._seed = int(self.rng.integers(2**31))
        self._unseen = Unseen(encoding)
        self._waiting: dict[str, list[int]] = {}
        self._recent: list[str] = []
        self._log: list[list[Any]] = []
        self._next = 0
        self._optimiser: Optimiser | None = None
        # Wrong names and options are reported before anything is evaluated.
        self._create(1)
        self._clear()

    @property
    @abstractmethod
    def chosen(self) -> str:
        """Name of the optimiser, for messages."""

    @abstractmethod
    def create(self, objectives: int, seed: int) -> Optimiser:
        """Returns a new optimiser.

        Args:
            objectives: Number of objectives.
            seed: Seed of its random generators.

        Raises:
            ConfigError: If its name or an option is unknown.
        """

    def ask(self, n: int, view: View) -> list[Genotype]:
        """Returns the next proposals that are not known, or a random unseen genotype if there are none."""
        optimiser = self._restored(view)
        genotypes: list[Genotype] = []
        repeats = 0
        while len(genotypes) < n:
            if self._next < len(self._points):
                position, self._next = self._next, self._next + 1
                genotype = self._genotypes[position]
                if genotype is None:
                    repeats += 1
                    self._tell(position, FAILED)
                elif (key := view.key(genotype)) in self._waiting:
                    self._waiting[key].append(position)
                elif view.seen(key):
                    repeats += 1
                    self._tell(position, self._outcomes([key], view)[0])
                else:
                    self._waiting[key] = [position]
                    genotypes.append(genotype)
            elif self._waiting or repeats >= self.parameters.repeats or not self._propose(optimiser, view):
                break
        if not genotypes and not self._waiting:
            genotypes = self._unseen.draw_up_to(1, self.rng, view, set())
            self._waiting.update((view.key(genotype), []) for genotype in genotypes)
        self.generation += 1 if genotypes else 0
        return genotypes

    def tell(self, evaluations: Sequence[Evaluation], view: View) -> None:
        """Tells the optimiser what the candidates are worth now."""
        self._restored(view)
        members = Population.of(evaluations)
        for member, outcome in zip(members, self._outcomes([member.key for member in members], view), strict=True):
            positions = self._waiting.pop(member.key, [])
            for position in positions:
                self._tell(position, outcome)
            if not positions:
                self._add(member.genotype, member.key, outcome)
        self._recent = [*self._recent, *(member.key for member in members)][-MEMORY:]

    def get_state(self) -> dict[str, Any]:
        """Returns the state as plain data."""
        return {
            "library": self.library,
            "seed": self._seed,
            "waiting": {key: list(positions) for key, positions in self._waiting.items()},
            "recent": list(self._recent),
            "next": self._next,
            "log": list(self._log),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores a state of `get_state`; the optimiser is restored when it is asked or told next."""
        self._clear()
        self._seed = state["seed"]
        self._waiting = {key: list(positions) for key, positions in state["waiting"].items()}
        self._recent = list(state["recent"])
        self._next = state["next"]
        self._log = list(state["log"])
        self._began_with = state["library"]

    def _clear(self) -> None:
        self._optimiser = None
        self._points: list[Point] = []
        self._genotypes: list[Genotype | None] = []
        self._known: set[str] = set()
        self._began_with = self.library

    def _restored(self, view: View) -> Optimiser:
        """Returns the optimiser, which was asked and told what the log holds."""
        if self._optimiser is not None:
            return self._optimiser
        log, self._log, following = self._log, [], self._next
        optimiser = self._create(view.objectives([]).shape[1])
        for entry in log:
            if len(entry) == 1:
                self._propose(optimiser, view)
                if self._log[-1] != entry:
                    raise RunError(self._differs())
                continue
            what, values, violation = entry
            outcome = Outcome(None if values is None else tuple(values), violation)
            if isinstance(what, int):
                self._tell(what, outcome)
            else:
                genotype = tuple(what)
                self._add(genotype, view.key(genotype), outcome)
        self._next = following
        return optimiser

    def _differs(self) -> str:
        if self._began_with == self.library:
            return f"{self.library} proposes other candidates than before, so this run cannot be resumed; start another run"
        return (
            f"this run began with {self._began_with}, and {self.library} proposes other candidates, so it cannot be resumed; "
            f"install {self._began_with.replace(' ', '==')}, or start another run"
        )

    def _create(self, objectives: int) -> Optimiser:
        with self._calling("cannot be created", "change its parameters"):
            self._optimiser = self.create(objectives, self._seed)
        return self._optimiser

    def _propose(self, optimiser: Optimiser, view: View) -> bool:
        """Asks the optimiser for points; returns False if it has none."""

        def key_of(value_of: Callable[[int], int]) -> str | None:
            genotype = self._decoded(value_of)
            return None if genotype is None else view.key(genotype)

        with self._calling("cannot go on", "take another one"):
            self._points = optimiser.ask(key_of, self._known)
            self._genotypes = [self._decoded(point.value_of) for point in self._points]
        self._known.update(view.key(genotype) for genotype in self._genotypes if genotype is not None)
        self._next = 0
        self._log.append([zlib.crc32(json.dumps(self._genotypes).encode())])
        return bool(self._points)

    def _decoded(self, value_of: Callable[[int], int]) -> Genotype | None:
        try:
            return self.encoding.decode(value_of)
        except GenotypeError:
            return None

    def _tell(self, position: int, outcome: Outcome) -> None:
        assert self._optimiser is not None
        with self._calling("cannot go on", "take another one"):
            self._optimiser.tell(self._points[position], outcome)
        self._log.append([position, outcome.values and list(outcome.values), outcome.violation])

    def _add(self, genotype: Genotype, key: str, outcome: Outcome) -> None:
        assert self._optimiser is not None
        self._known.add(key)
        with self._calling("cannot go on", "take another one"):
            self._optimiser.add(self.encoding.encode(genotype), outcome)
        self._log.append([list(genotype), outcome.values and list(outcome.values), outcome.violation])

    def _outcomes(self, keys: Sequence[str], view: View) -> list[Outcome]:
        """Returns what candidates are worth now."""
        assert self._optimiser is not None
        if not keys:
            return []
        every = [*keys, *self._recent]
        rows = (view.objectives(every) if self._optimiser.objectives > 1 else view.utility(every)[:, None])[: len(keys)]
        violations = view.violations(keys)
        usable = np.isfinite(rows).all(axis=1) & np.isfinite(violations)
        return [
            Outcome(tuple(row.tolist()), float(violation)) if use else FAILED
            for row, violation, use in zip(rows, violations, usable, strict=True)
        ]

    @contextmanager
    def _calling(self, what: str, way_out: str) -> Iterator[None]:
        """Fences a call of the library off, and turns its exceptions into one line."""
        try:
            with fenced([self._seed, len(self._log)], self.package):
                yield
        except RbflexEvoError:
            raise
        except Exception as error:  # another library may raise anything
            raise ConfigError(f"{self.chosen} of {self.library} {what} ({reason(error)}); {way_out}") from error


def installed(package: str) -> str:
    """Imports a package and returns its version.

    Raises:
        ConfigError: If it is not installed, or cannot be imported.
    """
    try:
        import_module(package)
        return metadata.version(package)
    except ImportError as error:
        raise ConfigError(
            f"strategy {package!r} needs the package {package} ({reason(error)}): pip install 'rbflex-evo[{package}]'"
        ) from None


def check_options(options: Mapping[str, Any], known: Sequence[str], where: str, taken: Sequence[str] = ()) -> None:
    """Checks the names of options.

    Args:
        options: The options, by name.
        known: Names that the optimiser knows.
        where: What has these options, for messages.
        taken: Names that the strategy sets itself.

    Raises:
        ConfigError: If a name is unknown, or not for the user to set.
    """
    for name in options:
        if name in taken:
            raise ConfigError(f"'strategy.options.{name}' is set by the search itself; leave it out")
        if name not in known:
            raise ConfigError(f"{where} has no option {name!r}{near_name(name, [one for one in known if one not in taken])}")
