"""The gradient scores as their papers write them: slow, one thing at a time, by `loss.backward()` on a copy in training mode.

Every function takes a network of the space, images [N, 3, H, W] and labels [N], and returns the score.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional


def layers_of(network):
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def trained(network, images, labels):
    """A copy in training mode after one backward of the mean cross-entropy."""
    network = copy.deepcopy(network).train()
    functional.cross_entropy(network(images), labels).backward()
    return network


def grad_norm(network, images, labels):
    return sum(
        float(layer.weight.grad.norm()) for layer in layers_of(trained(network, images, labels)) if layer.weight.grad is not None
    )


def snip(network, images, labels):
    return sum(
        float((layer.weight.detach() * layer.weight.grad).abs().sum())
        for layer in layers_of(trained(network, images, labels))
        if layer.weight.grad is not None
    )


def fisher(network, images, labels):
    network = copy.deepcopy(network).train()
    maps = []

    def keep(module, inputs, output):
        output.retain_grad()
        maps.append(output)

    for layer in layers_of(network):
        layer.register_forward_hook(keep)
    functional.cross_entropy(network(images), labels).backward()
    total = 0.0
    for z in maps:
        if z.grad is None:
            continue
        for channel in range(z.shape[1]):
            products = [float((z[n, channel].detach() * z.grad[n, channel]).sum()) for n in range(len(z))]
            total += sum(product**2 for product in products) / len(products) / 2
    return total


def grasp(network, images, labels):
    """- theta^T H g by central differences of the gradient along g: H g = (g(theta + h g) - g(theta - h g)) / 2h."""
    start = trained(network, images, labels)
    directions = [None if layer.weight.grad is None else layer.weight.grad.clone() for layer in layers_of(start)]
    step = 1e-6 / math.sqrt(sum(float(d.square().sum()) for d in directions if d is not None))
    sides = []
    for sign in (1, -1):
        moved = copy.deepcopy(network)
        with torch.no_grad():
            for layer, direction in zip(layers_of(moved), directions, strict=True):
                if direction is not None:
                    layer.weight += sign * step * direction
        sides.append([layer.weight.grad for layer in layers_of(trained(moved, images, labels))])
    total = 0.0
    for layer, above, below in zip(layers_of(network), *sides, strict=True):
        if above is not None:
            total -= float((layer.weight.detach() * (above - below)).sum()) / (2 * step)
    return total


def gradsign(network, images, labels):
    signs = []
    for n in range(len(images)):
        alone = trained(network, images[n : n + 1], labels[n : n + 1])
        signs.append([torch.zeros_like(m.weight) if m.weight.grad is None else m.weight.grad.sign() for m in layers_of(alone)])
    return sum(float(sum(layer).abs().sum()) for layer in zip(*signs, strict=True))


def jacob_cov(network, images, labels):
    images = images.clone().requires_grad_()
    copy.deepcopy(network).train()(images).sum().backward()
    correlations = np.corrcoef(images.grad.flatten(1).numpy())
    return -sum(math.log(v + 1e-5) + 1 / (v + 1e-5) for v in np.linalg.eigvalsh(correlations))


def zico(network, images, labels):
    middle = len(images) // 2
    halves = [trained(network, images[part], labels[part]) for part in (slice(middle), slice(middle, None))]
    total = 0.0
    for layers in zip(*map(layers_of, halves), strict=True):
        if any(layer.weight.grad is None for layer in layers):
            continue
        batches = np.stack([layer.weight.grad.flatten().numpy() for layer in layers])
        deviations = batches.std(axis=0)
        ratios = np.abs(batches).mean(axis=0)[deviations > 0] / deviations[deviations > 0]
        if len(ratios):
            total += math.log(ratios.sum())
    return total


def l_swag(network, images, labels, batches=3, start=0, end=100):
    """Sum over layers of log sum_w 1 / sqrt(Var|g|) over the batches, times the distinct patterns of the ReLUs."""
    parts = [slice(len(images) * b // batches, len(images) * (b + 1) // batches) for b in range(batches)]
    copies = [trained(network, images[part], labels[part]) for part in parts]
    total, layers = 0.0, list(zip(*map(layers_of, copies), strict=True))
    for depth, layer in enumerate(layers, 1):
        if start < 100 * depth / len(layers) <= end and all(of.weight.grad is not None for of in layer):
            deviations = np.stack([of.weight.grad.abs().flatten().numpy() for of in layer]).std(axis=0)
            if (deviations > 0).any():
                total += math.log((1 / deviations[deviations > 0]).sum())
    network, codes = copy.deepcopy(network).train(), []
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(lambda m, i, o: codes.append((o > 0).flatten(1).numpy().T.copy()))
    with torch.no_grad():
        network(images)
    seen = [code for depth, code in enumerate(codes, 1) if 100 * depth / len(codes) <= end]
    return total * len({unit.tobytes() for code in seen for unit in code})


def intrain(network, noise, labels):
    """sum log (tr C)^2 / tr C^2 of the ReLUs' channels, times 1 + sum of min(1, std / max) of the gradients, by log(L + 1)."""
    network, logarithms = copy.deepcopy(network).train(), []

    def keep(module, inputs, output):
        pixels = output.detach().transpose(0, 1).flatten(1).numpy()
        eigenvalues = np.linalg.eigvalsh(np.cov(pixels))
        logarithms.append(math.log(eigenvalues.sum() ** 2 / (eigenvalues**2).sum()) if pixels.any() else 0.0)

    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.register_forward_hook(keep)
    functional.cross_entropy(network(noise), labels).backward()
    found = [p.grad.flatten().numpy() for p in network.parameters() if p.grad is not None]
    largest = max(np.abs(g).max() for g in found)
    health = sum(min(1.0, g.std() / np.abs(g).max()) for g in found if np.abs(g).max() > 1e-13 * largest)
    return sum(logarithms) * (1 + health) / math.log(len(logarithms) + 1)


