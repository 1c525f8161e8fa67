"""The ConvNet in the memory format that some convolutions prefer: the channels of a pixel side by side."""

import torch

from lightning_dd.networks import ConvNet


class ChannelsLast(ConvNet):
    """A ConvNet of the same weights whose activations follow its weights' memory format."""

    def initialize(self, generator: torch.Generator) -> "ChannelsLast":
        """Draw in the usual format first: a draw fills memory in its order, and would give other weights."""
        self.to(memory_format=torch.contiguous_format)
        return super().initialize(generator).to(memory_format=torch.channels_last)
