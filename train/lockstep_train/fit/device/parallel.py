"""CUDA, and several processes at once: the only home of Lightning Fabric."""

from __future__ import annotations

import os
from typing import Any, Literal, Self, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, distributed, nn

from lockstep_train.fit.device.device import Agreed, Device
from lockstep_train.network.network import Network


class FabricDevice(Device):
    """One device of each process, with gradients averaged and BatchNorm's statistics shared.

    On CUDA matrix products are computed in bfloat16 where the device has it. Every process holds
    all rows and learns from its own share of each batch, so that together they take the step that
    one process would take; a network's masks differ from process to process.

    Args:
        fabric: not launched yet.
        precision: what Fabric was told to compute in.
    """

    def __init__(self, fabric: Fabric, precision: str) -> None:
        fabric.launch()
        self._fabric = fabric
        self.torch_device = fabric.device
        self.name = fabric.device.type
        self.precision = precision
        self.rank, self.ranks = fabric.global_rank, fabric.world_size

    @classmethod
    def alone(cls, accelerator: str) -> Self:
        """One process on one device."""
        mode, precision = _precision(accelerator)
        return cls(Fabric(accelerator=accelerator, devices=1, precision=mode), precision)

    @classmethod
    def launched(cls, accelerator: str) -> Self:
        """One of the processes that ``torchrun`` started, with a device of its own."""
        mode, precision = _precision(accelerator)
        fabric = Fabric(
            accelerator=accelerator,
            devices=int(os.environ["LOCAL_WORLD_SIZE"]),
            num_nodes=int(os.environ["GROUP_WORLD_SIZE"]),
            strategy="ddp",
            precision=mode,
        )
        return cls(fabric, precision)

    def wrap(self, network: Network) -> nn.Module:
        """The module that a step runs; its parameters are the network's own."""
        if self.ranks > 1:
            synchronise(network)
        return cast("nn.Module", self._fabric.setup_module(network, move_to_device=False))

    def backward(self, loss: Tensor) -> None:
        """Add the loss's gradients to those of the parameters; the mean over all processes."""
        self._fabric.backward(loss)

    def agreed(self, answer: Agreed) -> Agreed:
        """What the leading process answers."""
        return self._fabric.broadcast(answer) if self.ranks > 1 else answer

    def gathered(self, values: Tensor) -> list[Tensor]:
        """What each process brings, by rank."""
        if self.ranks == 1:
            return [values]
        here = values.to(self.torch_device)  # where the processes can reach it
        brought = [torch.empty_like(here) for _ in range(self.ranks)]
        distributed.all_gather(brought, here)
        return [each.to(values.device) for each in brought]


def _precision(accelerator: str) -> tuple[Literal["bf16-mixed", "32-true"], str]:
    """Fabric's word for it, and ours."""
    if accelerator == "cuda" and torch.cuda.is_bf16_supported():
        return "bf16-mixed", "bfloat16"
    return "32-true", "float32"


def synchronise(network: nn.Module) -> None:
    """Let each BatchNorm take the statistics of all processes' rows together.

    The parameters and buffers stay the very same tensors.

    Args:
        network: whose BatchNorm layers are replaced; it lies where it will be computed.
    """
    on_cuda = next(network.parameters()).is_cuda
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm1d:
                convert = (
                    nn.SyncBatchNorm.convert_sync_batchnorm if on_cuda else SyncBatchNormCpu.of
                )
                setattr(parent, name, convert(child))


class SyncBatchNormCpu(nn.BatchNorm1d):
    """BatchNorm over the rows of all processes, on the CPU, where torch's own refuses to work.

    Shape: ``[n, d]`` → ``[n, d]``, where each process may have another ``n``.
    """

    @classmethod
    def of(cls, norm: nn.BatchNorm1d) -> Self:
        """One with the settings and the very parameters and buffers of another."""
        shared = cls(norm.num_features, eps=norm.eps, momentum=norm.momentum)
        shared.weight, shared.bias = norm.weight, norm.bias
        shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
        shared.num_batches_tracked = norm.num_batches_tracked
        return shared.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name of it
        """Normalise ``[n, d]``; in eval mode by the running statistics, as any BatchNorm."""
        if not self.training:
            return super().forward(input)
        rows = _total(input.new_tensor(float(len(input))))
        mean = _total(input.sum(dim=0)) / rows
        centred = input - mean
        variance = _total(centred.square().sum(dim=0)) / rows
        self._track(mean.detach(), variance.detach() * rows / (rows - 1))
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        share = self.momentum
        if self.running_mean is None or self.running_var is None or share is None:
            raise TypeError("A network's BatchNorm must track running statistics with a momentum.")
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1


class _Total(torch.autograd.Function):
    """The sum over all processes, through which gradients flow back to each."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return _sum(values)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return _sum(gradient)


def _total(values: Tensor) -> Tensor:
    total: Tensor = _Total.apply(values)  # type: ignore[no-untyped-call]  # torch's, unannotated
    return total


def _sum(values: Tensor) -> Tensor:
    total = values.clone()
    distributed.all_reduce(total)
    return total
