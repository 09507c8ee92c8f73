"""Scores as public code computes them, in plain PyTorch: the yardsticks of `public_scores`.

Each function takes a network in training mode as a user builds it (channels-first maps, batch normalisation that updates its
running averages), images [N, 3, height, width] and labels [N], and returns the score. They follow the steps of the public
repositories (zero-cost-nas and NASLib, GradSign, ZiCo, ZenNAS, TE-NAS, VKDNW), without their loaders, copies to the host and
prints, and without repeated work other than what their formula asks for, so that each is public code at its best. Where our score
is stated with another norm, sum or sign than the public code, the yardstick takes ours: it costs the same, and values can be
compared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import MethodType

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

from rbflex_evo.spaces.families.nats_bench.network import NatsNetwork

Form = Callable[[NatsNetwork, Tensor, Tensor], float]


def layers(network: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    """Returns the convolutions and linear layers."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def weights(network: nn.Module) -> list[Tensor]:
    """Returns the weights of convolutions and linear layers."""
    return [layer.weight for layer in layers(network)]


def gradsign(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """GradSign: one forward and backward of each image, signs of all weights' gradients."""
    signs = []
    for i in range(len(images)):
        network.zero_grad(set_to_none=True)
        functional.cross_entropy(network(images[i : i + 1]), labels[i : i + 1]).backward()
        signs.append(torch.cat([w.grad.sign().flatten() for w in weights(network) if w.grad is not None]))
    return float(torch.stack(signs).sum(dim=0).abs().sum())


def logsynflow(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """LogSynflow (NASLib's synflow pass): a copy without batch normalisation, in float64, absolute weights, one image of ones."""
    linear = copy.deepcopy(network)
    for module in linear.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.forward = MethodType(lambda self, x: x, module)  # type: ignore[method-assign]
    linear.double()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    linear(torch.ones(1, *images.shape[1:], dtype=torch.float64)).sum().backward()
    return float(sum((w.detach() * w.grad.log1p()).sum() for w in weights(linear) if w.grad is not None))


def naswot(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """NASWOT: a hook on each ReLU counts equal codes of every two images."""
    matches = np.zeros((len(images), len(images)))

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        codes = (inputs[0].flatten(1) > 0).float()
        matches[:] += (codes @ codes.T).numpy() + ((1 - codes) @ (1 - codes).T).numpy()

    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(count)
    with torch.no_grad():
        network(images)
    return float(np.linalg.slogdet(matches)[1])


def zen(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """Zen-score: weights of N(0, 1), two forwards of noise, scales of batch normalisations from their running variances."""
    with torch.no_grad():
        for layer in layers(network):
            nn.init.normal_(layer.weight)
        noise = torch.randn_like(images)
        first = before_pooling(network, noise)
        second = before_pooling(network, noise + 0.01 * torch.randn_like(images))
        score = (first - second).flatten(1).norm(dim=1).mean().log()
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_var is not None:
                score += module.running_var.mean().sqrt().log()
    return float(score)


def before_pooling(network: NatsNetwork, images: Tensor) -> Tensor:
    """Returns the last map before global pooling."""
    x = network.stem(images)
    for block in network.blocks:
        x = block(x)
    output: Tensor = network.relu(network.norm(x))
    return output


def grasp(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """GraSP: a first forward and backward for the gradient, a second one whose gradient is differentiated again."""
    every = weights(network)
    found = torch.autograd.grad(functional.cross_entropy(network(images), labels), every, allow_unused=True)
    again = torch.autograd.grad(functional.cross_entropy(network(images), labels), every, create_graph=True, allow_unused=True)
    pairs = [(g.detach() * h).sum() for g, h in zip(found, again, strict=True) if g is not None and h is not None]
    torch.stack(pairs).sum().backward()
    return float(sum(-(w.detach() * w.grad).sum() for w in every if w.grad is not None))


def vkdnw(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """VKDNW: vectorised reverse-mode Jacobians of each image's logits to the first weight of each layer, in evaluation mode."""
    network.eval()
    frozen = {name: tensor.detach() for name, tensor in [*network.named_parameters(), *network.named_buffers()]}
    chosen = {f"{name}.weight" for name, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    first = {name: frozen[name].flatten()[:1] for name in [name for name in frozen if name in chosen][:128]}

    def logits(values: dict[str, Tensor], image: Tensor) -> Tensor:
        changed = {name: torch.cat([value, frozen[name].flatten()[1:]]).view_as(frozen[name]) for name, value in values.items()}
        output: Tensor = functional_call(network, {**frozen, **changed}, (image[None],))[0]
        return output

    parts = vmap(jacrev(logits), in_dims=(None, 0))(first, images)
    jacobian = torch.cat([parts[name].flatten(2) for name in first], dim=2).double()
    with torch.no_grad():
        roots = network(images).double().softmax(dim=1).sqrt()[:, :, None]
    rows = roots * jacobian
    rows = rows - roots * (roots * rows).sum(dim=1, keepdim=True)
    fisher = (rows.transpose(1, 2) @ rows).mean(dim=0)
    deciles = torch.quantile(torch.linalg.svdvals(fisher), torch.arange(1, 10, dtype=fisher.dtype) / 10)
    shares = deciles / deciles.sum()
    depth = sum(any(True for _ in m.parameters(recurse=False)) for m in network.modules())
    return depth - float(torch.special.xlogy(shares, shares).sum())


def zico(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """ZiCo: one backward of each half of the images; mean and deviation of every weight's gradient in numpy."""
    middle = len(images) // 2
    gradients: dict[int, list[np.ndarray]] = {}
    for part in (slice(middle), slice(middle, None)):
        network.zero_grad(set_to_none=True)
        functional.cross_entropy(network(images[part]), labels[part]).backward()
        for i, weight in enumerate(weights(network)):
            if weight.grad is not None:
                gradients.setdefault(i, []).append(weight.grad.flatten().numpy())
    score = 0.0
    for pair in map(np.array, gradients.values()):
        deviation, size = pair.std(axis=0), np.abs(pair).mean(axis=0)
        total = (size[deviation > 0] / deviation[deviation > 0]).sum()
        score += float(np.log(total)) if total else 0.0
    return score


def ntk_cond(network: NatsNetwork, images: Tensor, labels: Tensor) -> float:
    """TE-NAS: one forward, one backward of each image's summed logits, gradients of all parameters."""
    logits = network(images)
    rows = []
    for i in range(len(images)):
        network.zero_grad(set_to_none=True)
        logits[i].sum().backward(retain_graph=True)
        rows.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    every = torch.stack(rows)
    values = torch.linalg.eigvalsh(every @ every.T)
    return -float(values[-1] / values[0])


FORMS: dict[str, Form] = {
    "gradsign": gradsign,
    "logsynflow": logsynflow,
    "naswot": naswot,
    "zen": zen,
    "grasp": grasp,
    "vkdnw": vkdnw,
    "zico": zico,
    "ntk_cond": ntk_cond,
}
