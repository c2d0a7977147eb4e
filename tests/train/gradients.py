"""For test_distributed.py, whose processes import it: gradients of one global batch."""

import os
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from prnet.model.model import EMBEDDED_FOLDER
from prnet.networks.lite import Lite
from prnet.train.config import NetworkConfig, TrainConfig
from prnet.train.run import Run
from prnet.train.samples import MapBatch, MapSample
from prnet.train.targets import MapTargets
from prnet.uv.atlas import Atlas

BATCH, SIZE = 4, 32


class FixedSource:
    """Samples of noise, the same in every process."""

    photos = BATCH
    expressive = np.empty(0, np.int64)

    def sample(
        self,
        photo: int,
        settings: object,
        what: np.random.Generator,
        how: np.random.Generator,
        jitter: np.random.Generator | None = None,
    ) -> MapSample:
        crop = how.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        return MapSample(crop, how.normal(size=(96, 96, 3)).astype(np.float32))

    def plain(self, photo: int) -> list[tuple[MapSample, float, bool]]:
        return []

    def stack(self, samples: list[MapSample]) -> MapBatch:
        crops = torch.from_numpy(np.stack([s.crop for s in samples])).permute(0, 3, 1, 2)
        maps = torch.from_numpy(np.stack([s.position_map for s in samples]))
        return MapBatch(crops, maps, crops[:0])


class SmallTargets(MapTargets):
    """Targets at the size of lite's maps, without landmarks."""

    def __init__(self, atlas: Atlas) -> None:
        super().__init__(atlas)
        self.region = atlas.region[:96, :96]

    def forward(self, batch: MapBatch):  # type: ignore[no-untyped-def]
        from prnet.train.targets import Target

        return Target(batch.position_map, batch.position_map[:, 0, :68], None, None, None)


def main(processes: int, out: Path) -> None:
    """Save the gradients of a batch that so many processes share."""
    torch.manual_seed(0)
    atlas = Atlas.load(EMBEDDED_FOLDER / "atlas.npz")
    config = TrainConfig(network=NetworkConfig(input_size=SIZE), batch_size=BATCH, workers=0)
    fabric = Fabric(accelerator="cpu", devices=processes, precision="32-true")
    fabric.launch()
    network = Lite(atlas, SIZE)
    source = FixedSource()
    run = Run(config, out.parent, network, source, source, SmallTargets(atlas), fabric)
    # batch norm's statistics are each process's own, so with them gradients can't be equal
    run.network.eval()
    terms = run.compare(run.network, run.batches[0])
    fabric.backward(terms["total"])
    if fabric.is_global_zero:
        named = network.named_parameters()
        torch.save({name: p.grad for name, p in named if p.grad is not None}, out)


def variables(rank: int, processes: int, port: int) -> dict[str, str]:
    """What a cluster's launcher sets for each process."""
    return {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
        "NODE_RANK": "0",
        "LOCAL_RANK": str(rank),
    }


def run_rank(rank: int, processes: int, port: int, out: Path) -> None:
    """Be one of the processes."""
    os.environ |= variables(rank, processes, port)
    main(processes, out)
