"""Facts of the hardware, and the precision that networks compute in."""

from dataclasses import dataclass
from typing import Literal

# Precision of activations; weights are float32 in each case.
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class HardwareFacts:
    """The hardware that a run uses.

    Args:
        backend: Keras backend: "tensorflow", "jax" or "torch".
        device: Kind of the devices: "cpu", "gpu" or "tpu".
        devices: Number of these devices.
        capability: CUDA compute capability (major, minor) of an NVIDIA GPU; None for other devices.

    Example:
        >>> HardwareFacts("tensorflow", "gpu", devices=2, capability=(8, 0)).accelerated
        True
    """

    backend: str = "tensorflow"
    device: Literal["cpu", "gpu", "tpu"] = "cpu"
    devices: int = 1
    capability: tuple[int, int] | None = None

    @property
    def accelerated(self) -> bool:
        """Whether the network runs on a GPU or TPU, so that the processor is free meanwhile."""
        return self.device != "cpu"


ONE_CPU = HardwareFacts()
