"""One network that learns to detect: its optimizer, its running average and a step."""

import math
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from prnet.detect.cells import cell_centers
from prnet.networks.detector import Detector
from prnet.train.detector_loss import detector_loss, imitation_loss
from prnet.train.detector_recipe import DetectorRecipe
from prnet.train.scene_feed import SceneBatch

LOSSES = 4  # score, box, angle and imitation


class DetectorLearner:
    """Takes batches, see `learn`.

    Attributes:
        device: Where it learns.
        average: The running average of its weights, which is what is kept.
        rate: The last step's learning rate.
    """

    def __init__(
        self,
        network: Detector,
        recipe: DetectorRecipe,
        device: torch.device,
        teacher: nn.Module | None,
    ) -> None:
        """Begin.

        Args:
            network: Goes to the device.
            recipe: How it learns.
            device: Where.
            teacher: On the device, to be imitated at first.
        """
        self._network, self.device, self._recipe = network, device, recipe
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._teacher = teacher
        self._average = torch.optim.swa_utils.AveragedModel(
            network,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(recipe.average_decay),
            use_buffers=True,
        )
        groups = _parameter_groups(network, recipe.weight_decay)
        self._optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        size = recipe.scene_size
        self._centers = torch.tensor(cell_centers(size, size), device=device)
        is_cuda = device.type == "cuda"
        self._autocast = torch.autocast("cuda", torch.bfloat16) if is_cuda else nullcontext()
        self._steps, self.rate = 0, 0.0

    @property
    def average(self) -> Detector:
        """See the class."""
        assert isinstance(self._average.module, Detector)
        return self._average.module

    def learn(self, batch: SceneBatch, progress: float) -> Tensor:
        """Take a step.

        Args:
            batch: On the device.
            progress: How much of the run is over, 0 to 1.

        Returns:
            (LOSSES,), weighted.
        """
        recipe = self._recipe
        rise = min(1.0, (self._steps + 1) / recipe.warmup_steps)
        self.rate = rise * recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate
        pixels = batch.images.permute(0, 3, 1, 2).float()
        self._network.train()
        with self._autocast:
            cells = self._network(pixels)
        losses = [*detector_loss(cells.float(), self._centers, batch.truth)]
        share = 1 - progress / recipe.imitated if recipe.imitated else 0.0
        if self._teacher is not None and share > 0:
            with torch.no_grad(), self._autocast:
                wanted = self._teacher(pixels)
            losses.append(share * imitation_loss(cells.float(), wanted.float()))
        else:
            losses.append(losses[0].new_zeros(()))
        answer = torch.stack(losses)
        self._optimizer.zero_grad(set_to_none=True)
        answer.sum().backward()
        nn.utils.clip_grad_norm_(self._network.parameters(), 10.0)
        self._optimizer.step()
        # the average follows closely at first
        if self._steps < recipe.warmup_steps:
            self._average.module.load_state_dict(self._network.state_dict())
        else:
            self._average.update_parameters(self._network)
        self._steps += 1
        return answer.detach()


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Convolutions' weights decay, biases and norms don't."""
    learning = list(network.parameters())
    decaying = [p for p in learning if p.ndim > 1]
    others = [p for p in learning if p.ndim <= 1]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
