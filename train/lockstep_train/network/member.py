"""A member: one chain of blocks and its head."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn

from lockstep_train.configuration.network import ActivationName, NetworkConfiguration
from lockstep_train.network.block import Block
from lockstep_train.network.dropout import Dropout

ACTIVATIONS: dict[ActivationName, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "elu": nn.ELU,
}


class Member(nn.Sequential):
    """Input Dropout → blocks of Linear, BatchNorm1d, activation, Dropout → head.

    The last block carries a Dropout only where it is asked for
    (`NetworkConfiguration.block_dropout`): no later layer can make up for a value that is dropped
    right before the head.

    Shape: ``[n, n_inputs]`` → ``[n, n_outputs]``.

    Example:
        >>> configuration = NetworkConfiguration(hidden=(8, 4))
        >>> Member(configuration, n_inputs=3, n_outputs=2)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])

    Args:
        configuration: the blocks' settings.
        n_inputs: width of the dense matrix.
        n_outputs: number of classes, or 1.
    """

    blocks: nn.Sequential
    head: nn.Linear

    def __init__(self, configuration: NetworkConfiguration, n_inputs: int, n_outputs: int) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if configuration.input_dropout:
            layers["input_dropout"] = Dropout(configuration.input_dropout)
        layers["blocks"] = nn.Sequential(*_blocks(configuration, n_inputs))
        layers["head"] = nn.Linear(configuration.hidden[-1], n_outputs)
        super().__init__(layers)


def _blocks(configuration: NetworkConfiguration, n_inputs: int) -> list[Block]:
    widths = pairwise((n_inputs, *configuration.hidden))
    return [
        _block(configuration, *width, rate)
        for width, rate in zip(widths, configuration.block_dropout, strict=True)
    ]


def _block(
    configuration: NetworkConfiguration, n_inputs: int, n_units: int, dropout: float
) -> Block:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    # BatchNorm subtracts the mean, and with it any bias of the Linear before it.
    layers["linear"] = nn.Linear(n_inputs, n_units, bias=not configuration.batch_norm)
    if configuration.batch_norm:
        layers["norm"] = nn.BatchNorm1d(
            n_units, eps=configuration.batch_norm_eps, momentum=configuration.batch_norm_momentum
        )
    layers["activation"] = ACTIVATIONS[configuration.activation]()
    if dropout:
        layers["dropout"] = Dropout(dropout)
    return Block(layers)
