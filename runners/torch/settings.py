"""The settings of a whole PyTorch process: set before a run, and read back from PyTorch for the record."""

from typing import Any

import torch
from torch import nn

from runners.core.errors import BadInput
from runners.core.record import Flag
from runners.core.spec import RunSpec
from runners.torch import replicas as ddp


def configure(spec: RunSpec) -> torch.device:
    """Set threads, precision and determinism; return the device to train on."""
    if spec.device == "gpu" and not torch.cuda.is_available():
        raise BadInput(f"torch {torch.__version__} sees no GPU; it needs a build with CUDA and one GPU assigned")
    ddp.check_group(spec.contender)
    torch.set_num_threads(spec.threads)
    if torch.get_num_interop_threads() != spec.threads:  # a process can set it only once
        torch.set_num_interop_threads(spec.threads)
    if spec.track == "matched":
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.set_flush_denormal(True)  # as in TensorFlow; Adam's old moments would decay into slow denormals
    if spec.deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    torch.set_default_dtype(getattr(torch, spec.dtype))
    torch.manual_seed(spec.seed)
    return torch.device("cuda" if spec.device == "gpu" else "cpu")


def versions_and_flags(device: torch.device, model: nn.Module) -> dict[str, Any]:
    """Return versions, flags and GPU model, read back from PyTorch and not copied from the spec."""
    versions = {"torch": str(torch.__version__)}
    if device.type == "cuda":
        versions |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    flags = {
        **process_settings(),
        "flushes_denormals": (torch.tensor(1e-39) * 0.5).item() == 0,
        "onednn": torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled,
        "jit_compile": is_compiled(model),
        **ddp.facts(),
    }
    gpu_model = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"versions": versions, "flags": flags, "gpu_model": gpu_model}


def is_compiled(model: nn.Module) -> bool:
    """Return whether torch.compile compiles the model, as a wrapper or in place."""
    return hasattr(model, "_orig_mod") or model._compiled_call_impl is not None


def process_settings() -> dict[str, Flag]:
    """Return threads, precision and determinism."""
    return {
        "intra_op_threads": torch.get_num_threads(),
        "inter_op_threads": torch.get_num_interop_threads(),
        "tf32": torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }
