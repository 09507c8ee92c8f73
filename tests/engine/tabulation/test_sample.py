"""Which architectures are scored: the whole space, a random sample, or a list; and a line for every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import identity, parse_config
from rbflex_evo.engine.tabulation.sample import architectures_of
from rbflex_evo.spaces import ConfigError, Genotype, GenotypeError

VALUES: dict[str, Any] = {
    "name": "run",
    "space": {"name": "toy", "genes": 4, "choices": 3},
    "data": {"source": "noise", "shape": [3, 8, 8], "n": 4},
    "fitness": {"proxies": {"naswot": {}}},
    "strategy": "random",
    "budget": {"evaluations": 1},
}


def chosen(sample: Any = None, **changes: Any) -> list[Genotype]:
    config = parse_config({**VALUES, **changes, "sample": sample})
    return architectures_of(config, Assembly(config).space)


def test_without_a_sample_it_is_the_whole_space() -> None:
    assert len(chosen()) == len(set(chosen())) == 81


@pytest.mark.parametrize("size", [1, 30, 60, 81])
def test_a_sample_has_so_many_distinct_architectures_and_hangs_on_its_seed_alone(size: int) -> None:
    sample = chosen({"size": size})
    assert len(sample) == len(set(sample)) == size
    assert sample == chosen({"size": size, "seed": 0}, seed=5)
    if size < 81:
        assert sample != chosen({"size": size, "seed": 1})


@pytest.mark.parametrize("size", [20, 60])
def test_a_sample_is_uniform(size: int) -> None:
    draws = 400
    counts: dict[Genotype, int] = dict.fromkeys(chosen(), 0)
    for seed in range(draws):
        for genotype in chosen({"size": size, "seed": seed}):
            counts[genotype] += 1
    share = size / 81
    # Six standard deviations of a binomial count.
    assert np.abs(np.array(list(counts.values())) - draws * share).max() < 6 * np.sqrt(draws * share * (1 - share))


def test_a_space_too_large_to_enumerate_can_be_sampled() -> None:
    large = {"name": "toy", "genes": 30}
    assert len(chosen({"size": 50}, space=large)) == 50
    with pytest.raises(ConfigError, match=r"too many to score each; set a sample: \{size: 2000, seed: 0\}"):
        chosen(space=large)


def test_a_list_is_read_in_its_order(tmp_path: Path) -> None:
    notations = ["skip+zero|conv1+zero", "", "  skip+skip|skip+skip ", "zero+zero|zero+zero"]
    path = tmp_path / "architectures.txt"
    path.write_text("\n".join(notations))
    config = parse_config({**VALUES, "sample": {"file": str(path)}})
    space = Assembly(config).space
    assert [space.notation(g) for g in architectures_of(config, space)] == [n.strip() for n in notations if n]


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (None, ConfigError, "cannot be read: No such file"),
        (b"\xff\xfe\x00", ConfigError, "cannot be read: it is no UTF-8 text"),
        (b"\n\n", ConfigError, "lists no architecture; expected one notation a line"),
        (b"skip+zero|conv1+zero\nskip+nonsense|conv1+zero\n", GenotypeError, "line 2: "),
        (b"skip+zero|conv1+zero\n\nskip+zero|conv1+zero\n", ConfigError, "in lines 1 and 3; keep one of them"),
    ],
)
def test_a_wrong_list_is_one_line(tmp_path: Path, text: bytes | None, error: type[Exception], message: str) -> None:
    path = tmp_path / "architectures.txt"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(error, match=message) as raised:
        chosen({"file": str(path)})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"size": 82}, "'sample.size' is 82, but toy has only 81 genotypes"),
        ({"size": 0}, r"'sample\.size'"),
        ({"seed": 3}, "needs one of size and file"),
        ({"size": 3, "file": "x"}, "needs one of size and file"),
        ({"sise": 3}, r"unknown key 'sample\.sise'; did you mean 'size'"),
        (3, "'sample'"),
    ],
)
def test_a_wrong_sample_is_one_line(sample: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        chosen(sample)
    assert "\n" not in str(raised.value)


def test_a_space_of_unknown_size_that_is_used_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from rbflex_evo.spaces.families.toy.space import ToySpace

    encoding = type(ToySpace().encoding)
    monkeypatch.setattr(encoding, "size", property(lambda self: None))
    monkeypatch.setattr("rbflex_evo.engine.tabulation.sample.IDLE_DRAWS", 300)
    assert len(chosen({"size": 70})) == 70
    with pytest.raises(ConfigError, match=r"'sample\.size' is 100, but only \d+ genotypes of toy were found"):
        chosen({"size": 100})


def test_a_sample_changes_no_search() -> None:
    assert identity(parse_config({**VALUES, "sample": {"size": 3}})) == identity(parse_config(VALUES))


def test_a_list_and_a_warm_start_may_hold_indices(tmp_path: Path) -> None:
    path = tmp_path / "architectures.txt"
    path.write_text("17\nskip+zero|conv1+zero\ngenes:[2, 2, 0, 1]\n")
    begun = {"budget": {"evaluations": 3}, "warm_start": [17, "genes:[2, 2, 0, 1]"]}
    config = parse_config({**VALUES, **begun, "sample": {"file": str(path)}})
    parts = Assembly(config)
    assert architectures_of(config, parts.space) == [(0, 1, 2, 2), (1, 0, 2, 0), (2, 2, 0, 1)]
    assert parts.warm_start == [(0, 1, 2, 2), (2, 2, 0, 1)]
