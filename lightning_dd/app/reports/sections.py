"""The sections of a report, each from what a run's folder holds."""

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import yaml

from lightning_dd.app.reports.pictures import accuracy_curve, accuracy_over_operations, accuracy_over_time, strips
from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.usage import usage
from lightning_dd.callbacks.best import comparable
from lightning_dd.comparison.records import (
    TITLES,
    all_recorded,
    commands,
    figure,
    method_of,
    of_split,
    operations_spent,
    seconds_spent,
    total_seconds,
)

Record = dict[str, Any]

LEAST = 1e-4  # seconds; what takes less does nothing


class Link(NamedTuple):
    """A cell of a table that leads somewhere on the page."""

    to: str
    text: str


def overview(records: Sequence[Record]) -> str:
    """Return a table of all runs, with links to their parts, and their accuracy over time and operations."""
    names = ("run", "per class", "steps", "accuracy (%)", "random real", "difference", "distilling", "device")
    rows = [_overview_row(f"run{number}", record) for number, record in enumerate(records, 1)]
    curves = {
        f"{number}. {method_of(record)}, {record['ipc']} per class": alike
        for number, record in enumerate(records, 1)
        if len(alike := comparable(record["evaluations"])) > 1
    }
    charts = ""
    for title, spent, draw in (
        ("Accuracy over time", seconds_spent, accuracy_over_time),
        ("Accuracy over operations", operations_spent, accuracy_over_operations),
    ):
        shown = {name: entries for name, entries in curves.items() if all_recorded(spent, entries)}
        charts += f"<h2>{title}</h2><div class='chart'>{draw(shown)}</div>" if shown else ""
    return f"<header><h1>{len(records)} runs</h1>\n{_table(names, rows)}{charts}</header>\n"


def _overview_row(anchor: str, record: Record) -> list[str]:
    last = record["evaluations"][-1] if record["evaluations"] else None
    real = last["random_real_mean"] if last else None
    seconds = total_seconds(record.get("cost") or {})
    data = TITLES.get(record["dataset"], record["dataset"])
    return [
        Link(f"#{anchor}", f"{anchor.removeprefix('run')}. {method_of(record)}, {data}"),
        str(record["ipc"]),
        f"{record['steps']:,}",
        figure(last) + of_split(last) if last else "-",
        figure(last, "random_real") if last else "-",
        "-" if real is None else f"{last['accuracy_mean'] - real:+.1f}",
        "-" if seconds is None else _duration(seconds),
        record.get("environment", {}).get("device", "-"),
    ]


def heading(record: Record, distilled: DistilledDataset) -> str:
    """Return the title and what matters most."""
    height, width = distilled.image_shape[1:]
    about = f"{len(distilled)} images of {height}x{width} pixels, {distilled.num_classes} classes"
    published = record["published_steps"]  # None of a method that is not published
    steps = ("steps (published)", f"{record['steps']:,} ({published:,})") if published else ("steps", record["steps"])
    facts = [("images per class", record["ipc"]), steps]
    for last in record["evaluations"][-1:]:
        how = f"{last['num_networks']} x {last['network']}, {last['protocol']}{of_split(last)}"
        facts.insert(0, (f"accuracy, {how}", figure(last)))
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
    figures = []
    for name, source, count in found:
        caption = f"<figcaption>{escape(name)}</figcaption>"
        # shorter rows are as much narrower, so that all images have one size
        picture = f'<img src="{source}" alt="{escape(name)}" style="width:{100 * count / shown:.4g}%">'
        figures.append(f"<figure>{picture + caption if shown == 1 else caption + picture}</figure>")
    most = int(distilled.hard_labels.bincount().max())
    few = f"<p class='quiet'>The first {shown} of {most} images of each class.</p>"
    size = f"--image:{distilled.image_shape[2] + 1}px;--shown:{shown}"
    note, kind = few if shown < most else "", "single" if shown == 1 else "rows"
    return _section("Images", f'{note}<div class="grid {kind}" style="{size}">{"".join(figures)}</div>')


def accuracy(record: Record) -> str:
    """Return the evaluations of the run, and a curve where there are several."""
    entries = record["evaluations"]
    if not entries:
        return _section("Accuracy", "<p>Not evaluated.</p>")
    alike = comparable(entries)
    if len({entry["step"] for entry in alike}) == 1:
        return _section("Accuracy", _evaluations(entries))
    title = f"Accuracy over {'time' if all_recorded(seconds_spent, alike) else 'steps'}"
    return _section(title, f'<div class="chart">{accuracy_curve(alike)}</div>{_evaluations(entries)}')


