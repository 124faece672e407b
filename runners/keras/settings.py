"""The settings of a whole Keras process: set before a run, and read back from TensorFlow for the record."""

from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled  # no public function returns it
from tensorflow.python.util._pywrap_util_port import IsMklEnabled  # nor this: whether oneDNN is used

from runners.core.errors import BadInput
from runners.core.record import Flag
from runners.core.spec import RunSpec
from runners.keras import replicas as distribute


def configure(spec: RunSpec) -> tf.distribute.Strategy:
    """Set devices, threads, precision and determinism before TensorFlow's runtime starts; return the strategy."""
    gpus = tf.config.list_physical_devices("GPU")
    replicas = distribute.replicas_here(spec.contender)
    if spec.device == "cpu":
        tf.config.set_visible_devices([], "GPU")
        if replicas > 1:
            (cpu,) = tf.config.list_physical_devices("CPU")
            tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * replicas)
    elif not gpus:
        raise BadInput(f"TensorFlow {tf.__version__} sees no GPU; it needs a build with CUDA and one GPU assigned")
    else:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    # Replicas that share a process share its threads.
    tf.config.threading.set_intra_op_parallelism_threads(spec.threads * replicas)
    tf.config.threading.set_inter_op_parallelism_threads(spec.threads * replicas)
    if spec.track == "matched":
        tf.config.experimental.enable_tensor_float_32_execution(False)
    if spec.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_floatx(spec.dtype)
    keras.config.set_dtype_policy(spec.dtype)  # Keras takes it from floatx only once
    keras.utils.set_random_seed(spec.seed)
    return distribute.strategy(spec)


def versions_and_flags(spec: RunSpec, model: keras.Model) -> dict[str, Any]:
    """Return versions, flags and GPU model, read back from TensorFlow and not copied from the spec."""
    build_info = tf.sysconfig.get_build_info()
    gpus = tf.config.get_visible_devices("GPU")
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__}
    versions |= {
        name: str(build_info[f"{name}_version"]) for name in ("cuda", "cudnn") if f"{name}_version" in build_info
    }
    flags = {
        **process_settings(),
        "flushes_denormals": float(tf.constant(1e-39) * 0.5) == 0,
        "onednn": bool(IsMklEnabled()),
        "jit_compile": is_compiled(spec, model),
        **distribute.facts(distribute.strategy(spec), spec.contender),
    }
    if gpus:
        flags["memory_growth"] = all(tf.config.experimental.get_memory_growth(gpu) for gpu in gpus)
    details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
    return {"versions": versions, "flags": flags, "gpu_model": details.get("device_name")}


def is_compiled(spec: RunSpec, model: keras.Model) -> bool:
    """Return whether XLA compiles the training step; the loop of several replicas never does."""
    return spec.contender.strategy == "single" and bool(model.jit_compile)


def process_settings() -> dict[str, Flag]:
    """Return threads, precision and determinism without starting TensorFlow's runtime; 0 threads is its default."""
    return {
        "intra_op_threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": tf.config.threading.get_inter_op_parallelism_threads(),
        "tf32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "deterministic": is_op_determinism_enabled(),
    }
