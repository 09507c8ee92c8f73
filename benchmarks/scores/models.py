"""Scores of 50 published models against an independent count of activations and a literal reference.

The models are the smallest of 50 families of timm and torchvision, with random weights, at 64 pixels or the smallest input that a
model takes. The reference knows nothing of the package's observers: below the functions of torch it sees every operation of a
forward of one image in float64, batch normalisation in training mode, and computes eq. 1-7 of RBFleX from the stored vectors.
Differences of less than 1e-11 are its round-off.

Each model's result is a line of models.jsonl; a model that has one is not run again. Needs `pip install 'rbflex-evo[models]'`.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.shared.output import markdown
from rbflex_evo.fitness import CandidateFailed, create_proxy
from rbflex_evo.fitness.passes.layout import Account
from rbflex_evo.fitness.passes.watch import run_observed
from rbflex_evo.fitness.proxies.proxy import Proxy
from rbflex_evo.spaces import ConfigError

MODELS = (
    "beit_base_patch16_224", "botnet26t_256", "cait_xxs24_224", "coat_lite_tiny", "convit_tiny", "convmixer_768_32",
    "convnext_atto", "crossvit_tiny_240", "cs3darknet_s", "davit_tiny", "deit_tiny_patch16_224", "densenet121", "dla46_c", "dpn48b",
    "edgenext_xx_small", "efficientformerv2_s0", "efficientnet_b0", "efficientvit_b0", "efficientvit_m0", "fasternet_t0",
    "fastvit_t8", "ghostnet_050", "hgnetv2_b0", "inception_next_atto", "lcnet_035", "levit_128s", "mixer_s32_224", "mixnet_s",
    "mobilenetv3_small_050", "mobilevit_xxs", "mobilevitv2_050", "nfnet_l0", "pit_ti_224", "poolformer_s12", "pvt_v2_b0",
    "regnetx_002", "repvgg_a0", "repvit_m0_9", "resnest14d", "resnet10t", "rexnet_100", "sequencer2d_s", "starnet_s050",
    "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "tnt_s_patch16_224", "torchvision googlenet",
    "torchvision shufflenet_v2_x0_5", "vgg11_bn",
    "vit_base_patch32_clip_quickgelu_224",
)  # fmt: skip
SIZES = (64, 96, 128, 224, 256)

# Operations of torch's dispatcher that compute an activation.
OPERATIONS = {
    "relu", "hardtanh", "leaky_relu", "_prelu_kernel", "elu", "celu", "gelu", "silu", "mish", "glu", "hardswish", "hardsigmoid",
    "sigmoid", "tanh", "softplus", "log_sigmoid_forward",
}  # fmt: skip
# Modules of timm that compute one activation by several operations.
COMPOSED = {"QuickGELU", "StarReLU", "HardMish", "Swish", "SquaredReLU"}
# Smaller differences are round-off of float64.
CONSTANT = 1e-11
# Relative difference of a score from its reference that float32 should reach.
CLOSE = 1e-3


def build(name: str) -> tuple[nn.Module, int]:
    """Returns the model with random weights and the smallest input of `SIZES` that it takes."""
    failures = []
    for size in SIZES:
        for options in ({"img_size": size}, {}):
            torch.manual_seed(0)
            try:
                model = _create(name, options).eval()
                with torch.no_grad():
                    model(torch.zeros(2, 3, size, size))
            except Exception as error:  # Whatever a model raises for an input that it does not take.
                failures.append(error)
                continue
            return model, size
    raise failures[-1]


def _create(name: str, options: dict[str, int]) -> nn.Module:
    if name.startswith("torchvision "):
        import torchvision

        own: dict[str, Any] = {"aux_logits": False, "init_weights": True} if name.endswith("googlenet") else {}
        model: nn.Module = getattr(torchvision.models, name.split()[1])(weights=None, **own)
        return model
    import timm

    created: nn.Module = timm.create_model(name, pretrained=False, **options)
    return created


class Operations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Dispatch mode that keeps the output of every activation."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.inside = 0
        self.outputs: list[np.ndarray] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        result = func(*args, **(kwargs or {}))
        if not self.inside and func.overloadpacket.__name__.rstrip("_") in OPERATIONS:
            self.keep(result)
        return result

    def keep(self, output: Tensor) -> None:
        """Keeps a copy of an output, which may be changed in place later."""
        self.outputs.append(output.detach().flatten().numpy().copy())


@contextmanager
def as_one(model: nn.Module, operations: Operations) -> Iterator[None]:
    """Context in which a composed module is one activation, and a recurrent layer, whose gates do not count, is none."""

    def enter(module: nn.Module, inputs: Any) -> None:
        operations.inside += 1

    def leave(module: nn.Module, inputs: Any, output: Tensor) -> None:
        operations.inside -= 1
        if not isinstance(module, nn.RNNBase):
            operations.keep(output)

    handles = []
    for module in model.modules():
        if type(module).__name__ in COMPOSED or isinstance(module, nn.RNNBase):
            handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def reference_layers(model: nn.Module, images: Tensor, classifier: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Returns the outputs [N, L] of each activation call, and Y [N, L_Q], of one image at a time, float64."""
    model = copy.deepcopy(model).double().eval()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            # Batch normalisation cannot train on one value a channel; then only its affine terms act.
            module.register_forward_pre_hook(lambda m, i: m.train(i[0].numel() > i[0].shape[1]) and None)
    features: list[np.ndarray] = []
    model.get_submodule(classifier).register_forward_pre_hook(lambda m, i: features.append(i[0].flatten().numpy().copy()))
    of_images, rows_y = [], []
    for image in images.double():
        features.clear()
        operations = Operations()
        with torch.no_grad(), as_one(model, operations), operations:
            model(image[None])
        of_images.append(operations.outputs)
        rows_y.append(features[0])
    return [np.stack(rows) for rows in zip(*of_images, strict=True)], np.stack(rows_y)


