"""Facts on Keras for the parity audit and the table of defaults, and predictions from its saved weights."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter  # with which fit reads arrays

from lenet.data import FashionMnist, scale
from lenet.keras_model import build_model
from runners.core import weights_file
from runners.core.record import Flag
from runners.core.runner import ADAM_PROBES, Choices, Inspection, order_of_epochs
from runners.core.spec import RunSpec
from runners.keras import replicas as distribute
from runners.keras import runner, settings
from runners.keras.orders import noted_orders
from runners.keras.weights import block_outputs, check_file, get_weights

process_settings = settings.process_settings


def inspect_run(spec: RunSpec, data: FashionMnist, images: np.ndarray) -> Inspection:
    """Return a matched run's batches and its network's outputs before its first step, for the parity audit."""
    strategy = settings.configure(spec)
    with strategy.scope():
        model = runner.build(spec)
    feed = runner.matched_feed(spec, data).arguments
    if spec.contender.strategy != "single":
        fed = distribute.fed(strategy, feed["x"], spec.epochs * feed["steps_per_epoch"])
    else:
        fed = list(feed["x"].as_numpy_iterator())
    return Inspection(block_outputs(model, scale(images, spec.dtype)), tuple(fed))


def choices(spec: RunSpec, data: FashionMnist) -> Choices:
    """Return what `build` and the feed choose, read from the live objects, for the table of defaults."""
    model = runner.build(spec)
    optimizer: Any = model.optimizer
    feeding: dict[str, Flag] = {}
    if spec.track == "native":
        feed = runner.native_data(spec, data)
        if spec.contender.strategy != "single":
            feeding |= distribute.native_choices(spec, feed)
        else:
            adapter = ArrayDataAdapter(feed["x"], feed["y"], batch_size=spec.batch_size, shuffle=feed["shuffle"])
            feeding["shuffling"] = f"fit(shuffle={feed['shuffle']})"
            feeding["short last batch"] = "kept" if adapter.partial_batch_size else "dropped"
            with noted_orders() as orders:
                batches = adapter.get_tf_dataset()
                for _ in range(2):
                    next(iter(batches))
            feeding["order of an epoch"] = order_of_epochs(orders)
    moves = []
    for gradient in ADAM_PROBES:
        probe = keras.Variable(0.0, dtype="float64")
        type(optimizer).from_config(optimizer.get_config()).apply([keras.ops.array(gradient, "float64")], [probe])
        moves.append(float(probe.numpy()))
    return Choices(
        get_weights(model),
        {
            "optimiser": type(optimizer).__name__,
            "learning rate": float(optimizer.learning_rate),
            "beta 1": optimizer.beta_1,
            "beta 2": optimizer.beta_2,
            "epsilon": optimizer.epsilon,
            "weight decay": optimizer.weight_decay or 0.0,
            "loss reduction": model.loss.reduction,
            "jit compile": settings.is_compiled(spec, model),
            **feeding,
        },
        tuple(moves),
    )


def predict(checkpoint: Path, images: np.ndarray) -> np.ndarray:
    """Return class probabilities, float32 (n, 10), of scaled images (n, 28, 28, 1), from saved weights."""
    model = build_model()
    with weights_file.refused_in_a_sentence(checkpoint, "Keras"):
        check_file(checkpoint)
        model.load_weights(checkpoint)
        weights_file.check_finite(get_weights(model))
    return keras.ops.convert_to_numpy(keras.ops.softmax(model(images)))
