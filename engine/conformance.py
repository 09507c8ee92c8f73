"""The conformance kit: tests for packages that add a space, a score, a strategy, a table or a data source.

    check_space(MySpace())                          and its encoding, which `check_encoding` checks alone
    check_proxy(MyProxy, [MySpace()])
    check_strategy(MyStrategy)
    check_table(MyTable, MySpace(), path="known.txt")
    check_source(MySource, n=4)

Each raises `CheckFailed`, an AssertionError of one line: what is wrong, with which genotype or network, and how to fix it. What
only costs time is a `ConformanceWarning`: two keys of one network, or code that the cache cannot identify. On the
command line, ``rbflex-evo check NAME`` runs them on a registered name.
"""

from rbflex_evo.fitness.conformance.check_proxy import check_proxy
from rbflex_evo.fitness.conformance.check_source import check_source
from rbflex_evo.spaces.conformance.check_encoding import check_encoding
from rbflex_evo.spaces.conformance.check_fingerprint import ConformanceWarning
from rbflex_evo.spaces.conformance.check_space import check_space
from rbflex_evo.spaces.conformance.check_table import check_table
from rbflex_evo.spaces.conformance.checking import CheckFailed
from rbflex_evo.strategies.conformance.check_strategy import check_strategy

__all__ = [
    "CheckFailed",
    "ConformanceWarning",
    "check_encoding",
    "check_proxy",
    "check_source",
    "check_space",
    "check_strategy",
    "check_table",
]
