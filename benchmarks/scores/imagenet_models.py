"""Scores beside the ImageNet accuracies of published models, in the groups of the survey's sections 4.1.3 and 4.3.

    python -m benchmarks imagenet_models score --benchdata FOLDER      scores the models, smallest first; the same command resumes
    python -m benchmarks imagenet_models report --benchdata FOLDER     reads the accuracies and writes table and picture

FOLDER holds timm_results.csv.gz, timm's table of results. A model takes part if a weight file of it was trained on ImageNet-1k
alone, as its tag says (`TAGS`), its family is listed in `GROUPS`, and it has at most `--gmacs` multiply-accumulates at the smallest
size of images that the table has for it. Toy models and TensorFlow's versions of others (``test_``, ``tf_``) are left out. The
accuracy of a model is the mean over these weight files, each at its smallest size. Models are built with random weights for images
of `--pixels`, N(0, 1) noise; those that cannot be are named in the report.

The survey is Li et al., "Zero-Shot Neural Architecture Search", arXiv 2307.01998; its figures have no printed values.
Needs `pip install 'rbflex-evo[models]'`.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.figures.small_multiples import draw_clouds
from benchmarks.shared.output import markdown, write
from rbflex_evo.engine.correlation.correlate import combine
from rbflex_evo.engine.figures.plots import kendall
from rbflex_evo.fitness import create_batch, create_proxy
from rbflex_evo.fitness.measuring.conditions import Conditions
from rbflex_evo.fitness.measuring.measurer import Measurer
from rbflex_evo.fitness.objective.objective import ObjectiveParameters, create_objective
from rbflex_evo.fitness.objective.presets import PRESETS
from rbflex_evo.fitness.passes.observer import CandidateFailed
from rbflex_evo.spaces import create_space, parse
from rbflex_evo.spaces.tables.files import existing_file, read_csv
from rbflex_evo.spaces.tables.table import create_table

RESULTS = "timm_results.csv.gz"
# Tags of weight files that were trained on ImageNet-1k alone, without another network, self-supervision or adversarial images.
LEFT_OUT = (
    "in12k", "in21k", "in22k", "dist", "teacher", "mae_", "adv", "ap_", "ssl", "swsl", "ssld", "yfcc", "jft", "laion", "clip",
    "openai", "webli", "swag", "seer", "usi", "ns_",
)  # fmt: skip
TAGS = ["*in1k*", *(f"!*{part}*" for part in LEFT_OUT)]
# Families of timm's table. Models that mix convolutions and attention are Vision Transformers here, as in timm.
GROUPS = {
    "ViTs": (
        "vit", "deit", "cait", "xcit", "pit", "pvt", "twins", "swin", "swinv2", "crossvit", "coat", "convit", "tiny", "mvitv2",
        "gcvit", "maxvit", "maxxvit", "coatnet", "davit", "visformer", "hiera", "edgenext", "mobilevit", "mobilevitv2",
        "efficientvit", "shvit", "levit", "tnt", "nest", "caformer",
    ),
    "CNNs": (
        "resnet", "mobilenetv1", "mobilenetv2", "mobilenetv3", "mobilenetv4", "regnetx", "regnety", "densenet", "convnext",
        "efficientnet", "repvgg", "rexnet",
    ),
    "ResNets": ("resnet",),
    "MobileNets": ("mobilenetv1", "mobilenetv2", "mobilenetv3", "mobilenetv4"),
}  # fmt: skip
# Wide ResNets and deep ResNets are larger than the limit of the other groups.
RESNET_GMACS = 12.0
SMALL = 1.0

SHARED = {"statistics": "image", "inputs": "data"}
SCORES: dict[str, tuple[str, dict[str, Any]]] = {
    "rbflex": ("rbflex", {"gamma": "flat", "features": False}),
    "layered": ("layered", {}),
    "rbflex and features": ("rbflex", {"gamma": "flat"}),
    "layered and features": ("layered", {}),
    "naswot": ("naswot", {}),
    "swap": ("swap", {}),
    "az_expressivity": ("az_expressivity", SHARED),
    "az_progressivity": ("az_progressivity", SHARED),
    "params": ("params", {}),
    "flops": ("flops", {}),
    "early_depth": ("early_depth", {}),
}
# The survey's scores, for the two groups of its section 4.1.3 alone.
SURVEYED: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in ("zen", "synflow", "grad_norm", "snip", "fisher")}
PRESET = "rbflex_robust"


def candidates(benchdata: Path, gmacs: float) -> dict[str, dict[str, Any]]:
    """Returns the groups and the GMACs of each model that takes part, in the order of scoring; no accuracy is read.

    The smallest come first, but all Transformers before the convolutional networks of more than `SMALL` GMACs.
    """
    import timm

    rows = read_csv(existing_file(str(benchdata / RESULTS)))
    known = set(timm.list_models())
    found: dict[str, dict[str, Any]] = {}
    for model, family, size, cost in zip(rows["model"], rows["family"], rows["img_size"], rows["infer_gmacs"], strict=True):
        name, _, tag = model.partition(".")
        groups = [group for group, families in GROUPS.items() if family in families]
        recipe = "in1k" in tag and not any(part in tag for part in LEFT_OUT)
        if not groups or not recipe or name not in known or name.startswith(("test_", "tf_")):
            continue
        one = {"groups": groups, "size": int(size), "gmacs": float(cost)}
        if name not in found or one["size"] < found[name]["size"]:
            found[name] = one
    for one in found.values():
        if one["gmacs"] > gmacs:
            large = "ResNets" in one["groups"] and one["gmacs"] <= RESNET_GMACS
            one["groups"] = ["ResNets"] if large else []
    chosen = {name: one for name, one in found.items() if one["groups"]}
    later = {name: "ViTs" not in one["groups"] and one["gmacs"] > SMALL for name, one in chosen.items()}
    return dict(sorted(chosen.items(), key=lambda item: (later[item[0]], item[1]["gmacs"], item[0])))


def measured(name: str, scores: Mapping[str, tuple[str, dict[str, Any]]], pixels: int, images: int) -> dict[str, Any]:
    """Returns the scores of one model, or the reasons why it has none, and the seconds that they took."""
    space = create_space("models", **{"from": [name], "library": "timm", "size": pixels, "features": "none"})
    batch = create_batch("noise", shape=[3, pixels, pixels], n=images, seed=0)
    proxies = {label: create_proxy(kind, **values) for label, (kind, values) in scores.items()}
    # Some models have no features but round-off, so all are compared by their activations.
    proxies = {label: proxy if "features" in label else proxy.for_space(space) for label, proxy in proxies.items()}
    started = time.perf_counter()
    (found,) = Measurer(Conditions.of(space, batch, device="cpu")).measure([((0,), proxies)])
    result: dict[str, Any] = {"model": name, "scores": {}, "failures": dict(found.failures)}
    for label, statistics in found.statistics.items():
        try:
            result["scores"][label] = float(f"{proxies[label].score(statistics):.6g}")
        except CandidateFailed as failed:
            result["failures"][label] = str(failed)
    return result | {"seconds": round(time.perf_counter() - started, 2)}


def read_lines(file: Path) -> dict[str, dict[str, Any]]:
    """Returns the results so far by model."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {line["model"]: line for line in map(json.loads, lines)}