def ntk_cond(network, images, labels):
    network = copy.deepcopy(network).train()
    rows = []
    for n in range(len(images)):
        network.zero_grad()
        network(images)[n].sum().backward()
        rows.append(torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None]))
    kernel = np.array([[float(a @ b) for b in rows] for a in rows])
    values = np.linalg.eigvalsh(kernel)
    return -values[-1] / values[0]


def vkdnw(network, images, labels, most=128):
    """Evaluation mode with running statistics as they were built; one image and one class at a time."""
    network = copy.deepcopy(network).eval()
    weights = [layer.weight for layer in layers_of(network)][:most]
    information = np.zeros((len(weights), len(weights)))
    for image in images.split(1):
        logits = network(image)[0]
        jacobian = []
        for logit in logits:
            found = torch.autograd.grad(logit, weights, retain_graph=True, allow_unused=True)
            jacobian.append([0.0 if g is None else float(g.flatten()[0]) for g in found])
        j, p = np.array(jacobian), logits.softmax(dim=0).detach().numpy()
        information += j.T @ (np.diag(p) - np.outer(p, p)) @ j / len(images)
    values = np.linalg.svd(information, compute_uv=False)
    deciles = [np.quantile(values, k / 10) for k in range(1, 10)]
    entropy = -sum(d / sum(deciles) * math.log(d / sum(deciles)) for d in deciles if d > 0)
    layers = sum(1 for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d))
    return layers + entropy


def logsynflow(network, images, labels):
    network = copy.deepcopy(network)
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, nn.Identity())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()
    network(torch.ones_like(images[:1])).sum().backward()
    total = 0.0
    for layer in layers_of(network):
        if layer.weight.grad is not None:
            total += float((layer.weight.detach() * torch.log(layer.weight.grad + 1)).sum())
    return total
