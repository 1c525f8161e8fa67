"""The sections of a report, each from what a run's folder holds."""

from collections.abc import Sequence
from html import escape
from typing import Any

import yaml

from lightning_dd.artifact.dataset import DistilledDataset
from reports.pictures import accuracy_curve, strips
from results_table import TITLES, commands, figure, method_of

Record = dict[str, Any]

LEAST = 1e-4
"""Seconds; what takes less does nothing."""


def heading(record: Record, distilled: DistilledDataset) -> str:
    """Return the title and what matters most."""
    last = record["evaluations"][-1] if record["evaluations"] else None
    height, width = distilled.image_shape[1:]
    about = f"{len(distilled)} images of {height}x{width} pixels, {distilled.num_classes} classes"
    facts = [("images per class", record["ipc"]), ("steps (published)", _steps(record))]
    if last:
        facts.insert(0, (f"accuracy, {last['num_networks']} x {last['network']}, {last['protocol']}", figure(last)))
        if last["random_real_mean"] is not None:
            facts.insert(1, ("random real images", figure(last, "random_real")))
    data = ", ".join([TITLES.get(record["dataset"], record["dataset"]), *record.get("data_departures", [])])
    paper = escape(distilled.info.get("paper", ""))
    title = f"{escape(method_of(record))} on {escape(data)}"
    return f"<h1>{title}</h1>\n<p class='quiet'>{about}. {paper}</p>\n{_boxes(facts)}"


def images(distilled: DistilledDataset) -> str:
    """Return the images of each class under its name."""
    found = strips(distilled)
    shown = max(count for _, _, count in found)
    single = shown == 1
    figures = []
    for name, source, count in found:
        caption = f"<figcaption>{escape(name)}</figcaption>"
        # shorter rows are as much narrower, so that all images have one size
        picture = f'<img src="{source}" alt="{escape(name)}" style="width:{100 * count / shown:.4g}%">'
        figures.append(f"<figure>{picture + caption if single else caption + picture}</figure>")
    note = (
        f"<p class='quiet'>The first {shown} of {distilled.ipc} images of each class.</p>"
        if shown < distilled.ipc
        else ""
    )
    kind = "single" if single else "rows"
    return section("Images", f'{note}<div class="grid {kind}">{"".join(figures)}</div>')


def accuracy(record: Record) -> str:
    """Return the evaluations of the run, and a curve where there are several."""
    entries = record["evaluations"]
    if not entries:
        return section("Accuracy", "<p>Not evaluated.</p>")
    curve = ""
    if len({entry["step"] for entry in entries}) > 1:
        curve = f'<div class="chart">{accuracy_curve(entries)}</div>'
    return section("Accuracy over steps" if curve else "Accuracy", curve + _evaluations(entries))


def tests(records: Sequence[Record]) -> str:
    """Return what `lightning_dd test` measured later; nothing where it did not."""
    entries = [entry for record in records for entry in record["evaluations"]]
    return section("Tested again", _evaluations(entries)) if entries else ""


def _evaluations(entries: Sequence[Record]) -> str:
    names = ("step", "distilled", "random real", "networks", "protocol", "split")
    rows = [
        (
            f"{entry['step']:,}",
            figure(entry),
            figure(entry, "random_real"),
            f"{entry['num_networks']} x {entry['network']}",
            entry["protocol"] + (f", {entry['epochs']} epochs" if entry.get("epochs") else ""),
            entry["split"],
        )
        for entry in entries
    ]
    return _table(names, rows)


def cross_architecture(report: Record | None) -> str:
    """Return the table of `tools/evaluate.py` as a heat map; nothing where there is none."""
    if not report:
        return ""
    cells = report["cells"]
    networks = list(dict.fromkeys(cell["network"] for cell in cells))
    rows = list(dict.fromkeys((cell["set"], cell["labels"], cell["ipc"]) for cell in cells))
    found = {(cell["set"], cell["labels"], cell["ipc"], cell["network"]): cell for cell in cells}
    means = [cell["accuracy_mean"] for cell in cells]
    low, span = min(means), (max(means) - min(means)) or 1
    head = "".join(f"<th>{_network(name)}</th>" for name in networks)
    body = []
    for row in rows:
        about = f"{row[2]} per class, {row[1]} labels"
        line = [f"<th>{escape(row[0])}<small>{about}</small></th>"]
        for name in networks:
            cell = found.get((*row, name))
            line.append(_shaded(name, cell, (cell["accuracy_mean"] - low) / span) if cell else "<td>-</td>")
        body.append(f"<tr>{''.join(line)}</tr>")
    what = f"Accuracy (%) under protocol {escape(report['protocol'])}" + (
        f", {report['epochs']} epochs" if report["epochs"] else ""
    )
    what += f", {report['test_images']:,} test images" if report.get("test_images") else ""
    table = f'<table class="map stacks"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return section("Other architectures", f"<p class='quiet'>{what}.</p>{table}")


