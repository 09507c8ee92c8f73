"""Searches on a Ray cluster, and what is said where there is none."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from benchmarks.shared import loopback
from rbflex_evo.engine import parse_config
from rbflex_evo.engine.configuration.assembly import Assembly
from rbflex_evo.engine.configuration.config import identity
from rbflex_evo.engine.search.estimate import _measuring
from rbflex_evo.fitness.measuring.executors import processes, ray
from rbflex_evo.fitness.measuring.executors.executor import WorkerError, create_executor
from rbflex_evo.fitness.measuring.executors.station import Station, Surroundings, Unlike
from rbflex_evo.fitness.passes.device import Card
from rbflex_evo.spaces import ConfigError, UnknownNameError
from tests.support.ray_scenes import EVALUATIONS, settings

WHY_NOT = loopback.why_not()
needs_ray = pytest.mark.skipif(not ray.find_spec("ray"), reason="ray is not installed")
needs_cluster = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
CPU = [Card(torch.device("cpu"))]


def apart(command, **changes):
    """Runs a command in a network of its own and returns what it wrote; Ray's files are in a folder with a short name."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as files:
        variables = {**os.environ, "RAY_TMPDIR": files, **changes}
        variables["PYTHONPATH"] = os.pathsep.join([os.getcwd(), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(loopback.within(command), capture_output=True, text=True, env=variables)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    done = apart([sys.executable, "-m", "tests.support.ray_scenes", str(tmp_path_factory.mktemp("runs"))])
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


# One cluster serves these; its scenes are in tests/support/ray_scenes.py.
scenes = [needs_cluster, pytest.mark.slow, pytest.mark.timeout(600)]


class TestCluster:
    pytestmark = scenes

    @pytest.mark.parametrize("scene", ["two processes", "one machine, then three", "a machine of three is killed"])
    def test_the_journal_is_that_of_one_process_and_nothing_is_measured_twice(self, seen, scene):
        assert seen[scene]["journal"] == seen["one process"]["journal"]
        assert seen[scene]["facts"]["measured"] == EVALUATIONS

    def test_a_candidate_that_kills_its_process_fails_with_the_same_reason(self, seen):
        failures = [line["failures"] for line in seen["one machine, then three"]["journal"] if line.get("failures")]
        assert failures == 4 * [{"naswot": "the process that measured it died (signal 9, most likely memory)"}]

    def test_workers_come_and_go_with_the_machines(self, seen):
        assert seen["one machine, then three"]["workers"] == [2, 3]
        assert seen["a machine of three is killed"]["workers"] == [2]

    @pytest.mark.parametrize("what", ["functions", "walk"])
    def test_spaces_of_functions_and_walks_give_the_same_scores(self, seen, what):
        local, there = seen[what]
        assert local == there

    def test_another_version_is_refused_in_one_line_that_names_both(self, seen):
        said = seen["another version"]
        assert f"has torch {torch.__version__.partition('+')[0]}, but this machine has 1.0" in said
        assert "\n" not in said

    def test_a_cluster_without_room_for_a_worker_is_an_error_that_says_what_it_has(self, seen):
        assert seen["no room"] == "no worker was ready for 0.5 s: the cluster has 2 of 2 CPU free, and a worker needs 64 CPU"

    def test_a_search_that_is_stopped_is_saved_and_resumed_with_local_workers(self, seen):
        stopped = seen["Ctrl-C"]
        assert stopped["code"] == 130
        done = f"stopped after {stopped['evaluations']} evaluations, all saved; go on with: rbflex-evo resume"
        assert stopped["said"][-2].startswith(done)
        assert stopped["resumed"] == seen["many"]["journal"]

    @pytest.mark.parametrize("when", ["before the first worker", "when all workers have gone"])
    def test_a_stop_signal_does_not_wait_for_workers_that_never_come(self, seen, when):
        stopped = seen[when]
        assert stopped["code"] == 143
        done = f"stopped after {stopped['evaluations']} evaluation"
        assert any(line.startswith(done) for line in stopped["said"])
        assert stopped["resumed"] == seen["many"]["journal"]

    def test_a_search_whose_head_dies_is_saved_and_resumed_with_local_workers(self, seen):
        ended = seen["the head is killed"]
        assert ended["code"] == 1
        assert ended["error"].startswith("the Ray cluster went away, most likely its head node; ")
        assert f"; {ended['evaluations']} evaluations, all saved; go on with: rbflex-evo resume" in ended["error"]
        assert ended["resumed"] == seen["many"]["journal"]


@needs_cluster
@pytest.mark.slow
def test_one_setting_runs_a_search_on_a_cluster_of_this_machine_and_nothing_of_it_is_left(tmp_path):
    file = tmp_path / "search.yaml"
    file.write_text(json.dumps(settings(tmp_path, "run", space="toy", budget={"evaluations": 4})))
    command = [sys.executable, "-m", "rbflex_evo", "search", str(file), "--set", "executor=ray", "--set", "workers=1"]
    done = apart(command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2].startswith("stopped    the budget of 4 evaluations is spent")
    # Nothing of Ray's own words gets between the lines.
    assert "ray" not in done.stderr.lower()
    left = [path.name for path in Path("/proc").glob("[0-9]*") if str(tmp_path) in command_of(path)]
    assert not left


@needs_cluster
@pytest.mark.slow
def test_a_cluster_of_this_machine_without_room_for_a_worker_is_an_error_at_once(tmp_path):
    file = tmp_path / "search.yaml"
    executor = {"name": "ray", "address": "local", "num_gpus": 64}
    file.write_text(json.dumps(settings(tmp_path, "run", space="toy", executor=executor, workers=1)))
    done = apart([sys.executable, "-m", "rbflex_evo", "search", str(file)])
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert (
        "no worker has room on this machine: the cluster has 1 of 1 CPU, 0 of 0 GPU free, and a worker needs 1 CPU, 64 GPU" in said
    )


@needs_cluster
@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "Ctrl-C twice", "no room"])
def test_nothing_of_a_cluster_is_left_however_a_search_ends(tmp_path, how):
    done = apart([sys.executable, "-m", "tests.support.ray_left", str(tmp_path), how])
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def command_of(process):
    try:
        return (process / "cmdline").read_text()
    except OSError:
        return ""


