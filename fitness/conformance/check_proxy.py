"""Conformance tests for authors of scores, as `check_estimator` is in scikit-learn.

`rbflex_evo.engine.conformance` has the whole kit.

    from rbflex_evo.engine.conformance import check_proxy
    check_proxy(MyProxy)                  # on small forms of two spaces
    check_proxy(MyProxy, [MySpace()])     # or on the spaces for which it is intended

Each check raises `CheckFailed` with one line that describes the violation, the network and the fix.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from rbflex_evo.fitness.proxies.proxy import PROXIES, Proxy
from rbflex_evo.spaces import ConfigError, Parameters, SearchSpace, create_space, parse
from rbflex_evo.spaces.conformance.check_fingerprint import check_identified
from rbflex_evo.spaces.conformance.checking import CheckFailed, check_pickled, require

from .case import Case
from .check_observer import check_made, check_observer
from .measured import CHECKS, check_keeps_nothing


def check_proxy(proxy: Proxy | type[Proxy] | str, spaces: Sequence[SearchSpace] | None = None) -> None:
    """Checks that a score fulfils the contract of `Proxy` and that its observer, if any, fulfils that of `Observer`.

    Args:
        proxy: Score, class of a score or registered name; a class or a name is used with default parameters.
        spaces: Search spaces of the test networks; None for small versions of toy and nats_tss, which include dead networks
            and networks with NaN. Spaces that the score refuses are skipped.

    Raises:
        CheckFailed: At the first violation.
        UnknownNameError: If no score has the name.
        ConfigError: If a parameter has no default; pass an instance in this case.
    """
    found = PROXIES.get(proxy) if isinstance(proxy, str) else proxy
    kind: type[Proxy] = found if isinstance(found, type) else type(found)
    require(
        issubclass(kind, Proxy),
        f"{kind.__name__} is no Proxy; derive it from rbflex_evo.fitness.Proxy and pass the class or an instance",
    )
    _check_declared(kind)
    made: Proxy = kind(parse(kind.Parameters, {}, f"fitness.proxies.{kind.name}")) if isinstance(found, type) else found
    _check_identity(made)
    check_pickled(made, kind.__name__)
    if made.needs == "forward":
        check_made(made.observer, kind.__name__)
    cases: list[Case] = []
    refusals = []
    for space in spaces or _small_spaces():
        try:
            made.check(space)
        except ConfigError as error:
            refusals.append(f"{space.name} ({error})")
            continue
        cases.append(Case(made, space))
        for check in CHECKS:
            check(cases[-1])
    require(
        cases,
        f"{kind.__name__}.check() refuses {', '.join(refusals)}; pass the spaces that it is meant for",
    )
    check_keeps_nothing(cases[0])
    if made.needs == "forward":
        check_observer(made.observer, kind.__name__)
    check_identified(made, kind.__name__)


def _small_spaces() -> list[SearchSpace]:
    cells = create_space("nats_tss", channels=4, cells=1)
    cells.input_shape = (3, 16, 16)
    return [create_space("toy", nan=True, genes=3, channels=8), cells]


def _check_declared(kind: type[Proxy]) -> None:
    name = kind.__name__
    for attribute, wanted, example in (
        ("name", str, "'my_score'"),
        ("description", str, "'what it measures, in one line'"),
        ("version", int, "1, and more whenever the statistics change meaning"),
        ("is_count", bool, "False, or True if it counts something of the network"),
        ("uses_labels", bool, "False, or True where labels decide the statistics"),
        ("measured_by", tuple, "a tuple of names, as in ('sigma',)"),
    ):
        value = getattr(kind, attribute, None)
        require(type(value) is wanted and "\n" not in str(value), f"{name}.{attribute} is {value!r}; set it to {example}")
    for attribute, choices in (("needs", ("forward", "network")), ("cost", ("data-free", "forward", "backward"))):
        value = getattr(kind, attribute)
        require(value in choices, f"{name}.{attribute} is {value!r}; it is one of {', '.join(map(repr, choices))}")
    method = "observer" if kind.needs == "forward" else "measure"
    require(
        getattr(kind, method) is not getattr(Proxy, method),
        f"{name}.needs is {kind.needs!r}, but it has no {method}(); write it, or change needs",
    )
    require(
        isinstance(kind.Parameters, type) and issubclass(kind.Parameters, Parameters),
        f"{name}.Parameters must derive from rbflex_evo.spaces.Parameters, so that a wrong key is one clear error",
    )
    for field in kind.measured_by:
        require(
            field in kind.Parameters.model_fields,
            f"{name}.measured_by names {field!r}, which is no parameter; there are {sorted(kind.Parameters.model_fields)}",
        )


def _check_identity(proxy: Proxy) -> None:
    name = type(proxy).__name__
    try:
        json.dumps(proxy.identity)
    except TypeError as error:
        raise CheckFailed(f"{name}.identity is not plain data ({error}); return what JSON can hold") from None
    missing = [part for part in (proxy.name, proxy.version) if part not in proxy.identity.values()]
    require(not missing, f"{name}.identity lacks {missing}, so the cache would mix it up; return super().identity | {{...}}")
