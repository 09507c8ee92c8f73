"""The example of a package that extends this one is installed into a fresh environment and found there by its entry points."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from rbflex_evo.engine.commands.app import run
from rbflex_evo.spaces import SPACES, PluginError
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "plugin"
SOURCES = [
    "rbflex_evo",
    "configs",
    "engine",
    "fitness",
    "spaces",
    "strategies",
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "README.md",
    "LICENSE",
]
GIVEN = {
    "spaces": "layer_orders",
    "proxies": "rankme",
    "strategies": "late_acceptance",
    "tables": "order_log",
    "sources": "pink_noise",
}


class Environment:
    """A new environment in `folder`, which sees the libraries of the running one and nothing else of it.

    A `.pth` file names their folder: torch alone is some 5 GB, too much to install for a test. Python reads the `.pth` files of an
    environment's own folder only, so this project, which the running environment may hold as an editable installation, has to
    be installed here like the example.
    """

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=os.name != "nt")
        self.bin = folder / ("Scripts" if os.name == "nt" else "bin")
        (own,) = [path for path in folder.rglob("site-packages") if path.is_dir()]
        self.packages = own
        libraries = [path for path in sys.path if path.endswith("site-packages")]
        (own / "libraries.pth").write_text("\n".join(libraries))
        self.variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self.variables |= {"RBFLEX_EVO_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}

    def run(self, *command: str, folder: Path, code: int = 0) -> str:
        """Runs a command of this environment and returns what it printed."""
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]], cwd=folder, env=self.variables, capture_output=True, text=True
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def install(self, *sources: Path) -> None:
        """Builds and installs packages from their sources, without what they depend on."""
        quick = ["--quiet", "--no-deps", "--no-build-isolation", "--ignore-installed", "--no-index", "--disable-pip-version-check"]
        self.run("python", "-m", "pip", "install", *quick, *map(str, sources), folder=self.bin)


def copied(source: Path, target: Path, *names: str) -> Path:
    """Copies a package's sources, since building leaves files beside them."""
    target.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "build", "*.egg-info", "runs")
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=ignored)
        else:
            shutil.copy(source / name, target / name)
    return target


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_example_package_is_installed_found_checked_and_searched_with(tmp_path):
    there = copied(ROOT, tmp_path / "project", *SOURCES)
    example = copied(EXAMPLE, tmp_path / "example", *(path.name for path in EXAMPLE.iterdir() if path.name != "runs"))
    environment = Environment(tmp_path / "environment")
    environment.install(there, example)
    installed = {path.name for path in environment.packages.iterdir() if path.is_dir() and "." not in path.name}
    assert installed == {"rbflex_evo", "rbflex_evo_example"}
    shutil.rmtree(there)
    shutil.rmtree(example / "rbflex_evo_example")

    for kind, name in GIVEN.items():
        entries = json.loads(environment.run("rbflex-evo", "list", kind, "--json", folder=tmp_path))
        (entry,) = [entry for entry in entries if entry["name"] == name]
        assert entry["package"] == "rbflex-evo-example 0.1.0" and entry["description"]
    small = ["--set", "layer_orders.width=4", "--set", "layer_orders.stages=1", "--set", "order_log.path=known.log"]
    printed = environment.run("rbflex-evo", "check", *GIVEN.values(), "--space", "layer_orders", *small, folder=example)
    assert printed.count("passed: ") == len(GIVEN) and "failed" not in printed

    found = environment.run("rbflex-evo", "search", "search.yaml", "--set", "budget.evaluations=24", folder=example)
    assert "the budget of 24 evaluations is spent (24 evaluated, 0 failed" in found and "order_log" in found
    report = (example / "runs" / "layer-orders" / "report.html").read_text()
    assert "pink noise" in report and "late_acceptance" in report and "layer_orders" in report
    tested = environment.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_plugin.py", folder=example)
    assert " passed" in tested or "[100%]" in tested


@pytest.mark.parametrize("path", sorted(EXAMPLE.glob("rbflex_evo_example/*.py")), ids=lambda path: path.stem)
def test_a_module_of_the_example_has_less_than_sixty_lines(path):
    assert len(path.read_text().splitlines()) < 60


