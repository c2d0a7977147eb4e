"""Makes resfcn256.npz: what TensorFlow's own operators give for the paper's network.

    python -m venv tf && tf/bin/pip install tensorflow-cpu==2.21.0
    tf/bin/python tests/networks/reference/make_resfcn256.py

The weights are random but drawn by name, so they needn't be stored: test_resfcn256.py draws them
again with `random_tensor`. Of each layer's output only some values are kept.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NORM_EPSILON = 1e-3
SAMPLES = 499  # values kept of a layer's output


def random_tensor(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A tensor of the checkpoint, in TensorFlow's layout, or the input `crops` in [0, 1]."""
    uniform = np.random.default_rng(list(name.encode())).random(shape)
    kind = name.rsplit("/", 1)[-1]
    if kind == "weights":
        # about as much comes out as goes in; a transposed convolution's inputs are its last axis
        inputs = shape[3] if "transpose" in name else shape[2]
        overlap = shape[0] * shape[1]
        return ((uniform * 2 - 1) * np.sqrt(6 / (inputs * overlap))).astype(np.float32)
    low, high = {
        "crops": (0, 1),
        "gamma": (0.5, 1.5),
        "beta": (-0.3, 0.3),
        "moving_mean": (-0.3, 0.3),
        "moving_variance": (0.5, 2.0),
    }[kind]
    return (low + uniform * (high - low)).astype(np.float32)


def sample(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Evenly spread values of an (N, H, W, C) output."""
    flat = np.ascontiguousarray(features).ravel()
    return flat[np.linspace(0, flat.size - 1, SAMPLES).astype(np.int64)]


def run() -> dict[str, NDArray[np.float32]]:
    """Each layer's output by its scope in the checkpoint, and the last one whole."""
    import tensorflow as tf

    outputs = {}

    def normalise(x, scope):
        parts = ("gamma", "beta", "moving_mean", "moving_variance")
        gamma, beta, mean, variance = (
            random_tensor(f"{scope}/BatchNorm/{part}", (x.shape[-1],)) for part in parts
        )
        return tf.nn.batch_normalization(x, mean, variance, beta, gamma, NORM_EPSILON)

    def convolve(x, scope, channels, kernel, stride):
        weights = random_tensor(f"{scope}/weights", (kernel, kernel, x.shape[-1], channels))
        return tf.nn.conv2d(x, weights, strides=stride, padding="SAME")

    def block(x, scope, channels, stride):
        shortcut = x
        if stride != 1 or x.shape[-1] != channels:
            shortcut = convolve(x, f"{scope}/shortcut", channels, 1, stride)
        half = channels // 2
        x = convolve(x, f"{scope}/Conv", half, 1, 1)
        x = tf.nn.relu(normalise(x, f"{scope}/Conv"))
        x = convolve(x, f"{scope}/Conv_1", half, 4, stride)
        x = tf.nn.relu(normalise(x, f"{scope}/Conv_1"))
        x = convolve(x, f"{scope}/Conv_2", channels, 1, 1)
        return tf.nn.relu(normalise(x + shortcut, scope))

    def transpose(x, scope, channels, stride):
        weights = random_tensor(f"{scope}/weights", (4, 4, channels, x.shape[-1]))
        count, height, width, _ = x.shape
        shape = (count, height * stride, width * stride, channels)
        x = tf.nn.conv2d_transpose(x, weights, shape, strides=stride, padding="SAME")
        return normalise(x, scope)

    def keep(x, scope):
        outputs[scope] = sample(x.numpy())
        return x

    x = tf.constant(random_tensor("crops", (1, 256, 256, 3)))
    x = tf.nn.relu(normalise(convolve(x, "resfcn256/Conv", 16, 4, 1), "resfcn256/Conv"))
    keep(x, "resfcn256/Conv")
    blocks = [(32, 2), (32, 1), (64, 2), (64, 1), (128, 2)]
    blocks += [(128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]
    for index, (channels, stride) in enumerate(blocks):
        scope = "resfcn256/resBlock" + (f"_{index}" if index else "")
        x = keep(block(x, scope, channels, stride), scope)
    layers = [(512, 1), (256, 2), (256, 1), (256, 1), (128, 2), (128, 1), (128, 1), (64, 2)]
    layers += [(64, 1), (64, 1), (32, 2), (32, 1), (16, 2), (16, 1), (3, 1), (3, 1), (3, 1)]
    for index, (channels, stride) in enumerate(layers):
        scope = "resfcn256/Conv2d_transpose" + (f"_{index}" if index else "")
        x = transpose(x, scope, channels, stride)
        x = keep(tf.sigmoid(x) if index == len(layers) - 1 else tf.nn.relu(x), scope)
    pixels = x.numpy()[0] * 256 * 1.1
    # the border shows the padding; inside, every third pixel will do
    sides = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    return outputs | {"border": np.stack(sides), "inside": pixels[::3, ::3]}


if __name__ == "__main__":
    np.savez_compressed(Path(__file__).with_name("resfcn256.npz"), **run())
