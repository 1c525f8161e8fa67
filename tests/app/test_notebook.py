"""A notebook on 160 photos: distilled by two methods, shown, trained on, evaluated; nothing on the error stream."""

import os

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

PHOTOS = """
import numpy as np
from pathlib import Path
from PIL import Image, ImageDraw
draw = np.random.default_rng(0)
colors = {"apple": (200, 40, 40), "lake": (40, 80, 200), "leaf": (40, 170, 60), "moon": (220, 220, 190)}
colors["plum"] = (110, 40, 130)
for name, color in colors.items():
    for number in range(32):
        height, width = draw.integers(70, 110, 2)
        photo = Image.fromarray(draw.integers(60, 160, (height, width, 3), dtype=np.uint8))
        x, y, radius = *draw.integers(25, 45, 2), draw.integers(12, 25)
        shape = ImageDraw.Draw(photo).ellipse if name in ("apple", "moon", "plum") else ImageDraw.Draw(photo).rectangle
        shape((x - radius, y - radius, x + radius, y + radius), fill=color)
        place = Path("photos") / name / f"{number}.{'jpg' if number % 2 else 'png'}"
        place.parent.mkdir(parents=True, exist_ok=True)
        photo.save(place)
"""
CELLS = [
    PHOTOS,
    "import lightning_dd as dd\n"
    "evaluation = {'epochs': 20, 'num_networks': 1}\n"
    "small = 'ConvNet:width=16'\n"
    "dm = dd.distill('photos', 'dm', ipc=1, steps=20, image_size=64, network=small, evaluation=evaluation)",
    "dm",
    "network = dm.train()\ndm.evaluate('photos', network)",
    "frepo = dd.distill('photos', 'frepo', ipc=1, steps=3, image_size=64, evaluation={'epochs': 20, 'num_networks': 1, "
    "'network': small})\nfrepo",
    "network = frepo.train()\nfrepo.evaluate('photos', network)",
    "frepo.select(['moon', 'plum']).save_picture('some.png')",
]


@pytest.mark.slow
def test_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    if folder := os.environ.get("LIGHTNING_DD_NOTEBOOK"):
        nbformat.write(notebook, folder)
    outputs = [output for cell in notebook.cells for output in cell.outputs]
    errors = "".join(output.text for output in outputs if output.get("name") == "stderr")
    assert errors == ""
    shown = [output.data for output in outputs if output.output_type == "execute_result"]
    pictures = [data["text/html"] for data in shown if "text/html" in data]
    assert len(pictures) == 2
    assert "pairs(labels=&#x27;targets&#x27;)" in pictures[1]
    accuracies = [float(data["text/plain"]) for data in shown if "text/html" not in data]
    assert accuracies[0] > 40  # five classes that colors tell apart
    assert (tmp_path / "some.png").is_file()
