"""One network on its way: its optimiser, and the average of its weights."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from prnet.networks.lite import Lite
from prnet.networks.prediction import Prediction
from prnet.train.device_config import DeviceConfig

GRADIENT_NORM = 20.0


class Learner:
    """A network that learns on one device, in bf16 on a GPU and in 32 bits elsewhere.

    Args:
        name: In the record and in file names.
        network: Trained in place, on its device already.
        config: The recipe.

    Attributes:
        average: A copy of the network that has the average of its weights.
    """

    def __init__(self, name: str, network: Lite, config: DeviceConfig) -> None:
        self.name, self.config = name, config
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.device = network.canonical.device
        self.average: Lite = copy.deepcopy(network).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            network.parameters(),
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=self.device.type == "cuda",
        )

    def predict(self, crops: Tensor, averaged: bool = False) -> Prediction:
        """Of crops (N, 3, S, S) float in [0, 255], of any size S."""
        network = self.average if averaged else self.network
        size = network.input_size
        if crops.shape[2] != size:
            crops = functional.interpolate(crops, size=size, mode="bilinear", antialias=True)
        scaled = (crops - network.pixel_mean) / network.pixel_std
        with torch.autocast(self.device.type, torch.bfloat16, self.device.type == "cuda"):
            said: Prediction = network(scaled.contiguous(memory_format=torch.channels_last))
        return said.map(torch.Tensor.float)

    def step(self, loss: Tensor, learning_rate: float) -> None:
        """One step of the optimiser."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM)
        self.optimizer.step()

    @torch.no_grad()
    def follow(self, step: int) -> None:
        """Move the average toward the weights; quickly at first."""
        share = max(1 - self.config.average_decay, 1 / (10 + step))
        # all at once: a GPU would spend longer on launching than on the numbers
        means: list[Tensor] = list(self.average.parameters())
        now: list[Tensor] = list(self.network.parameters())
        torch._foreach_lerp_(means, now, share)

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Give the average batch norm statistics of its own, since those of averages aren't its.

        Args:
            batches: Crops as `predict` takes them.
        """
        for norm in self.average.modules():
            if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
                norm.reset_running_stats()
                norm.momentum = None  # a plain mean
        self.average.train()
        for crops in batches:
            self.predict(crops, averaged=True)
        self.average.eval()
