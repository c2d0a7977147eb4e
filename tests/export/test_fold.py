"""Folded layers compute what they were made of."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from prnet.export.fold import fold_batch_norms, fold_enlargements  # noqa: E402

pytestmark = pytest.mark.torch


def settled(network: nn.Module) -> nn.Module:
    """Batch norms that do something, in evaluation mode."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return network.eval()


@pytest.mark.parametrize("is_nested", [False, True])
def test_doubling_and_convolution_are_one_layer(is_nested: bool) -> None:
    torch.manual_seed(0)
    rest = [nn.Conv2d(5, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU()]
    following = [nn.Sequential(*rest)] if is_nested else rest
    network = settled(nn.Sequential(nn.Upsample(scale_factor=2), *following))
    maps = torch.randn(2, 5, 3, 7)
    with torch.inference_mode():
        wanted = network(maps)
    fold_batch_norms(network)
    fold_enlargements(network)
    layers = [type(each) for each in network.modules() if not list(each.children())]
    assert sorted(each.__name__ for each in layers) == [
        *("ConvTranspose2d", "Identity", "Identity", "ReLU")
    ]
    with torch.inference_mode():
        torch.testing.assert_close(network(maps), wanted, rtol=1e-5, atol=1e-5)


def test_a_norm_is_part_of_the_linear_layer_before_it() -> None:
    torch.manual_seed(0)
    network = settled(nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3), nn.ReLU()))
    codes = torch.randn(4, 6)
    with torch.inference_mode():
        wanted = network(codes)
    fold_batch_norms(network)
    assert isinstance(network[1], nn.Identity)
    with torch.inference_mode():
        torch.testing.assert_close(network(codes), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        (nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(4, 4, 3, padding=1)),
        (nn.Upsample(scale_factor=3), nn.Conv2d(4, 4, 3, padding=1)),
        (nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3)),
        (nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, 2, 1)),
        (nn.Upsample(scale_factor=2), nn.Conv2d(4, 4, 3, padding=1, groups=4)),
        (nn.Upsample(scale_factor=2), nn.Conv2d(96, 64, 3, padding=1)),
    ],
)
def test_others_stay_as_they_are(layers: tuple[nn.Module, ...]) -> None:
    network = nn.Sequential(*layers)
    fold_enlargements(network)
    assert tuple(network) == layers
