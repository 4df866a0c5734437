"""The choice of the device: this process's CPU, or what Lightning Fabric reaches."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from lockstep.errors import InvalidSetting
from lockstep_train.configuration.training import TrainingConfiguration
from lockstep_train.fit.device.device import Device


def device_of(training: TrainingConfiguration) -> Device:
    """The device that the configuration asks for, shared with the processes of ``torchrun``.

    Raises:
        InvalidSetting: there is no such device, or Lightning Fabric is not installed and needed.
    """
    cuda = torch.cuda.is_available()
    if training.device == "cuda" and not cuda:
        raise InvalidSetting(
            "training.device = 'cuda' needs a CUDA device, however torch sees none: take 'cpu' or "
            "'auto', or install a torch with CUDA and its driver."
        )
    name = "cpu" if training.device == "cpu" or not cuda else "cuda"
    launched = torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()
    if name == "cpu" and not launched:
        return Device()
    if find_spec("lightning_fabric") is None:
        raise InvalidSetting(
            "Fitting on CUDA or under torchrun needs Lightning Fabric, which is not installed: "
            "pip install 'lockstep[distributed]', or set training.device = 'cpu' and start one "
            "process."
        )
    # Imported here: a fit on the CPU needs neither this library nor the time to load it.
    from lockstep_train.fit.device.parallel import FabricDevice  # noqa: PLC0415

    return FabricDevice.launched(name) if launched else FabricDevice.alone(name)
