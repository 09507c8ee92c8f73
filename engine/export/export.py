"""``export``: the best networks of a run as folders that hold all it takes to train them.

A folder is the raw network as its benchmark counts it (`SearchSpace.build`), with the weights that scores are measured with: drawn
from the run's seed and distribution, each a pure function of its name, in float32; normalisation layers as torch makes them, their
running statistics fresh. Everything is written to a temporary folder and moved into place when it is complete.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rbflex_evo.engine.run.environment import environment
from rbflex_evo.engine.run.folder import LOCK, find_run, locked
from rbflex_evo.engine.run.record import RunRecord, read_run, why_nothing
from rbflex_evo.engine.terminal.messages import attempt
from rbflex_evo.engine.terminal.progress import Progress
from rbflex_evo.engine.terminal.wording import named
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.fitness.network_files import save_program
from rbflex_evo.fitness.passes.weights import WeightParameters, build_initialised
from rbflex_evo.spaces import ConfigError, FailedError, Genotype, RunError, SearchSpace, create_space, file_error
from rbflex_evo.spaces.isolation.settings import own_settings

from . import onnx_file
from .exported import FILE, ONNX, PROGRAM, STATE, VERSION, Architecture, ExportedCosts, Interface, Run, Space, checksum
from .family import family_of

EXAMPLES = 3
DRAWING = "architecture.png"


@dataclass(frozen=True)
class Exported:
    """One exported network: its folder, and what ``architecture.json`` in it says."""

    folder: Path
    architecture: Architecture


@own_settings()
def export_run(
    folder: str | Path,
    *,
    top: int | None = None,
    family: int | None = None,
    over: str | None = None,
    into: str | Path | None = None,
    classes: int | None = None,
    program: bool = False,
    onnx: bool = False,
    replace: bool = False,
    space: SearchSpace | None = None,
    quiet: bool = False,
) -> list[Exported]:
    """Writes the best networks of a run, finished or not, each into a folder named by its place.

    Args:
        folder: Folder of the run.
        top: How many, in the order of the run's objective over all that it has evaluated; by default the best one, or of several
            objectives the front, the best in the first objective first.
        family: How many networks of different sizes, the smallest first, each the best of its part of the range; see `family`.
        over: Cost that a family is spread over; by default the first measure of the run's map, or parameters.
        into: Folder to write; by default ``export`` in the run's folder.
        classes: Outputs of the classifier if they differ from the run's.
        program: Also writes ``network.pt2`` (`torch.export`), the network in evaluation mode, for torch without this package.
        onnx: Also writes ``network.onnx``, checked against torch (see `onnx_file`); needs the extra ``onnx``.
        replace: Replaces an earlier export.
        space: Space of the run, if its networks are built by a function of a notebook or a script, which is not stored.
        quiet: Shows no progress.

    Raises:
        RunError: if it is no run's folder, it has fewer networks, or the place is taken or cannot be written.
        ConfigError: if `top` is below 1, the space has no `classes` to set, or the extra is missing.
    """
    for name, count in (("top", top), ("family", family)):
        if count is not None and count < 1:
            raise ConfigError(f"{name!r} must be at least 1, but it is {count}")
    if top is not None and family is not None:
        raise ConfigError("'top' and 'family' choose different networks; give one of them")
    if over is not None and family is None:
        raise ConfigError("'over' is the cost that a family is spread over; give 'family', too, or leave it out")
    if onnx:
        onnx_file.check_packages()
    config = find_run(folder)
    run = read_run(config.folder)
    values = dict(config.space.values)
    if classes is not None:
        values["classes"] = classes
        _check_classes(config.space.name)
    if space is None or classes is not None:
        space = create_space(config.space.name, **values)
    chosen = networks_of(run, top) if family is None else family_of(run, run.view(), space, family, over)
    target = config.folder / "export" if into is None else Path(into)
    done = []
    with _whole(target, replace) as draft, Progress("export", len(chosen), unit="network", shown=not quiet) as progress:
        for place, evaluation in enumerate(chosen, 1):
            facts = Run(
                name=config.name,
                finished=run.outcome is not None,
                evaluations=len(run.evaluations),
                place=place,
                scores=dict(evaluation.scores),
                costs=dict(evaluation.costs),
            )
            written = write_network(
                draft / str(place), space, evaluation, facts, config.fitness.weights, program=program, onnx=onnx
            )
            done.append(Exported(target / str(place), written))
            progress.advance()
    return done


def _check_classes(name: str) -> None:
    from rbflex_evo.spaces import SPACES

    if "classes" not in SPACES.get(name).Parameters.model_fields:
        raise ConfigError(f"the networks of {name} have no 'classes' to set; export them without, and put a head of yours on them")


def networks_of(run: RunRecord, top: int | None = None) -> list[Evaluation]:
    """Returns the `top` best candidates of a run, distinct networks all; by default the best one, or the front.

    Raises:
        RunError: if there are none, or fewer.
    """
    view = run.view()
    best = view.best_first()
    if not best:
        raise RunError(f"{run.folder} has nothing to export: {why_nothing(run)}")
    if top is None:
        return view.front() if view.objective.rule == "pareto" else best[:1]
    if top > len(best):
        raise RunError(f"{run.folder} has {len(best)} networks to export, but {top} were asked for; ask for --top {len(best)}")
    return best[:top]


def write_network(
    folder: Path,
    space: SearchSpace,
    evaluation: Evaluation,
    run: Run,
    weights: WeightParameters,
    *,
    program: bool = False,
    onnx: bool = False,
) -> Architecture:
    """Writes one network into a new folder and returns what ``architecture.json`` says; see `export_run`."""
    import torch

    folder.mkdir()
    network = build_initialised(space, evaluation.genotype, weights)
    inputs = space.example_inputs(EXAMPLES)
    torch.save(network.state_dict(), folder / STATE)
    again = "rbflex-evo export RUN --replace"
    attempt("drawing was written", again, lambda: _draw(space, evaluation.genotype, folder / DRAWING))
    if program:
        attempt("torch.export program was written", f"{again} --program", lambda: save_program(network, inputs, folder / PROGRAM))
    if onnx:
        onnx_file.write_onnx(network, inputs, folder / ONNX)
    with torch.no_grad():
        outputs = copy.deepcopy(network).eval()(inputs)
    costs = space.costs(evaluation.genotype)
    architecture = Architecture(
        version=VERSION,
        space=Space(name=space.name, version=space.version, parameters=space.parameters.model_dump(mode="json")),
        genotype=list(evaluation.genotype),
        notation=space.notation(evaluation.genotype),
        key=evaluation.key,
        run=run,
        costs=ExportedCosts(params=costs.params, flops=costs.flops),
        interface=Interface(kind=space.inputs, shape=list(inputs.shape[1:]), outputs=list(outputs.shape[1:])),
        weights=weights,
        checksums={path.name: checksum(path) for path in sorted(folder.iterdir())},
        versions={name: version for name, version in environment().items() if name != "machine"},
    )
    (folder / FILE).write_text(architecture.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(page(architecture, space.snippet(evaluation.genotype)), encoding="utf-8")
    return architecture


def _draw(space: SearchSpace, genotype: Genotype, path: Path) -> None:
    from rbflex_evo.engine.graph_drawing.diagram import draw_architecture

    draw_architecture(space.drawing(genotype)).savefig(path, dpi=200)


def page(architecture: Architecture, snippet: str | None = None) -> str:
    """Returns the README.md of an exported network.

    Args:
        architecture: The network.
        snippet: Python code that builds the network without this package, if there is any.
    """
    run, interface = architecture.run, architecture.interface
    shape = ", ".join(map(str, interface.shape))
    state = "" if run.finished else ", unfinished"
    scored = architecture.scored_costs()
    lines = [
        f"# Network {run.place} of {run.name}",
        "",
        f"`{architecture.notation}`",
        "",
        *([f"![]({DRAWING})", ""] if DRAWING in architecture.checksums else []),
        f"- space: {architecture.space.name} {json.dumps(architecture.space.parameters)}",
        f"- found by: {run.name} ({run.evaluations:,} evaluated{state})",
        f"- scores: {named(run.scores)}",
        f"- costs: {architecture.costs.params:,.0f} parameters, {architecture.costs.flops:,.0f} multiply-accumulates on one input",
        *([] if scored is None else [f"- {scored}"]),
        f"- input: {interface.kind} [N, {shape}], output [N, {', '.join(map(str, interface.outputs))}]",
        f"- weights: untrained, {architecture.weights.distribution}, seed {architecture.weights.seed}; fresh running statistics",
        "",
        "To train it, with rbflex-evo installed:",
        "",
        "```python",
        "from rbflex_evo.engine import load_network",
        "",
        'network = load_network("this/folder")   # a plain torch.nn.Module, in training mode',
        "```",
    ]
    if snippet is not None:
        lines += [
            "",
            "To build it without rbflex-evo:",
            "",
            "```python",
            "import torch",
            *snippet.strip().splitlines(),
            f'network.load_state_dict(torch.load("{STATE}", weights_only=True))',
            "```",
        ]
    if PROGRAM in architecture.checksums:
        lines += [
            "",
            f"Without rbflex-evo, in evaluation mode alone: `torch.export.load({PROGRAM!r}).module()(inputs)`.",
        ]
    if ONNX in architecture.checksums:
        lines += ["", f"`{ONNX}` is the network in evaluation mode, `input` to `output`, for any N."]
    return "\n".join(lines) + "\n"


@contextmanager
def _whole(target: Path, replace: bool) -> Iterator[Path]:
    """Yields a temporary folder that becomes `target` on success and is removed on failure.

    Raises:
        RunError: if `target` is taken, another process is writing there, or it cannot be written.
    """
    _check_free(target, replace)
    draft, old = (target.with_name(f".{target.name}.{kind}") for kind in ("new", "old"))
    try:
        draft.mkdir(parents=True, exist_ok=True)
        lock = open(draft / LOCK, "a")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise file_error(error, target, way_out="name another folder with --into") from None
    with lock:
        if not locked(lock.fileno()):
            raise FailedError(f"another process is exporting into {target}; wait until it is done")
        try:
            _clear(draft, [LOCK])
            yield draft
            (draft / LOCK).unlink()
            _clear(old)
            if target.exists():
                os.rename(target, old)
            os.rename(draft, target)
            _clear(old)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if isinstance(error, OSError):
                raise file_error(error, target) from error
            raise


def _clear(folder: Path, keep: Sequence[str] = ()) -> None:
    """Removes what an export that was killed left behind."""
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for entry in folder.iterdir():
        if entry.name not in keep:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def _check_free(target: Path, replace: bool) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not replace:
        raise RunError(f"{target} exists already; name another folder with --into, or replace what was exported with --replace")
    strangers = sorted(entry.name for entry in target.iterdir() if not (entry / FILE).is_file()) if target.is_dir() else [""]
    if strangers:
        raise RunError(f"{target} is not replaced: {strangers[0]!r} in it is no exported network; name another folder with --into")