def reference_vectors(model: nn.Module, images: Tensor, classifier: str) -> tuple[int, np.ndarray, np.ndarray]:
    """Returns the number of activation calls, X [N, L_K] and Y [N, L_Q] of one image at a time, float64."""
    layers, features = reference_layers(model, images, classifier)
    # What does not change with the image has no range and drops out below.
    return len(layers), np.concatenate(layers, axis=1), features


def log_determinant(rows: np.ndarray) -> tuple[float, float]:
    """Returns log|K| (eq. 1-4) of raw rows by the formula, and its gamma.

    Gamma is 1 / D of the largest distance D, so that the determinant is neither round-off nor 1.
    """
    low = rows.min(axis=0)
    width = rows.max(axis=0) - low
    rows = (rows[:, width > CONSTANT] - low[width > CONSTANT]) / width[width > CONSTANT]
    distances = np.array([[((a - b) ** 2).sum() for b in rows] for a in rows])
    gamma = 1 / float(distances.max() or 1)
    return float(np.linalg.slogdet(np.exp(-gamma * distances))[1]), gamma


def examine(name: str, n: int) -> dict[str, Any]:
    """Returns the result of one model: calls, account, scores."""
    model, size = build(name)
    images = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))
    linear = [path for path, module in model.named_modules() if isinstance(module, nn.Linear)]
    head = next((path for path, module in model.named_modules() if _is_head(model, module)), linear[-1] if linear else "")
    result: dict[str, Any] = {"model": name, "size": size, "images": n, "classifier": head}
    started = time.perf_counter()
    calls, x, y = reference_vectors(model, images, head)
    result |= {"calls": calls, "reference seconds": time.perf_counter() - started}
    log_k, gamma_k = log_determinant(x)
    for features in (True, False):
        log_q, gamma_q = log_determinant(y) if features else (0.0, 1.0)
        reference = n * (log_k + log_q)
        proxy = create_proxy("rbflex", gamma=[gamma_k, gamma_q], features=features)
        started = time.perf_counter()
        try:
            account, score = _scored(proxy, model, images, head)
        except (CandidateFailed, ConfigError) as failed:
            if features and "features=False" in str(failed):
                continue
            return result | {"refused": str(failed)}
        result |= {"seconds": time.perf_counter() - started, "features": features, "score": score, "reference": reference}
        result["account"] = {
            "read": account.read, "regrouped": len(account.regrouped), "transposed": len(account.transposed),
            "fixed": len(account.fixed),
        }  # fmt: skip
        result["difference"] = abs(score / reference - 1)
        if result["difference"] >= CLOSE:
            # Is it the precision?
            _, score = _scored(proxy, model.double(), images.double(), head)
            result["difference in float64"] = abs(score / reference - 1)
        break
    return result


def _scored(proxy: Proxy, model: nn.Module, images: Tensor, head: str) -> tuple[Account, float]:
    observer = proxy.observer()
    account = run_observed(model, images, [observer], model.get_submodule(head))
    return account, proxy.score(observer.finish())


def _is_head(model: nn.Module, module: nn.Module) -> bool:
    head = getattr(model, "get_classifier", lambda: None)()
    return isinstance(head, nn.Linear | nn.Conv2d) and module is head


COLUMNS = ("model", "pixels", "calls seen", "account", "refused", "score", "reference", "relative difference")


def row(result: dict[str, Any]) -> list[Any]:
    """Returns a result as a row of the table."""
    found = result.get("account", {})
    account = ", ".join(f"{count} {kind}" for kind, count in found.items() if count)
    if "refused" in result or "error" in result:
        why = result.get("refused") or result["error"]
        return [result["model"], result.get("size", ""), result.get("calls", ""), "", why, "", "", ""]
    alone = "" if result["features"] else " (K alone)"
    exact = f" ({result['difference in float64']:.1e} in float64)" if "difference in float64" in result else ""
    numbers = f"{result['score']:.6g}{alone}", f"{result['reference']:.6g}", f"{result['difference']:.1e}{exact}"
    return [result["model"], result["size"], result["calls"], account, "no", *numbers]


def summary(results: list[dict[str, Any]]) -> str:
    """Returns the counts in one line."""
    equal = sum(sum(result["account"].values()) == result["calls"] for result in results if "account" in result)
    refused = sum("refused" in result for result in results)
    close = sum(result.get("difference", 1.0) < CLOSE for result in results)
    return (
        f"{len(results)} models: {equal} accounts equal the calls seen, {refused} refused, {close} scores within {CLOSE} of the "
        "reference in float32"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = "models to run, of timm or 'torchvision NAME'; by default all of the list that have no result"
    parser.add_argument("models", nargs="*", help=told)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    file = options.folder / "models.jsonl"
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    results = {line["model"]: line for line in lines}
    for name in options.models or [name for name in MODELS if name not in results]:
        try:
            results[name] = examine(name, options.images)
        except Exception as error:  # One model must not hide the others.
            results[name] = {"model": name, "error": " ".join(f"{type(error).__name__}: {error}".split())[:200]}
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(results[name]) + "\n")
        print(" | ".join(map(str, row(results[name]))), flush=True)
    shown = [results[name] for name in [*MODELS, *results] if name in results]
    shown = list({result["model"]: result for result in shown}.values())
    import timm
    import torchvision

    print(markdown(list(COLUMNS), [row(result) for result in shown]))
    print(summary(shown))
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}, {platform.machine()}")


if __name__ == "__main__":
    main()
