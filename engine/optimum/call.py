"""`proved_optimum`: the proved optimum or Pareto front of quantities over a space, in one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rbflex_evo.fitness.optimum.prove import Method
from rbflex_evo.spaces import SearchSpace, create_space

from .facts import OptimumFacts, facts_of
from .question import named_question


def proved_optimum(
    space: SearchSpace | str,
    *,
    maximise: str | Sequence[str] = (),
    minimise: str | Sequence[str] = (),
    limits: Mapping[str, float | Mapping[str, float]] | None = None,
    files: Mapping[str, str] | None = None,
    seconds: float | None = None,
    method: Method | None = None,
) -> OptimumFacts:
    """Proves the optimum of one quantity over a whole space within limits, or the Pareto front of several.

    Quantities are costs that are computed, such as ``params``, ``flops`` and ``predicted``, and scores that read no image, such as
    ``nsc`` and ``log_channels``. A small space is enumerated. In a larger one, quantities must add up along its genes.

    Args:
        space: A space, or its registered name.
        maximise: Names of quantities to maximise.
        minimise: Names of quantities to minimise.
        limits: Largest allowed value by quantity, or ``{"min": ..., "max": ...}``.
        files: File that a cost reads, by its name, as for ``latency:pixel3``.
        seconds: Seconds that it may take; None for no limit.
        method: ``"enumeration"`` or ``"dynamic programming"``; by default what fits the space.

    Raises:
        ConfigError: If a quantity is measured, does not add up in a space that is too large to be enumerated, or time is over.
        UnknownNameError: If a name is not registered.
    """
    built = create_space(space) if isinstance(space, str) else space
    up, down = ([names] if isinstance(names, str) else list(names) for names in (maximise, minimise))
    question = named_question(built, up, down, limits, files)
    return facts_of(question.prove(seconds, method), built)
