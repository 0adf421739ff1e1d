"""In which dtype a model computes, in how many bits its weights are kept, and over which devices they are spread."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, NamedTuple, Self

import torch

from clvq.config import ExtractConfig
from clvq.errors import ClvqError


class Placement(NamedTuple):
    """How a model's weights are loaded. The default is onto one device, in the usual dtype."""

    device_map: str | None = None
    """`auto`: accelerate spreads the weights over all devices; what does not fit there is kept in the machine's
    memory."""
    load_in: str | None = None
    """`8bit` or `4bit`: bitsandbytes quantizes the weights to so many bits."""
    dtype: str | None = None
    """The name of a dtype of torch."""

    @classmethod
    def of_settings(cls, settings: ExtractConfig) -> Self:
        """Return the placement that the settings of an extraction, or of an activation store, ask for."""
        return cls(settings.device_map, settings.load_in, settings.model_dtype)

    def options(self, device: torch.device) -> dict[str, Any]:
        """Return the arguments for `from_pretrained`. ClvqError where a package or a GPU that they need is missing."""
        options: dict[str, Any] = {"dtype": "auto" if device.type == "cuda" else torch.float32}
        if self.dtype is not None:
            options["dtype"] = getattr(torch, self.dtype)
        if self.load_in is not None:
            if device.type != "cuda":
                raise ClvqError(f"--load-in {self.load_in} needs a GPU, and the device is {device}. Leave it out.")
            _need("bitsandbytes", f"--load-in {self.load_in}")
            from transformers import BitsAndBytesConfig

            options["quantization_config"] = BitsAndBytesConfig(**{f"load_in_{self.load_in}": True})
            options["device_map"] = {"": device}
        if self.device_map is not None:
            options["device_map"] = self.device_map
        if "device_map" in options:
            _need("accelerate", "--device-map" if self.device_map else f"--load-in {self.load_in}")
        return options


USUAL = Placement()
"""Onto one device, in the usual dtype."""


def _need(package: str, option: str) -> None:
    if find_spec(package) is None:
        raise ClvqError(f"{option} needs the Python package {package}: pip install {package}, or leave the option out.")


def device_of(model: Any) -> torch.device:
    """Return the device where a model takes its inputs and gives its outputs, on whichever devices its weights are."""
    for module in model.modules():  # the whole model comes first
        hook = getattr(module, "_hf_hook", None)  # accelerate's
        for one in getattr(hook, "hooks", [hook]):
            if (device := getattr(one, "execution_device", None)) is not None:
                return torch.device(device)
    return model.device
