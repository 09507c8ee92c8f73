"""The cache gives back what it was given, and never what was damaged. Real files throughout."""

from __future__ import annotations

import contextlib
import multiprocessing
import sqlite3
import time
import warnings
import zlib

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


@pytest.mark.parametrize("damage", ["header", "empty pages", "truncated"])
def test_a_damaged_file_is_moved_aside_and_said(path, damage):
    filled(path)
    content = path.read_bytes()
    if damage == "header":
        path.write_bytes(b"not a database" + content[14:])
    elif damage == "empty pages":
        path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    else:
        path.write_bytes(content[: len(content) // 3])
    with pytest.warns(CacheWarning, match=r"moved to statistics\.sqlite\.damaged-"):
        cache = opened_and_used(path)
    assert cache.get("new") is not None
    assert [p for p in path.parent.iterdir() if "damaged" in p.name]


USES = {
    "get": lambda cache: [cache.get(str(i)) for i in range(200)],
    "put": lambda cache: [cache.put([(str(i), ARRAYS)]) for i in range(200)],
    "info": lambda cache: cache.info(),
    "prune": lambda cache: cache.prune(),
    "prune by age": lambda cache: cache.prune(days=1),
    "verify": lambda cache: cache.verify(),
}


@pytest.mark.filterwarnings("ignore::rbflex_evo.fitness.measuring.cache.CacheWarning")
@pytest.mark.parametrize("use", USES)
def test_no_damaged_page_is_more_than_a_warning_for_any_use(path, use):
    filled(path)
    content = path.read_bytes()
    for start in range(4096, len(content), 4096 * 7):
        for page in (b"\xa5" * 4096, bytes(4096), content[4096:8192]):
            path.write_bytes(content[:start] + page + content[start + 4096 :])
            cache = StatisticsCache(path)
            USES[use](cache)
            cache.put([("new", ARRAYS)])
            assert cache.get("new") is not None
            cache.close()


def test_verify_of_a_cache_that_is_replaced_counts_damage(path):
    filled(path)
    content = path.read_bytes()
    path.write_bytes(content[: 3 * 4096] + b"\xa5" * (len(content) - 3 * 4096))
    cache = StatisticsCache(path)
    with pytest.warns(CacheWarning, match="moved to"):
        good, damaged = cache.verify()
    assert good == 0 and damaged >= 1
    assert cache.verify() == (0, 0)


@pytest.mark.parametrize("content", [b"a file of mine\n" * 500, b"\x89PNG\r\n", bytes(8192)])
def test_a_file_that_is_no_cache_is_refused_and_left_as_it_is(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"is not a cache of rbflex-evo, so it is left as it is; set cache: to another path$"):
        StatisticsCache(path)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_database_of_another_program_is_refused_and_left_as_it_is(path):
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE letters (text)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(RunError, match="is not a cache"):
        StatisticsCache(path)
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_the_row_of_another_key_is_not_taken_for_that_of_the_key(path):
    filled(path, 2)
    connection = sqlite3.connect(path)
    rows = dict(connection.execute("SELECT key, value FROM statistics"))
    sums = dict(connection.execute("SELECT key, checksum FROM statistics"))
    # As a damaged index leads to it: the whole row of '0' answers for '1'.
    connection.execute("UPDATE statistics SET value = ?, checksum = ? WHERE key = '1'", (rows["0"], sums["0"]))
    connection.commit()
    connection.close()
    cache = StatisticsCache(path)
    with pytest.warns(CacheWarning, match="row of the cache"):
        assert cache.get("1") is None
    assert cache.get("0") is not None


@pytest.mark.parametrize("value", ["text", b"\xff\xfe", 7, 0.5])
def test_a_value_of_another_type_is_a_damaged_row(path, value):
    filled(path, 2)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE statistics SET value = CAST(? AS TEXT), written = 'x' WHERE key = '1'", (value,))
    connection.commit()
    connection.close()
    cache = StatisticsCache(path)
    assert cache.info()["rows"] == 2
    assert cache.prune(days=1) == 0
    assert cache.verify() == (1, 1)


def test_a_row_of_version_0_1_is_found(path):
    filled(path, 1)
    blob = encode(ARRAYS)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE statistics SET value = ?, checksum = ?", (blob, zlib.crc32(blob)))
    connection.commit()
    connection.close()
    assert StatisticsCache(path).get("0")["count"] == 7


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


def test_the_default_cache_is_moved_aside_whatever_it_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("RBFLEX_EVO_CACHE", str(tmp_path))
    default_path().write_bytes(b"no database" * 1000)
    with pytest.warns(CacheWarning, match="moved"), contextlib.closing(StatisticsCache(default_path())) as cache:
        assert cache.get("key") is None