def tests(records: Sequence[Record]) -> str:
    """Return what `lightning_dd test` measured later; nothing where it did not."""
    entries = [entry for record in records for entry in record["evaluations"][-1:]]  # those before are the run's own
    return _section("Tested again", _evaluations(entries)) if entries else ""


def _evaluations(entries: Sequence[Record]) -> str:
    names = ("step", "after", "distilled", "random real", "networks", "protocol", "split")
    rows = [
        (
            f"{entry['step']:,}",
            "-" if (spent := seconds_spent(entry)) is None else _duration(spent),
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
    """Return the table of `evaluate` as a heat map; nothing where there is none."""
    if not report or not (cells := report["cells"]):
        return ""
    found = {((cell["set"], cell["labels"], cell["ipc"]), cell["network"]): cell for cell in cells}
    rows, networks = map(dict.fromkeys, zip(*found, strict=True))
    means = [cell["accuracy_mean"] for cell in cells]
    low, span = min(means), (max(means) - min(means)) or 1
    head = "".join(f"<th>{_network(name)}</th>" for name in networks)
    body = []
    for row in rows:
        body.append(f"<tr><th>{escape(row[0])}<small>{row[2]} per class, {row[1]} labels</small></th>")
        for name in networks:
            cell = found.get((row, name))
            body.append(_shaded(name, cell, (cell["accuracy_mean"] - low) / span) if cell else "<td>-</td>")
        body.append("</tr>")
    what = f"Accuracy (%) under protocol {escape(report['protocol'])}"
    what += f", {report['epochs']} epochs" if report["epochs"] else ""
    what += f", {report['test_images']:,} test images" if report.get("test_images") else ""
    table = f'<table class="map stacks"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table>'
    return _section("Other architectures", f"<p class='quiet'>{what}.</p>{table}")


def cost(record: Record) -> str:
    """Return what the run took."""
    spent, where = record.get("cost") or {}, record.get("environment", {})
    if not spent:
        return ""
    seconds = "{:.3g} s".format
    names = {
        "seconds": ("all steps", _duration),
        "seconds_before": ("networks trained beforehand", _duration),
        "seconds_per_step": ("a step", seconds),
        "seconds_loss": ("its loss and backward pass", seconds),
        "seconds_networks": ("its networks' updates", seconds),
        "peak_memory_bytes": ("peak memory", lambda value: f"{value / 2**30:.2f} GiB"),
    }
    facts = [(name, form(spent[key])) for key, (name, form) in names.items() if (spent.get(key) or 0) > LEAST]
    device = escape(", ".join(str(where[key]) for key in ("device", "precision") if key in where))
    return _section("Cost", f'<p class="quiet">{device}</p>{_boxes(facts)}')


def loading(path: str, distilled: DistilledDataset) -> str:
    """Return how to train on the set."""
    return _section("How to train on it", f"<pre>{escape(usage(path, distilled))}</pre>")


def config(record: Record) -> str:
    """Return the command, the options and the versions."""
    options = yaml.safe_dump(record["config"], sort_keys=False)
    versions = ", ".join(f"{name} {value}" for name, value in record.get("environment", {}).items())
    return _section(
        "Config",
        f"<pre>{chr(10).join(map(_command, commands(record)))}</pre>"
        f"<details><summary>All options</summary><pre>{escape(options)}</pre></details>"
        f"<p class='quiet' style='margin-top:12px'>{escape(versions)}</p>",
    )


def _command(text: str) -> str:
    """Break lines between words and not inside an option."""
    return " ".join(f'<span class="word">{escape(word)}</span>' for word in (text or "").split(" "))


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>\n{content}\n</section>"


def _boxes(facts: Sequence[tuple[str, object]]) -> str:
    boxes = (f'<div class="fact"><b>{escape(str(value))}</b><span>{escape(name)}</span></div>' for name, value in facts)
    return f'<div class="facts">{"".join(boxes)}</div>'


def _cell(value: str | Link) -> str:
    if isinstance(value, Link):
        return f'<a href="{value.to}">{escape(value.text)}</a>'
    return escape(value)


def _table(names: Sequence[str], rows: Sequence[Sequence[str | Link]]) -> str:
    """Return a table whose rows become blocks on a narrow screen."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = ""
    for row in rows:
        pairs = zip(["th", *["td"] * len(row)], names, row, strict=False)
        cells = (f'<{tag} data-label="{escape(name)}">{_cell(value)}</{tag}>' for tag, name, value in pairs)
        body += f"<tr>{''.join(cells)}</tr>"
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


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
