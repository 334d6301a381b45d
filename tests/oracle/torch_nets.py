"""The same net in PyTorch, and what Captum makes of it: an opinion on our projections that is not our own."""

import warnings

import numpy as np
import torch
from captum.attr import NeuronDeconvolution, NeuronGradient, NeuronGuidedBackprop
from torch import nn
from torch.nn import functional

from minizf.layers import LRN, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Rules
from minizf.layers.layer import pair
from minizf.net import Net

METHODS = {"signal": NeuronDeconvolution, "both": NeuronGuidedBackprop, "mask": NeuronGradient}


class SkippedLRN(nn.Module):
    """Contrast normalisation on the way up, nothing on the way down: the paper's deconvnet, in autograd's words."""

    def __init__(self, layer: LRN):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return IdentityBackward.apply(x, self.layer)


class IdentityBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, layer):
        return functional.local_response_norm(x, layer.size, layer.alpha, layer.beta, layer.k)

    @staticmethod
    def backward(ctx, grad):
        return grad, None


def torch_net(net: Net, lrn: str = "skip", dtype=torch.float64) -> nn.Sequential:
    """A PyTorch net with the same parameters; its modules carry our layers' names. Not training."""
    modules = {name: torch_layer(layer, lrn) for name, layer in net.layers.items()}
    made = nn.Sequential()
    for name, module in modules.items():
        made.add_module(name, module)
    return made.to(dtype).eval()


def torch_layer(layer: Layer, lrn: str) -> nn.Module:
    match layer:
        case Conv2d():
            k, c, *window = layer.weight.shape
            made = nn.Conv2d(c, k, tuple(window), pair(layer.stride), pair(layer.pad), bias=layer.bias is not None)
            return filled(made, layer)
        case Linear():
            return filled(nn.Linear(*layer.weight.shape[::-1]), layer)
        case MaxPool2d():
            return nn.MaxPool2d(pair(layer.size), pair(layer.stride), pair(layer.pad))
        case LRN():
            return SkippedLRN(layer) if lrn == "skip" else nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k)
        case ReLU():
            return nn.ReLU()
        case Flatten():
            return nn.Flatten()
        case Dropout():
            return nn.Dropout(layer.p)
    raise TypeError(f"no PyTorch counterpart of {layer!r}")


def filled(module: nn.Module, layer: Layer) -> nn.Module:
    module = module.to(torch.float64)
    with torch.no_grad():
        module.weight.copy_(torch.tensor(layer.weight, dtype=torch.float64))
        if layer.bias is not None:
            module.bias.copy_(torch.tensor(layer.bias, dtype=torch.float64))
    return module


class SilentDeconvolution(NeuronDeconvolution):
    """Captum's own, without its warning at every call that it sets hooks."""

    def attribute(self, *arguments, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return super().attribute(*arguments, **options)


def captum_projection(net: Net, x: np.ndarray, layer: str, map: int, at, seed: str, rules: Rules) -> np.ndarray:
    """Captum's projection of one unit from one image x (C, H, W), in float64. Windows that collide are summed."""
    model = torch_net(net, rules.lrn)
    method = METHODS[rules.rectify](model, getattr(model, layer))
    unit = (map,) if at is None else (map, *at)

    def value_seeded(output):
        activation = output[(slice(None), *unit)]
        return activation * activation.detach()

    image = torch.tensor(x[None], dtype=torch.float64, requires_grad=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks")
        found = method.attribute(image, unit if seed == "one" else value_seeded)
    return found.detach().numpy()[0]


def passes(net: Net, x: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """One forward and one backward pass: "logits", "loss", "dx", and "grad." before the name of every parameter; float64."""
    model = torch_net(net, "jacobian")
    images = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    logits = model(images)
    loss = functional.cross_entropy(logits, torch.tensor(labels))
    loss.backward()
    found = {"logits": logits, "loss": loss, "dx": images.grad} | {f"grad.{n}": p.grad for n, p in model.named_parameters()}
    return {key: value.detach().numpy() for key, value in found.items()}
