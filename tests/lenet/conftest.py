import os

import pytest

from lenet import data


@pytest.fixture(scope="session")
def fashion_mnist():
    return data.load()


@pytest.fixture(scope="session")
def keras_on_one_thread():
    """TensorFlow takes these settings only once in a process, so every test here asks for the same."""
    os.environ.update(KERAS_BACKEND="tensorflow", TF_CPP_MIN_LOG_LEVEL="3")
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