def cost(record: Record) -> str:
    """Return what the run took."""
    spent, where = record.get("cost") or {}, record.get("environment", {})
    if not spent:
        return ""
    names = {
        "seconds": ("all steps", _duration),
        "seconds_per_step": ("a step", lambda value: f"{value:.3g} s"),
        "seconds_loss": ("its loss and backward pass", lambda value: f"{value:.3g} s"),
        "seconds_networks": ("its networks' updates", lambda value: f"{value:.3g} s"),
        "peak_memory_bytes": ("peak memory", lambda value: f"{value / 2**30:.2f} GiB"),
    }
    facts = [(name, form(spent[key])) for key, (name, form) in names.items() if (spent.get(key) or 0) > LEAST]
    device = escape(", ".join(str(where[key]) for key in ("device", "precision") if key in where))
    return section("Cost", f'<p class="quiet">{device}</p>{_boxes(facts)}')


def loading(path: str) -> str:
    """Return how to train on the set."""
    code = (
        "import torch, lightning_dd as dd\n\n"
        f"distilled = dd.load({path!r})  # a torch Dataset: (normalised image, label)\n"
        "loader = torch.utils.data.DataLoader(distilled, batch_size=256, shuffle=True)\n"
        "test_images = distilled.preprocess(test_images)  # uint8, or floats in [0, 1]"
    )
    return section("How to load", f"<pre>{escape(code)}</pre>")


def config(record: Record) -> str:
    """Return the command, the options and the versions."""
    options = yaml.safe_dump(record["config"], sort_keys=False)
    versions = ", ".join(f"{name} {value}" for name, value in record.get("environment", {}).items())
    return section(
        "Config",
        f"<pre>{chr(10).join(map(_command, commands(record)))}</pre>"
        f"<details><summary>All options</summary><pre>{escape(options)}</pre></details>"
        f"<p class='quiet' style='margin-top:12px'>{escape(versions)}</p>",
    )


def _command(text: str) -> str:
    """Return a command whose lines break between its words and not inside an option."""
    return " ".join(f'<span class="word">{escape(word)}</span>' for word in (text or "").split(" "))


def section(title: str, content: str) -> str:
    """Return a section of the page."""
    return f"<section><h2>{title}</h2>\n{content}\n</section>"


def _boxes(facts: Sequence[tuple[str, object]]) -> str:
    """Return values with their names below them."""
    boxes = (f'<div class="fact"><b>{escape(str(value))}</b><span>{escape(name)}</span></div>' for name, value in facts)
    return f'<div class="facts">{"".join(boxes)}</div>'


def _table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose rows become blocks on a narrow screen."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = ""
    for first, *rest in rows:
        cells = "".join(
            f'<td data-label="{escape(name)}">{escape(value)}</td>' for name, value in zip(names[1:], rest, strict=True)
        )
        body += f'<tr><th data-label="{escape(names[0])}">{escape(first)}</th>{cells}</tr>'
    return f'<table class="stacks"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _shaded(network: str, cell: Record, share: float) -> str:
    """Return a cell of the heat map: from nearly white to dark teal."""
    light = 95 - 62 * share
    ink = "#fff" if light < 45 else "#10262b"
    style = f"background:hsl(185 {35 + 25 * share:.0f}% {light:.0f}%);color:{ink}"
    return f'<td data-label="{escape(network)}" style="{style}">{figure(cell)}</td>'


def _network(name: str) -> str:
    kind, _, options = name.partition(":")
    return escape(kind) + (f"<small>{escape(options.replace(',', ', '))}</small>" if options else "")


def _steps(record: Record) -> str:
    return f"{record['steps']:,} ({record['published_steps']:,})"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