def score(options: argparse.Namespace, file: Path) -> None:
    """Scores every model that has no result yet."""
    done = read_lines(file)
    chosen = candidates(options.benchdata, options.gmacs)
    file.parent.mkdir(parents=True, exist_ok=True)
    for i, (name, facts) in enumerate(chosen.items(), start=1):
        if name in done:
            continue
        scores = SCORES | (SURVEYED if {"ResNets", "MobileNets"} & set(facts["groups"]) else {})
        try:
            result = measured(name, scores, options.pixels, options.images)
        except Exception as error:  # One model must not hide the others.
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            result = {"model": name, "scores": {}, "failures": dict.fromkeys(scores, reason), "seconds": 0.0}
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(result) + "\n")
        print(f"{i}/{len(chosen)} {name} {result['seconds']} s, {len(result['scores'])} of {len(scores)} scores", flush=True)


def columns_of(results: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Returns the scores [models] by name, NaN where a model has none, with the preset."""
    columns = {name: np.array([result["scores"].get(name, np.nan) for result in results]) for name in names}
    preset = PRESETS.get(PRESET)
    objective = create_objective(parse(ObjectiveParameters, preset.objective, "preset"), preset.proxies)
    return {PRESET: combine(objective, columns)} | columns


def report(options: argparse.Namespace, file: Path) -> None:
    """Judges the scores in each group, and writes the table and the picture."""
    from scipy.stats import spearmanr

    results, chosen = read_lines(file), candidates(options.benchdata, options.gmacs)
    scored = [name for name in chosen if name in results and results[name]["scores"]]
    refused = {name: next(iter(results[name]["failures"].values())) for name in chosen if name in results and name not in scored}
    space = create_space("models", **{"from": scored, "library": "timm", "size": options.pixels})
    accuracy = create_table("timm", space, path=str(options.benchdata / RESULTS), tags=TAGS).accuracies()
    rows: list[list[Any]] = []
    panels: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    content: dict[str, Any] = {"pixels": options.pixels, "gmacs": options.gmacs, "images": options.images, "refused": refused}
    for group in GROUPS:
        members = [name for name in scored if group in chosen[name]["groups"]]
        names = [*SCORES, *(SURVEYED if group in ("ResNets", "MobileNets") else ())]
        columns = columns_of([results[name] for name in members], names)
        whole = np.isfinite(np.stack([columns[name] for name in ("rbflex", "layered", "naswot", "params", PRESET)])).all(axis=0)
        members = [name for name, good in zip(members, whole, strict=True) if good]
        columns = {name: values[whole] for name, values in columns.items()}
        known = np.array([accuracy[name] for name in members])
        columns["GMACs of timm"] = np.array([chosen[name]["gmacs"] for name in members])
        found = {}
        for name, values in columns.items():
            there = np.isfinite(values)
            if there.sum() > 2:
                found[name] = (
                    kendall(values[there], known[there]),
                    float(spearmanr(values[there], known[there]).statistic),
                    int(there.sum()),
                )
        ordered = sorted(found.items(), key=lambda item: -(item[1][0] or -1))
        limit = max(chosen[name]["gmacs"] for name in members)
        rows += [
            [f"{group}, up to {limit:g} GMACs", name, tau if tau is not None else "undefined", rho, count]
            for name, (tau, rho, count) in ordered
        ]
        content[group] = {"models": members, "kendall": {name: values[0] for name, values in found.items()}}
        if group in ("ViTs", "CNNs"):
            sizes = {f"log10 {name}": np.log10(columns[name]) for name in ("params", "flops")}
            shown = {PRESET: columns[PRESET], "rbflex": columns["rbflex"], **sizes}
            panels |= {f"{len(members)} {group}, {name}": (values, known) for name, values in shown.items()}
    title = f"ImageNet models at {options.pixels} pixels, at most {options.gmacs:g} GMACs"
    write(options.folder, "imagenet_models", title, markdown(["group", "score", "Kendall", "Spearman", "models"], rows), content)
    draw_clouds(panels, options.folder / "imagenet_models.png", title, "ImageNet top-1 (%)", columns=4)
    print(f"{len(refused)} refused: " + "; ".join(f"{name}: {reason}" for name, reason in refused.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["score", "report"])
    parser.add_argument("--benchdata", type=Path, required=True, help="folder with timm_results.csv.gz")
    parser.add_argument("--gmacs", type=float, default=5.0, help="largest number of multiply-accumulates in timm's table, in 1e9")
    parser.add_argument("--pixels", type=int, default=96, help="height and width of the images")
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    file = options.folder / f"imagenet_models_{options.pixels}.jsonl"
    {"score": score, "report": report}[options.part](options, file)


if __name__ == "__main__":
    main()
