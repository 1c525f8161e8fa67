"""Random damage: to bytes, to tables of plain values, and to tensors."""

import copy
import random
from typing import Any

import torch

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 10**6, 2**31, 2**63, 10**30, 0.5, -0.0, 1e-300, 1e30, 1e308),
    *(float("nan"), float("inf"), float("-inf"), "", "x", "0", "index", "logits", "targets", "probabilities", "\x00"),
    *("\ud800", "../..", "a\nb", "x" * 300, "é", [], [0], ["a"], [None], {}, {"a": 1}, {"class_path": "os.system"}),
)
KINDS = (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.uint8, torch.bool, torch.float32)
VALUES = (0.0, -1.0, 1e-30, 1e6, 1e30, 10**9, float("nan"), float("inf"), -5.0, 255.0, 0.5)


def damaged_bytes(content: bytes, draw: random.Random) -> bytes:
    """Return bytes that were flipped, cut, repeated or overwritten."""
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        place = draw.randrange(max(1, min(len(found), draw.choice((16, 2000, 10**9)))))
        kind = draw.randrange(5)
        if kind == 0 and found:
            found[place] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del found[place:]
        elif kind == 2:
            found[place:place] = draw.randbytes(draw.randrange(1, 20))
        elif kind == 3:
            found[place : place + 8] = draw.choice((b"\xff" * 8, bytes(8), (2**40).to_bytes(8, "little")))
        else:
            found += found[place : place + 100]
    return bytes(found)


def damaged_table(content: Any, draw: random.Random) -> Any:
    """Return plain values of which a part was replaced, removed, added or repeated."""
    content = copy.deepcopy(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        holder, key = _part(content, draw)
        if holder is None:
            return draw.choice(ODD)
        kind = draw.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[draw.choice(("x", "class_path", "images", "kind", ""))] = draw.choice(ODD)
        elif kind == 2 and isinstance(holder, list):
            holder += [holder[key]] * draw.choice((1, 3, 100))
        elif kind == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = draw.choice((-holder[key], holder[key] + 1, holder[key] * 10**6, str(holder[key]), -1))
        else:
            holder[key] = copy.deepcopy(draw.choice(ODD))
    return content


def _part(content: Any, draw: random.Random) -> tuple[Any, Any]:
    """Return a random table or list anywhere in the content, and one of its keys."""
    holder, key = None, None
    while isinstance(content, dict | list) and content and (holder is None or draw.random() < 0.7):
        key = draw.choice(list(content) if isinstance(content, dict) else range(len(content)))
        holder, content = content, content[key]
    return holder, key


def damaged_tensors(content: dict[str, torch.Tensor], draw: random.Random) -> dict[str, torch.Tensor]:
    """Return named tensors of which one has another kind, shape, value or name."""
    content = dict(content)
    name = draw.choice(list(content))
    tensor = content[name]
    kind = draw.randrange(7)
    if kind == 0:
        content[name] = tensor.to(draw.choice(KINDS))
    elif kind == 1:
        content[name] = tensor[: draw.randrange(len(tensor) + 1)] if tensor.ndim else tensor
    elif kind == 2:
        content[name] = draw.choice((tensor[None], tensor.flatten(), tensor.repeat(2, *[1] * max(0, tensor.ndim - 1))))
    elif kind == 3:
        changed = tensor.clone().flatten()
        if len(changed):
            value = draw.choice(VALUES)
            value = value if changed.is_floating_point() else int(min(max(value, -9), 10**9)) if value == value else -1
            changed[draw.randrange(len(changed)) :] = value
        content[name] = changed.view(tensor.shape)
    elif kind == 4:
        del content[name]
    elif kind == 5:
        content[draw.choice(("x", "labels", "images", "codec.images", "codec.positions", "order"))] = tensor
    else:
        content[name] = tensor * draw.choice((0, -1, 1000, 1 if not tensor.is_floating_point() else 1e20))
    return {name: part.contiguous().clone() for name, part in content.items()}