@needs_ray
def test_an_address_where_nothing_listens_is_an_error_of_one_line():
    pool = ray.Ray(ray.RayParameters(address="127.0.0.1:9")).open(print, [], count=1, cards=CPU)
    with pytest.raises(WorkerError, match=r"^no Ray cluster answers at 127.0.0.1:9 \(Connection refused\)$"):
        pool.begin()


def test_without_ray_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r'^the executor ray needs the package ray; install it: pip install "rbflex-evo\[ray\]"$'):
        create_executor("ray")


def test_a_worker_of_another_version_says_both():
    here = Surroundings.here()
    other = Surroundings({**here.versions, "rbflex-evo": "9.9"}, here.path, here.folder, ())
    with pytest.raises(Unlike, match=f"has rbflex-evo {here.versions['rbflex-evo']}, but this machine has 9.9; install the same"):
        processes.result_of(Station().begin(other, b"", True))


WRONG = [
    ("spark", "unknown executor 'spark'"),
    ({"name": "ray", "address": "head"}, "'executor.address': should be auto, local, host:port or ray://host:port"),
    ({"name": "ray", "num_gpus": 1.5}, "'executor.num_gpus': should be a whole number if it is more than 1"),
    ({"name": "ray", "num_cpus": 2.5}, "'executor.num_cpus': should be a whole number if it is more than 1"),
    ({"name": "ray", "num_cpus": 0.00001}, "'executor.num_cpus': should be a whole number if it is more than 1, with at most 4"),
    ({"name": "ray", "num_cpus": 0, "num_gpus": 0}, "'executor': a worker on Ray needs something of its machine; set executor.num"),
    ({"name": "ray", "resources": {"CPU": 2, "GPU": 1}}, "(use num_cpus in place of CPU, num_gpus in place of GPU)"),
    ({"name": "ray", "resources": {"x": -1}}, "'executor.resources': should hold amounts of at least 0, whole if"),
    ({"name": "ray", "resources": {"x": 1.5}}, "'executor.resources': should hold amounts of at least 0, whole if"),
    ({"name": "ray", "adress": "auto"}, "unknown key 'executor.adress'; did you mean 'address'?"),
    ({"name": "local", "address": "auto"}, "unknown key 'executor.address'"),
]


@pytest.mark.parametrize(("executor", "error"), WRONG)
def test_wrong_settings_of_an_executor_are_errors_that_name_them(tmp_path, executor, error):
    with pytest.raises((ConfigError, UnknownNameError)) as raised:
        parse_config(settings(tmp_path, "run", space="toy", executor=executor))
    assert error in str(raised.value)


def test_the_executor_belongs_to_the_machine_and_not_to_the_run(tmp_path):
    one, other = (parse_config(settings(tmp_path, "run", space="toy", **more)) for more in ({}, {"executor": "ray"}))
    assert identity(one) == identity(other)


@needs_ray
def test_a_worker_that_needs_nothing_of_its_machine_is_refused():
    with pytest.raises(ConfigError, match="needs something of its machine"):
        ray.Ray(ray.RayParameters(num_cpus=0)).open(print, [], count=1, cards=CPU)


@needs_ray
@pytest.mark.parametrize(
    ("given", "workers"), [({"executor": "ray", "workers": 500}, 1), ({"workers": 500}, 500), ({"executor": "ray"}, "auto")]
)
def test_an_estimate_starts_one_worker_elsewhere_and_not_as_many_as_asked_for(tmp_path, given, workers):
    config = parse_config(settings(tmp_path, "run", space="toy", **given))
    assert _measuring(config, Assembly(config)).config.workers == workers
