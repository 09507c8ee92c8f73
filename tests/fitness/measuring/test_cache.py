"""The cache gives back what it was given, and never what was damaged. Real files throughout."""

from __future__ import annotations

import multiprocessing
import sqlite3
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbflex_evo.fitness.measuring.cache import CacheWarning, StatisticsCache, decode, default_path, digest, encode
from rbflex_evo.spaces import RunError

ARRAYS = {"gram": np.arange(12.0).reshape(3, 4), "count": np.int64(7)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "statistics.sqlite"


def filled(path, rows=200):
    cache = StatisticsCache(path)
    cache.put((str(i), {"values": np.full(500, float(i))}) for i in range(rows))
    cache.close()


def test_what_was_put_is_found_again_by_another_connection(path):
    first = StatisticsCache(path)
    first.put([("a", ARRAYS), ("b", {"failed": "no path"})])
    second = StatisticsCache(path)
    for name, value in ARRAYS.items():
        np.testing.assert_array_equal(second.get("a")[name], value)
    assert second.get("b") == {"failed": "no path"}
    assert second.get("c") is None


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=5, alphabet="abc_"), st.floats(allow_nan=False), min_size=1))
def test_json_data_and_arrays_survive_encoding(values):
    assert decode(encode(values)) == values
    found = decode(encode({name: np.array([value]) for name, value in values.items()}))
    assert {name: array[0] for name, array in found.items()} == values


def test_a_damaged_row_is_dropped_with_a_warning(path):
    filled(path)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE statistics SET value = substr(value, 1, 100) WHERE key = '5'")
    connection.commit()
    connection.close()
    cache = StatisticsCache(path)
    with pytest.warns(CacheWarning, match="row of the cache .* is damaged"):
        assert cache.get("5") is None
    assert cache.get("6") is not None
    assert cache.info()["rows"] == 199


def opened_and_used(path):
    cache = StatisticsCache(path)
    for i in range(200):
        cache.get(str(i))
    cache.put([("new", ARRAYS)])
    return cache


@pytest.mark.parametrize("damage", ["not sqlite", "empty pages", "truncated"])
def test_a_damaged_file_is_moved_aside_and_said(path, damage):
    filled(path)
    content = path.read_bytes()
    if damage == "not sqlite":
        path.write_bytes(b"something else entirely" * 100)
    elif damage == "empty pages":
        path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    else:
        path.write_bytes(content[: len(content) // 3])
    with pytest.warns(CacheWarning, match=r"moved to statistics\.sqlite\.damaged-"):
        cache = opened_and_used(path)
    assert cache.get("new") is not None
    assert [p for p in path.parent.iterdir() if "damaged" in p.name]


def test_verify_finds_and_removes_damaged_rows(path):
    filled(path, 10)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE statistics SET checksum = checksum + 1 WHERE key IN ('1', '2')")
    connection.commit()
    connection.close()
    cache = StatisticsCache(path)
    assert cache.verify() == (8, 2)
    assert cache.verify() == (8, 0)


def test_prune_removes_by_age(path):
    filled(path, 10)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE statistics SET written = ? WHERE key < '5'", (time.time() - 10 * 86400,))
    connection.commit()
    connection.close()
    cache = StatisticsCache(path)
    assert cache.prune(days=5) == 5
    assert cache.prune() == 5
    assert cache.info()["rows"] == 0


def test_another_format_is_moved_aside(path):
    filled(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.warns(CacheWarning, match="format 99"):
        assert StatisticsCache(path).get("0") is None


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(RunError, match=r"cannot be used.*set cache: to another path, or to 'off'"):
        StatisticsCache(blocked / "statistics.sqlite")
    folder = tmp_path / "folder.sqlite"
    folder.mkdir()
    with pytest.raises(RunError, match="cannot be used"):
        StatisticsCache(folder)


def _write(path, start):
    cache = StatisticsCache(path)
    for i in range(start, start + 50):
        cache.put([(str(i), {"values": np.array([float(i)])})])
    cache.close()


def test_processes_write_one_file_at_the_same_time(path):
    StatisticsCache(path).close()
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_write, args=(path, start)) for start in (0, 50, 100)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for process in processes:
            process.start()
    for process in processes:
        process.join()
    cache = StatisticsCache(path)
    assert [cache.get(str(i))["values"][0] for i in range(150)] == [float(i) for i in range(150)]


def test_default_path_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path / "chosen"))
    assert default_path() == tmp_path / "chosen" / "statistics.sqlite"
    monkeypatch.delenv("RBFLEX_EVO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "rbflex-evo" / "statistics.sqlite"


def test_a_digest_depends_on_content_not_on_order():
    assert digest({"a": 1, "b": [2, 3]}) == digest({"b": [2, 3], "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