def plugin(folder: Path, group: str, points: dict[str, str], name: str = "their-plugin") -> None:
    """Writes the metadata of an installed package."""
    metadata = folder / f"{name.replace('-', '_')}-2.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    lines = [f"{point} = {value}" for point, value in points.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[rbflex_evo.{group}]", *lines]))


MODULE = """
from rbflex_evo.spaces.families.toy.space import ToySpace

class Sound(ToySpace):
    name = "sound"
    description = "a space of another package"

class Nameless:
    pass
"""


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Returns what installs a package that registers spaces."""
    (tmp_path / "their_spaces.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(points: dict[str, str], name: str = "their-plugin") -> None:
        plugin(tmp_path, "spaces", points, name)

    # What other tests have loaded is known already.
    monkeypatch.setattr(
        SPACES,
        "_known",
        {
            "toy": "rbflex_evo.spaces.families.toy.space:ToySpace",
            "nats_tss": "rbflex_evo.spaces.families.nats_bench.space:TopologySpace",
        },
    )
    return install


def test_a_broken_package_costs_one_line_and_nothing_else(plugins, capsys):
    wrong = {"absent": "no_such_module:Space", "gone": "their_spaces:Gone", "no_space": "their_spaces:Nameless"}
    plugins({"sound": "their_spaces:Sound", **wrong})
    assert run(["list", "spaces"]) == 0
    out, err = capsys.readouterr()
    listed = [line.partition(" [")[0] for line in out.splitlines() if not line.startswith(" ")]
    assert listed == ["nats_tss", "sound", "toy"]
    assert "sound [4,096 genotypes] (their-plugin 2.0): a space of another package" in out
    broken = err.splitlines()
    assert len(broken) == 3 and "Traceback" not in err
    assert broken[0].startswith("warning: space 'absent' of their-plugin 2.0 cannot be loaded from 'no_such_module:Space' (Module")
    assert broken[1].startswith("warning: space 'gone' of their-plugin 2.0 cannot be loaded from 'their_spaces:Gone' (Attribute")
    assert broken[0].endswith("; fix or uninstall that package")
    assert broken[2].startswith("warning: 'no_space' of their-plugin 2.0 cannot be described (AttributeError")
    assert run(["list", "spaces", "--json"]) == 0
    assert [(entry["name"], entry.get("package")) for entry in json.loads(capsys.readouterr().out)] == [
        ("nats_tss", None),
        ("sound", "their-plugin 2.0"),
        ("toy", None),
    ]


def test_a_broken_package_is_told_where_its_name_is_asked_for(plugins, capsys):
    plugins({"absent": "no_such_module:Space"})
    assert run(["score", "absent", "random"]) == 2
    assert capsys.readouterr().err.startswith("error: space 'absent' of their-plugin 2.0 cannot be loaded")
    assert run(["score", "absnt", "random"]) == 2
    assert "did you mean 'absent'?" in capsys.readouterr().err


def test_a_name_that_is_taken_is_refused(plugins):
    plugins({"toy": "their_spaces:Sound", "sound": "their_spaces:Sound"})
    plugins({"sound": "their_spaces:Nameless"}, "another-plugin")
    with pytest.raises(PluginError, match=r"space 'toy' is given by rbflex-evo and by their-plugin 2.0; rename one"):
        SPACES.get("toy")
    with pytest.raises(PluginError, match=r"space 'sound' is given by .*-plugin 2.0 and by .*-plugin 2.0; rename one"):
        SPACES.get("sound")
    assert SPACES.get("nats_tss").name == "nats_tss"


def test_a_package_that_is_listed_twice_is_one(plugins):
    plugins({"sound": "their_spaces:Sound"})
    plugins({"sound": "their_spaces:Sound"}, "copy-of-their-plugin")
    assert SPACES.get("sound").name == "sound"


def test_a_registered_name_must_be_the_class_s_own(plugins, capsys):
    plugins({"sond": "their_spaces:Sound"})
    assert run(["check", "sond"]) == 1
    assert "failed: Sound.name is 'sound', but it is registered as 'sond'; give both the same name" in capsys.readouterr().out
