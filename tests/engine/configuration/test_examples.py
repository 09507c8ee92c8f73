"""The example configurations are listed and read from the package."""

from __future__ import annotations

import pytest

from rbflex_evo.engine.configuration.examples import example_names, read_example
from rbflex_evo.spaces import UnknownNameError
from tests.support import ROOT


def test_every_configuration_of_the_repository_is_an_example() -> None:
    paths = sorted((ROOT / "configs").glob("*.yaml"))
    assert example_names() == [path.stem for path in paths]
    assert [read_example(path.stem) for path in paths] == [path.read_text(encoding="utf-8") for path in paths]


@pytest.mark.parametrize("name", ["quikstart", "quickstart.yaml"])
def test_an_unknown_example_is_answered_with_the_nearest_name(name: str) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown example .*; did you mean 'quickstart'"):
        read_example(name)
