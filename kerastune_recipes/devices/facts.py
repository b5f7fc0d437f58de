"""What is known of the hardware before anything is decided."""

from dataclasses import dataclass
from typing import Literal

# What a network computes in. Its weights are float32 whichever it is.
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class HardwareFacts:
    """What the work runs on.

    Args:
        backend: Of Keras.
        device: "cpu", "gpu" or "tpu".
        devices: How many of them there are.
        capability: The CUDA compute capability of an NVIDIA GPU, None for anything else.
    """

    backend: str = "tensorflow"
    device: Literal["cpu", "gpu", "tpu"] = "cpu"
    devices: int = 1
    capability: tuple[int, int] | None = None

    @property
    def accelerated(self) -> bool:
        """Whether the processor is free while the work is done."""
        return self.device != "cpu"


ONE_CPU = HardwareFacts()
