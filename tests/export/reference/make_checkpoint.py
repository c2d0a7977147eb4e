"""Makes tiny.index and tiny.data-00000-of-00001: a checkpoint that TensorFlow itself wrote.

    python -m venv tf && tf/bin/pip install tensorflow-cpu==2.21.0
    tf/bin/python tests/export/reference/make_checkpoint.py

`tiny_tensors` says what is in it, for test_tf_checkpoint.py too.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def tiny_tensors() -> dict[str, NDArray[np.generic]]:
    """More names that begin alike than lie between two restart points of the index."""
    tensors: dict[str, NDArray[np.generic]] = {
        f"net/Conv_{k}/weights": np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 7 - k
        for k in range(20)
    }
    tensors["net/Conv_3/weights/Adam"] = np.full((1, 2, 3), 0.5, np.float32)
    tensors["global_step"] = np.array(123456789012, np.int64)
    tensors["double"] = np.array([np.pi, -np.e])
    tensors["half"] = np.array([[0.5], [-65504]], np.float16)
    tensors["empty"] = np.zeros((0, 4), np.float32)
    return tensors


if __name__ == "__main__":
    import tensorflow.compat.v1 as tf

    tf.disable_v2_behavior()
    variables = [tf.get_variable(name, initializer=array) for name, array in tiny_tensors().items()]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        prefix = Path(__file__).with_name("tiny")
        tf.train.Saver(variables).save(
            session, str(prefix), write_meta_graph=False, write_state=False
        )
