"""The worked examples run, and do what they say."""

import lightning as L
import torch

import lightning_dd as dd
from examples.continual import continual
from examples.plain import Classifier
from lightning_dd.coresets import random_real
from lightning_dd.data import Digits
from lightning_dd.rng import generator


def test_continual_learning_remembers_earlier_tasks():
    """Ten classes guessed at random would be right in 10 %; the last two alone, in 20 %."""
    accuracies = continual(Digits(), "dm", ipc=2, steps=10, epochs=60, real_per_class=64)
    assert len(accuracies) == 5
    assert accuracies[0] > 80
    assert accuracies[-1] > 30


def test_the_memory_may_hold_real_images():
    assert continual(Digits(), "random", ipc=1, steps=1, epochs=60)[0] > 80


def test_a_plain_lightning_training_learns_from_a_distilled_set():
    digits = Digits()
    digits.setup()
    rows = random_real(digits.train_labels, 10, 5, generator(0, "example"))
    images, labels = digits.train_images[rows] / 255, digits.train_labels[rows]
    kept = dd.DistilledDataset(images, labels, digits.class_names, digits.preprocessing)
    module = Classifier(kept.image_shape, kept.num_classes)
    loader = torch.utils.data.DataLoader(kept, batch_size=256, shuffle=True)
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False}
    L.Trainer(max_epochs=60, logger=False, accelerator="cpu", log_every_n_steps=1, **quiet).fit(module, loader)
    assert torch.equal(next(iter(torch.utils.data.DataLoader(kept, batch_size=50)))[0], digits.preprocessing(images))
    assert kept.evaluate(digits.split("test"), module.network) > 70
