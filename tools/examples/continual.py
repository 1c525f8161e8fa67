"""Class-incremental learning: classes come two at a time, and a few images of each are all that is kept of them.

    python tools/examples/continual.py [METHOD] [IPC] [STEPS] [EPOCHS]

After each task a fresh network is trained on the memory alone (GDumb, ECCV 2020) and tested on all classes so far. The
memory holds distilled images (`dm` and the like), or real ones: `random`, `herding`. Digits need no download; for other
images give `continual` another `data`, such as `CIFAR10("DATA")`.
"""

import sys
from typing import Any

import lightning_dd as dd
from lightning_dd.data import Digits, ImageData

NETWORK = "ConvNet:width=32"


def continual(data: ImageData, method: str = "dm", epochs: int = 100, seed: int = 0, **options: Any) -> list[float]:
    """Return the accuracy in percent on the classes seen so far, after each task of two; `options` are the method's."""
    data.setup()
    images, labels = data.train_images, data.train_labels
    how = {"method": "coreset", "selection": method} if method in ("random", "herding") else {"method": method}
    how |= {"ipc": 10, "steps": 500, "seed": seed, "network": NETWORK, **options}
    memory, accuracies = [], []
    for first in range(0, data.num_classes, 2):
        new = (labels == first) | (labels == first + 1)
        kept = dd.distill_tensors(images[new], labels[new], **how)
        memory.append(dd.DistilledDataset(*kept, data.class_names, data.preprocessing))
        seen = data.test_labels < first + 2
        network = dd.merge(memory).train(NETWORK, protocol="common", epochs=epochs, seed=seed)
        accuracies.append(memory[0].evaluate((data.test_images[seen], data.test_labels[seen]), network))
    return accuracies


if __name__ == "__main__":
    method, *numbers = sys.argv[1:] or ["dm"]
    given = dict(zip(("ipc", "steps", "epochs"), map(int, numbers), strict=False))
    print(method, *continual(Digits(), method, **given))
