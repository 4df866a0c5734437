import copy
from collections import OrderedDict

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lockstep.engine.torchscript import freeze, load_module
from lockstep.proof.audit.torchscript import audit_torchscript
from lockstep_train.export.onnx_file import to_onnx
from lockstep_train.network.block import Block
from lockstep_train.network.dropout import Dropout

RATES = [None, 0.2, 0.5]


def block_of(rate, *, bias=False, activation=nn.ReLU, dtype=torch.float32, **norm):
    layers = OrderedDict(
        linear=nn.Linear(5, 4, bias=bias), norm=nn.BatchNorm1d(4, **norm), activation=activation()
    )
    if rate is not None:
        layers["dropout"] = Dropout(rate)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = Block(layers)
        for parameter in block.parameters():
            nn.init.normal_(parameter)
    return block.to(dtype)


def rows_of(n=16, dtype=torch.float32):
    return torch.randn(n, 5, generator=torch.Generator().manual_seed(1), dtype=dtype)


def learned_by(module, rows):
    """Output, gradients and buffers of one step, whose masks are always the same."""
    given = rows.clone().requires_grad_()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        output = module(given)
    output.square().sum().backward()
    return [
        output.detach(),
        given.grad,
        *(parameter.grad for parameter in module.parameters()),
        *module.buffers(),
    ]


def is_in_place(block, rows):
    called, forward = [], nn.Linear.forward
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Linear, "forward", lambda *given: called.append(0) or forward(*given))
        block(rows)
    return not called


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "others", [{}, {"momentum": 1.0, "eps": 1e-3}, {"affine": False}, {"bias": True}], ids=str
)
def test_a_block_in_place_has_the_bits_of_its_layers(rate, dtype, others):
    block = block_of(rate, dtype=dtype, **others)
    layers = nn.Sequential(*copy.deepcopy(block).children())
    rows = rows_of(dtype=dtype)
    assert is_in_place(copy.deepcopy(block), rows)
    for _ in range(3):
        for one, other in zip(learned_by(block, rows), learned_by(layers, rows), strict=True):
            assert torch.equal(one, other)
    assert block.norm.num_batches_tracked == 3


@pytest.mark.parametrize("rate", RATES)
def test_the_gradient_is_that_of_the_function(rate):
    block = block_of(rate, dtype=torch.float64)

    def with_a_fixed_mask(rows, *_):
        torch.manual_seed(4)
        return block(rows)

    rows = rows_of(6, torch.float64).requires_grad_()
    with torch.random.fork_rng(devices=[]):
        assert is_in_place(block, rows)
        assert torch.autograd.gradcheck(with_a_fixed_mask, (rows, *block.parameters()))


def test_rows_that_need_no_gradient_get_none():
    block = block_of(0.2)
    block(rows_of()).sum().backward()
    assert all(parameter.grad is not None for parameter in block.parameters())


OTHERS = {
    "another activation": lambda: block_of(0.2, activation=nn.GELU),
    "no running statistics": lambda: block_of(0.2, track_running_stats=False),
    "a cumulative average": lambda: block_of(0.2, momentum=None),
    "a rate of 1": lambda: block_of(1.0),
    "no Dropout of ours": lambda: Block(*list(block_of(None).children()), nn.Dropout()),
    "a frozen BatchNorm": lambda: _with(lambda block: block.norm.eval()),
    "somebody who looks": lambda: _with(
        lambda block: block.norm.register_forward_hook(lambda *_: None)
    ),
}


def _with(change):
    block = block_of(0.2)
    change(block)
    return block


@pytest.mark.parametrize("other", OTHERS)
def test_other_layers_are_called_one_after_another(other):
    block = OTHERS[other]()
    assert not is_in_place(block, rows_of())
    assert block(rows_of()).shape == (16, 4)


def test_in_bfloat16_it_is_its_layers_too():
    block = block_of(0.2)
    layers = nn.Sequential(*copy.deepcopy(block).children())
    with torch.autocast("cpu", torch.bfloat16):
        for one, other in zip(
            learned_by(block, rows_of()), learned_by(layers, rows_of()), strict=True
        ):
            assert torch.equal(one, other)


def test_a_single_row_is_refused_as_batch_norm_does():
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        block_of(0.2)(rows_of(1))


def test_in_eval_mode_the_layers_answer():
    block = block_of(0.5).eval()
    rows = rows_of()
    expected = torch.relu(block.norm(block.linear(rows)))
    assert torch.equal(block(rows), expected)
    assert block.norm.num_batches_tracked == 0


def test_its_state_and_its_export_are_those_of_the_layers():
    block = block_of(0.5)
    layers = nn.Sequential(OrderedDict(block.named_children()))
    assert list(block.state_dict()) == list(layers.state_dict())
    sample = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    made, expected = (
        onnx.load_from_string(to_onnx(module.eval(), sample, "output")).graph
        for module in (block, layers)
    )
    assert [node.op_type for node in made.node] == [node.op_type for node in expected.node]
    scripts = [load_module(freeze(module, sample)) for module in (block, layers)]
    assert audit_torchscript(scripts[0]).verdict == "clean"
    assert len({str(script.inlined_graph).count("aten::") for script in scripts}) == 1
