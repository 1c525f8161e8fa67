"""Write a distilled set as other programs read it: `export ARTIFACT --to FORM PATH`.

An artifact is a run's folder, that of several runs (the newest is taken), a distilled.safetensors, or hf:org/name on
the Hugging Face hub. Tensors are normalized, or whitened, as networks are trained on them; pictures are clipped to the
valid range and rounded to 8 bits.
"""

import argparse

from lightning_dd.app.commands import parser

FORMS = {
    "vico": 'a .pt file as the code of DC, DSA and DM saves: {"data": [[images, labels]]}, labels as class indices',
    "mtt": "a folder as the code of MTT and DATM saves: images_best.pt, labels_best.pt, lr_best.pt; learned labels too",
    "folder": "PNG files, a folder for each class",
    "parquet": "a Parquet file of the hub's layout: image, label, and learned labels",
    "share": "a folder to share: the set itself, a Parquet copy, picture, record, config and a card",
}


def main(arguments: list[str]) -> int:
    """Write a set and return the exit code.

    Raises:
        UserError: there is no set, it has no such form, or it cannot be written.
    """
    listed = "\n".join(f"  {name:9}{about}" for name, about in FORMS.items())
    made = parser("export", epilog=f"forms:\n{listed}")
    made.add_argument("artifact", metavar="ARTIFACT", help="a run's folder, a set or its name, or hf:org/name")
    made.add_argument("--to", required=True, choices=tuple(FORMS), metavar="FORM", help=f"one of {', '.join(FORMS)}")
    made.add_argument("path", metavar="PATH", help="the file or folder to write")
    given = made.parse_args(arguments)
    from lightning_dd.artifact.dataset import load

    _write(load(given.artifact), given)
    return 0


def _write(distilled: object, given: argparse.Namespace) -> None:
    write = getattr(distilled, "save_pretrained" if given.to == "share" else f"to_{given.to}")
    write(given.path)
    print(f"In {given.path}: {FORMS[given.to]}.")
    if given.to == "vico" and distilled.label_kind != "index":
        print("Its learned labels are left out; `--to mtt` writes them.")
