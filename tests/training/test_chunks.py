"""How many images go through a network at once."""

import pytest
import torch

from lightning_dd.errors import UserError
from lightning_dd.networks import ConvNet
from lightning_dd.training.chunks import chunk_size

IMAGES = torch.zeros(2, 300, 3, 32, 32)


def _network(norm):
    return ConvNet((3, 32, 32), 10, width=4, depth=1, norm=norm)


def test_the_users_number_or_256_small_images_on_a_cpu():
    assert chunk_size(7, _network("instance"), IMAGES) == 7
    assert chunk_size(None, _network("instance"), IMAGES, shared=True) == 256
    assert chunk_size(None, _network("instance"), torch.zeros(1, 3, 64, 64)) == 64


def test_batch_normalization_sees_all_images():
    network = _network("batch")
    assert chunk_size(None, network, IMAGES) == 600
    with pytest.raises(UserError, match="real_chunk"):
        chunk_size(7, network, IMAGES)
    with pytest.raises(UserError, match=r"trainer.devices must be 1"):
        chunk_size(None, network, IMAGES, shared=True)
    assert chunk_size(7, network.eval(), IMAGES, shared=True) == 7
