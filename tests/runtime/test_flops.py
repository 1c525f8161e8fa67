import torch

from lightning_dd.networks import ConvNet
from lightning_dd.runtime.flops import counted, forward_operations


def test_operations_of_a_product_and_its_gradient():
    a, b = torch.ones(2, 3, requires_grad=True), torch.ones(3, 5)
    with counted() as found:
        (a @ b).sum().backward()
    assert found.get_total_flops() == 2 * (2 * 2 * 3 * 5)


def test_operations_of_the_convnet():
    blocks = 3 * 32**2 * 9 * 128 + (16**2 + 8**2) * 9 * 128**2
    assert forward_operations(ConvNet((3, 32, 32), 10), (3, 32, 32)) == 2 * (blocks + 2048 * 10)
