"""Random content for every reader: it is accepted, or refused in a few lines, within seconds and without much memory."""

from __future__ import annotations

import io
import json
import pickle
import resource
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from .children import calling, problem, run
from .limits import address_space
from .mutations import damaged, odd_text, odd_value
from .trials import Found, Outcome, Place

SECONDS = 20.0
MEMORY = 3 * 2**30
RUN_FILES = ("config.yaml", "journal.jsonl", "result.json")


def trial(rng: np.random.Generator, place: Place) -> Found:
    """Feeds one reader with one random input."""
    subject = list(SUBJECTS)[rng.integers(len(SUBJECTS))]
    work, what = SUBJECTS[subject](rng, place)

    def limited() -> int:
        resource.setrlimit(resource.RLIMIT_AS, (address_space() + MEMORY, resource.RLIM_INFINITY))
        return calling(work)()

    ended = run(limited, place.work, SECONDS)
    wrong = problem(ended)
    if wrong is not None:
        return Found(wrong.outcome, f"{subject}: {what}: {wrong.detail}")
    return Found(Outcome.CLEAR if ended.code else Outcome.SAME, f"{subject}: {what}")


Work = tuple[Callable[[], object], str]


def _configuration(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.engine.configuration.assembly import Assembly
    from rbflex_evo.engine.configuration.config import load_config, load_scoring

    examples = sorted(entry.name for entry in files("rbflex_evo.configs").iterdir() if entry.name.endswith(".yaml"))
    name = examples[rng.integers(len(examples))]
    text = files("rbflex_evo.configs").joinpath(name).read_text(encoding="utf-8")
    path = place.work / "search.yaml"
    if rng.integers(3):
        path.write_text(yaml.safe_dump(odd_value(rng, yaml.safe_load(text)), sort_keys=False), encoding="utf-8")
    else:
        path.write_bytes(damaged(rng, text.encode())[0] if rng.integers(2) else odd_text(rng, text).encode())
    read = load_config if rng.integers(3) else load_scoring

    def work() -> None:
        config = read(path)
        if config.compare is not None:
            _ = config.plan
        parts = Assembly(config)
        _ = parts.space, parts.proxies, parts.objective, parts.constraints, parts.warm_start

    return work, name


def _notation(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.spaces import SPACES, create_space

    names = SPACES.names()
    space = create_space(names[rng.integers(len(names))])
    text = odd_text(rng, space.notation(space.encoding.sample(rng)))

    def work() -> None:
        genotype = space.parse(text)
        if space.parse(space.notation(genotype)) != space.parse(space.notation(space.parse(text))):
            raise AssertionError("two readings differ")
        space.encoding.validate(genotype)
        space.key(genotype)

    return work, f"{space.name} {text[:80]!r}"


def _cells(count: int = 6) -> list[str]:
    from rbflex_evo.spaces import create_space

    space = create_space("nats_tss")
    return [space.notation(space.encoding.sample(np.random.default_rng(seed))) for seed in range(count)]


def _table(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.spaces import create_space
    from rbflex_evo.spaces.tables.table import create_table

    name, space, suffix, content, values = TABLES[rng.integers(len(TABLES))](rng)
    path = place.work / f"table{suffix}"
    path.write_bytes(damaged(rng, content)[0])

    def work() -> None:
        table = create_table(name, create_space(space), path=str(path), **values)
        _ = table.accuracies(), table.best, table.mean

    return work, f"{name}{suffix}"


def _csv_table(rng: np.random.Generator) -> tuple[str, str, str, bytes, dict[str, Any]]:
    rows = [f"{cell},{50 + i}.5" for i, cell in enumerate(_cells())]
    text = "\n".join(["notation,accuracy", *rows])
    return "csv", "nats_tss", ".csv", (odd_text(rng, text) if rng.integers(2) else text).encode(), {}


def _npz_table(rng: np.random.Generator) -> tuple[str, str, str, bytes, dict[str, Any]]:
    content = _npz(arch_str=np.array(_cells()), cifar10=np.linspace(50, 90, 6))
    return "npz", "nats_tss", ".npz", content, {"accuracy": "cifar10"}


def _nds_table(rng: np.random.Generator) -> tuple[str, str, str, bytes, dict[str, Any]]:
    from rbflex_evo.spaces import create_space

    space = create_space("nds_resnet")
    nets = [json.loads(space.notation(space.encoding.sample(np.random.default_rng(seed)))) for seed in range(3)]
    records = [{"net": net, "test_ep_top1": [40.0, 30.5], "min_test_top1": 30.5} for net in nets]
    return "nds", "nds_resnet", ".json", _json(rng, records), {}


def _nafbee_table(rng: np.random.Generator) -> tuple[str, str, str, bytes, dict[str, Any]]:
    records = {str(i): {"network": "VGG19", "activation": name, "accuracy": 90.0 + i} for i, name in enumerate(("ReLU", "GELU"))}
    return "nafbee", "nafbee_vgg19", ".json", _json(rng, records), {}


def _transnas_table(rng: np.random.Generator) -> tuple[str, str, str, bytes, dict[str, Any]]:
    from rbflex_evo.spaces import create_space

    space = create_space("transnas_micro")
    pairs = [[space.notation(space.encoding.sample(np.random.default_rng(seed))), 40.5] for seed in range(4)]
    if rng.integers(2):
        return "transnas101", "transnas_micro", ".json", _json(rng, pairs), {}
    metrics = {"metrics": {"test_top1": [30.0, 41.5], "valid_top1": [31.0, 42.5]}}
    content = {"data": {"micro": {notation: {"class_object": metrics} for notation, _ in pairs}}}
    return "transnas101", "transnas_micro", ".pth", _saved(odd_value(rng, content) if rng.integers(2) else content), {}


def _nasbench101_table(rng: np.random.Generator) -> tuple[str, str, str, bytes, dict[str, Any]]:
    from rbflex_evo.spaces import create_space

    space = create_space("nasbench101")
    cells = [space.notation(space.encoding.sample(np.random.default_rng(seed))) for seed in range(3)]
    text = "\n".join(["notation;accuracy".replace(";", ","), *(f'"{cell}",90.5' for cell in cells)])
    return "nasbench101", "nasbench101", ".csv", (odd_text(rng, text) if rng.integers(2) else text).encode(), {}


TABLES = (_csv_table, _npz_table, _nds_table, _nafbee_table, _transnas_table, _nasbench101_table)


def _data(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.fitness.data.batch import create_batch

    kind = DATA[rng.integers(len(DATA))]
    source, values = kind(rng, place.work)
    return (lambda: create_batch(source, n=4, **values)), f"{kind.__name__.strip('_')}"


def _array(rng: np.random.Generator, folder: Path) -> tuple[str, dict[str, Any]]:
    shape = ((8, 3, 8, 8), (8, 8, 8, 3), (8, 8, 8), (8, 16), (0, 3, 8, 8), (8,))[rng.integers(6)]
    images = rng.integers(0, 255, shape).astype(("uint8", "float32", "int64", "float16", "complex64", "U3", "O")[rng.integers(7)])
    suffix = (".npz", ".npy", ".pt")[rng.integers(3)]
    labels = rng.integers(0, 10, 8)
    if suffix == ".npz":
        content = _npz(images=images, labels=labels)
    elif suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, images)
        content = buffer.getvalue()
    else:
        content = _saved({"images": images.tolist() if images.dtype.kind in "UO" else _tensor(images), "labels": labels.tolist()})
    path = folder / f"data{suffix}"
    path.write_bytes(content if rng.integers(4) == 0 else damaged(rng, content)[0])
    return "file", {"path": str(path), **({"array": "images", "labels": "labels"} if suffix != ".npy" else {})}


def _pictures(rng: np.random.Generator, folder: Path) -> tuple[str, dict[str, Any]]:
    from PIL import Image

    modes = ("RGB", "L", "RGBA", "P", "1", "CMYK", "I;16")
    for number in range(5):
        mode = modes[rng.integers(len(modes))]
        suffix = "png" if mode != "CMYK" and rng.integers(2) else "jpg"
        image = Image.new("RGB", (int(rng.integers(1, 40)), int(rng.integers(1, 40)))).convert("RGB" if suffix == "jpg" else mode)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG" if suffix == "jpg" else "PNG")
        content = buffer.getvalue()
        (folder / f"{number}.{suffix}").write_bytes(damaged(rng, content)[0] if rng.integers(2) else content)
    return "folder", {"root": str(folder), "size": 16}


def _cifar(rng: np.random.Generator, folder: Path) -> tuple[str, dict[str, Any]]:
    root = folder / "cifar-10-batches-py"
    root.mkdir()
    for number in range(1, 6):
        content = {"data": rng.integers(0, 255, (20, 3072)).astype("uint8"), "labels": rng.integers(0, 10, 20).tolist()}
        if rng.integers(3) == 0:
            content = odd_value(rng, content)
        data = pickle.dumps(content)
        (root / f"data_batch_{number}").write_bytes(damaged(rng, data)[0] if rng.integers(2) else data)
    return "cifar10", {"root": str(folder)}


def _sentences(rng: np.random.Generator, folder: Path) -> tuple[str, dict[str, Any]]:
    text = "sentence\tlabel\n" + "".join(f"a fine film number {i} , really\t{i % 2}\n" for i in range(12))
    words = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "fine", "film", "##s", "number", ","])
    (folder / "train.tsv").write_bytes(_odd_bytes(rng, text))
    (folder / "vocab.txt").write_bytes(_odd_bytes(rng, words))
    vocabulary = {"vocabulary_file": str(folder / "vocab.txt")} if rng.integers(2) else {}
    return "sst2", {"path": str(folder / "train.tsv"), "length": 12, **vocabulary}


DATA = (_array, _pictures, _cifar, _sentences)


def _scores(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.engine.tabulation.score_table import read_scores
    from rbflex_evo.fitness.measuring.tabulated import read_tabulated

    cells = np.array(_cells())
    arrays = {
        "space": np.array("nats_tss"), "architecture": cells, "row": np.arange(6), "key": cells, "notation": cells,
        "naswot": np.arange(6.0), "naswot_failure": np.array([""] * 6),
    }  # fmt: skip
    path = place.work / "scores.npz"
    path.write_bytes(_odd_npz(rng, arrays))

    def work() -> None:
        read_scores(path)
        read_tabulated(path, ["naswot"])

    return (lambda: read_scores(path)) if rng.integers(2) else (lambda: read_tabulated(path, ["naswot"])), "scores.npz"


def _latencies(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.fitness.costs.metric import create_metric
    from rbflex_evo.spaces import create_space

    path = place.work / "latency.npz"
    path.write_bytes(_odd_npz(rng, {"arch_str": np.array(_cells()), "gpu": np.arange(6.0)}))
    values = {"path": str(path), "notation": "arch_str"}
    return (lambda: create_metric("latency:gpu", create_space("nats_tss"), values)), "latency.npz"


def _predictor(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.fitness.costs.predictors.lookup import Lookup
    from rbflex_evo.fitness.costs.predictors.saved import Provenance, load_predictor, save_predictor
    from rbflex_evo.spaces import create_space

    space = create_space("nats_tss")
    genotypes = [space.parse(cell) for cell in _cells()]
    predictor = Lookup(space)
    predictor.fit(genotypes, np.arange(1.0, 7.0))
    path = place.work / "predictor.npz"
    save_predictor(path, predictor, Provenance("gpu", "latency", "ms", 6, "2025-01-01"))
    with np.load(path) as stored:
        path.write_bytes(_odd_npz(rng, dict(stored)))
    return (lambda: load_predictor(path, space)[0].predict(genotypes)), "predictor.npz"


def _run_folder(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.engine.report.report import write_report
    from rbflex_evo.engine.run.record import read_run

    folder = place.work / "run"
    folder.mkdir()
    for name, content in _finished_run(place).items():
        (folder / name).write_bytes(content)
    victim = folder / RUN_FILES[rng.integers(len(RUN_FILES))]
    content = victim.read_bytes()
    if victim.suffix == ".yaml" and rng.integers(2):
        victim.write_text(yaml.safe_dump(odd_value(rng, yaml.safe_load(content))), encoding="utf-8")
    elif victim.suffix == ".json" and rng.integers(2):
        victim.write_bytes(_json(rng, json.loads(content)))
    elif victim.suffix == ".jsonl" and rng.integers(2):
        victim.write_bytes(_odd_journal(rng, content))
    else:
        victim.write_bytes(damaged(rng, content)[0])
    with_report = rng.integers(4) == 0
    return (lambda: write_report(folder) if with_report else read_run(folder)), victim.name


def _odd_journal(rng: np.random.Generator, content: bytes) -> bytes:
    """Returns a journal with odd values whose checksums are right, as another program may write it."""
    from rbflex_evo.engine.run.journal import encode

    lines = [json.loads(line) for line in content.splitlines()]
    for line in lines:
        line.pop("crc")
    number = int(rng.integers(len(lines)))
    lines[number] = odd_value(rng, lines[number])
    with suppress(ValueError, TypeError, AttributeError, OverflowError):
        return b"".join(map(encode, lines))
    return content


def _finished_run(place: Place) -> dict[str, bytes]:
    from .small_runs import configuration, reference, written

    values = configuration(np.random.default_rng(0), 20)
    reference(values, place)
    path = place.shared / "fuzzed-run.json"
    if not path.exists():
        folder = place.shared / "fuzzed-run"
        folder.mkdir(exist_ok=True)
        config = written({**values, "space": "nats_tss"}, folder)

        def make() -> None:
            from rbflex_evo.engine.search.search import Search

            search = Search.from_yaml(config, quiet=True)
            search.report = False
            search.run()

        ended = run(calling(make), folder, 120)
        if ended.code:
            raise RuntimeError(ended.errors)
        path.write_text(json.dumps({name: (folder / "run" / name).read_text() for name in RUN_FILES}))
    return {name: text.encode() for name, text in json.loads(path.read_text()).items()}


def _exported(rng: np.random.Generator, place: Place) -> Work:
    from rbflex_evo.engine.export.exported import read_architecture

    folder = place.work / "export"
    folder.mkdir()
    content = {
        "version": 1, "space": {"name": "toy", "version": 1, "parameters": {}}, "genotype": [1] * 6, "notation": "conv1",
        "run": {"name": "x", "finished": True, "evaluations": 3, "place": 1, "scores": {}, "costs": {}},
    }  # fmt: skip
    (folder / "architecture.json").write_bytes(_json(rng, content))
    return (lambda: read_architecture(folder)), "architecture.json"


def _plain_yaml(rng: np.random.Generator, place: Place) -> Work:
    """Nested, repeated and aliased YAML."""
    from rbflex_evo.engine.configuration.config import load_config

    depth = int(rng.integers(2, 12))
    kinds = (
        "\n".join(
            ["a0: &a0 [x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, depth)]
        ),
        "[" * 10**depth if depth < 6 else "[" * 10**5,
        "a: &a {b: *a}",
        "? [x, y]\n: z\n",
        "space: !!python/object/apply:os.system ['true']",
        "name: " + "x" * 10 ** min(depth, 6),
        "{" * 5000 + "}" * 5000,
        "budget: {evaluations: 1" + "0" * 5000 + "}",
    )
    path = place.work / "odd.yaml"
    path.write_text(kinds[rng.integers(len(kinds))], encoding="utf-8")
    return (lambda: load_config(path)), path.read_text()[:40]


SUBJECTS: dict[str, Callable[[np.random.Generator, Place], Work]] = {
    "configuration": _configuration,
    "yaml": _plain_yaml,
    "notation": _notation,
    "table": _table,
    "data": _data,
    "scores": _scores,
    "latencies": _latencies,
    "predictor": _predictor,
    "run": _run_folder,
    "export": _exported,
}


def _npz(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _odd_npz(rng: np.random.Generator, arrays: dict[str, np.ndarray]) -> bytes:
    """Damaged bytes, or whole arrays of another type, shape or length."""
    if rng.integers(2):
        return damaged(rng, _npz(**arrays))[0]
    name = list(arrays)[rng.integers(len(arrays))]
    odd = (
        np.zeros((2, 2)),
        np.array(3),
        np.array(["x"] * 6),
        np.full(6, np.nan),
        np.arange(5),
        np.array([], int),
        np.full(6, -7),
        None,
    )
    chosen = odd[rng.integers(len(odd))]
    return _npz(**{key: value for key, value in {**arrays, name: chosen}.items() if value is not None})


def _json(rng: np.random.Generator, content: Any) -> bytes:
    """JSON of plain data with odd values in it."""
    return json.dumps(odd_value(rng, content), default=repr).encode(errors="replace")


def _odd_bytes(rng: np.random.Generator, text: str) -> bytes:
    how = rng.integers(3)
    return text.encode() if how == 0 else odd_text(rng, text).encode() if how == 1 else damaged(rng, text.encode())[0]


def _tensor(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array)


def _saved(content: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()
