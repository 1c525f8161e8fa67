"""Tables of accuracies: rows, what is measured again, and how they look."""

import functools
import json

import pytest
import torch

from lightning_dd.artifact.dataset import DistilledDataset
from lightning_dd.artifact.preprocessing import Normalization
from lightning_dd.artifact.subsets import merge
from lightning_dd.comparison import grid, tables
from lightning_dd.comparison.candidates import RealImages, fingerprint, from_sets, groups
from lightning_dd.comparison.cells import Cells
from lightning_dd.comparison.grid import Conditions, fill
from lightning_dd.coresets import random_real
from lightning_dd.data import Digits
from lightning_dd.errors import UserError
from lightning_dd.evaluation import evaluate, find_protocol
from lightning_dd.networks import MLP
from lightning_dd.rng import generator
from lightning_dd.training.data import training_set
from lightning_dd.training.features import train_features

SMALL = "MLP:width=8"
TEACHER = {"network": {"class_path": "lightning_dd.networks.MLP", "init_args": {}}, "digest": "a" * 16}


@pytest.fixture(scope="module")
def data():
    data = Digits()
    data.setup()
    return data


def _set(data, per_class=1, **changes):
    rows = torch.cat([(data.train_labels == c).nonzero()[:per_class, 0] for c in range(10)])
    arguments = {
        "images": data.train_images[rows].float() / 255,
        "labels": data.train_labels[rows],
        "class_names": data.class_names,
        "preprocessing": data.preprocessing,
        "recipe": {"protocol": "dm", "augmentation": "crop_scale"},
    }
    return DistilledDataset(**{**arguments, **changes})


def _conditions(data, **changes):
    arguments = {"protocol": "dc", "data": "digits", "num_classes": 10, "epochs": 2}
    tested = {"test_images": data.test_images, "test_labels": data.test_labels}
    return Conditions(**{**tested, **arguments, **changes})


def _soft(data):
    labels = torch.nn.functional.one_hot(torch.arange(10), 10) * 0.7 + 0.03
    return _set(data, labels=labels, label_kind="probabilities")


def test_networks_learn_in_bf16_too(data, tmp_path, monkeypatch):
    seen, measure = [], grid.evaluate
    monkeypatch.setattr(
        grid, "evaluate", lambda *given: seen.append(torch.is_autocast_enabled("cpu")) or measure(*given)
    )
    rows, cells = from_sets("ours", [_set(data, 10)], "hard"), Cells(tmp_path / "cells.json")
    both = [fill(rows, {SMALL: 1}, _conditions(data, epochs=60, mixed=mixed), cells)[0].mean for mixed in (False, True)]
    assert both[0] > 15
    assert seen == [False, True]
    assert both[1] == pytest.approx(both[0], abs=3)


def test_random_images_are_those_of_a_run(data):
    made = RealImages(data, _set(data), seed=3).random("hard").make(1)
    rows = random_real(data.train_labels, 10, 1, generator(3, "evaluation/random_real", 1), data.class_names)
    assert torch.equal(made.images, data.train_images[rows] / 255)


def test_cells_are_what_evaluate_says(data, tmp_path):
    ours = _set(data)
    real = RealImages(data, ours, seed=3)
    conditions = _conditions(data, seed=3)
    rows = [*from_sets("ours", [ours], "hard"), real.random("hard")]
    table = fill(rows, {SMALL: 2}, conditions, Cells(tmp_path / "cells.json"))

    def random_real(index):
        made = rows[1].make(index)
        return made.prepared, made.labels

    test_set = data.preprocessing(data.test_images), data.test_labels
    factory, protocol = functools.partial(MLP, width=8), find_protocol("dc", 2)
    expected = evaluate(ours, random_real, test_set, factory, protocol, range(2), seed=3)
    assert [cell.accuracies for cell in table] == [expected.distilled, expected.random_real]
    assert [(cell.set, cell.labels, cell.network) for cell in table] == [
        ("ours", "hard", SMALL),
        ("random real", "hard", SMALL),
    ]
    assert table[0].parameters == sum(p.numel() for p in factory((1, 8, 8), 10).parameters())


def test_finished_cells_are_not_run_again(data, tmp_path, monkeypatch):
    calls = []

    def counting(*arguments):
        calls.append(arguments[5])
        return evaluate(*arguments)

    monkeypatch.setattr(grid, "evaluate", counting)
    rows = from_sets("ours", [_set(data)], "hard")

    def run(rows=tuple(rows), count=1, network=SMALL, **changes):
        calls.clear()
        return fill(rows, {network: count}, _conditions(data, **changes), Cells(tmp_path / "cells.json"))

    first = run()
    assert calls == [[0]]
    more = run(count=3)
    assert calls == [[1], [2]]  # the first is there
    assert more[0].accuracies[0] == first[0].accuracies[0]
    run(count=2)
    assert calls == []
    other = _set(data, images=_set(data).images + 0.01)
    for changes in (
        {"epochs": 1},
        {"seed": 1},
        {"test_labels": data.test_labels.flip(0)},
        {"network": "MLP:width=9"},
        {"rows": from_sets("ours", [other], "hard")},
    ):
        run(**changes)
        assert calls == [[0]], changes
    for name in ("__version__", "EVALUATION"):
        monkeypatch.setattr(grid, name, "of later")
        run()
        assert calls == [[0]]  # a release may train otherwise


def test_an_interrupted_table_keeps_its_cells(data, tmp_path, monkeypatch):
    def interrupted(*arguments):
        if arguments[5] == [1]:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr(grid, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fill(from_sets("ours", [_set(data)], "hard"), {SMALL: 2}, _conditions(data), Cells(tmp_path / "cells.json"))
    (cell,) = json.loads((tmp_path / "cells.json").read_text())["cells"].values()
    assert list(cell["result"]["accuracies"]) == ["0"]


def test_a_file_that_holds_no_cells_is_refused(tmp_path):
    (tmp_path / "cells.json").write_text("[1, 2]")
    with pytest.raises(UserError, match="not a file of finished cells"):
        Cells(tmp_path / "cells.json")


def test_soft_labels_have_a_row_of_their_own(data):
    soft = _soft(data)
    assert [row.labels for row in from_sets("a", [soft], "hard")] == ["hard", "soft"]
    assert [row.labels for row in from_sets("a", [soft], "soft")] == ["soft"]
    assert [row.labels for row in from_sets("a", [_set(data)], "soft")] == ["hard"]
    assert [row.labels for row in from_sets("a", [_set(data)], "targets")] == ["targets"]
    row = from_sets("a", [soft], "hard")[1]
    assert row.under(find_protocol("common")).labels == "soft"


def test_networks_take_the_sets_of_one_file_in_turns(data):
    sets = [_set(data), _set(data, images=_set(data).images * 0.5)]
    (row,) = from_sets("res", sets, "hard")
    assert [row.make(index) for index in range(3)] == [sets[0], sets[1], sets[0]]
    larger = _set(data, per_class=2)
    rows = from_sets("res", [*sets, larger], "hard")
    assert [(row.ipc, row.make(1)) for row in rows] == [(1, sets[1]), (2, larger)]


def test_real_images_are_prepared_like_the_set_and_fresh_for_each_network(data):
    like = _set(data, per_class=2, preprocessing=Normalization([0.1], [2.0]))
    random = RealImages(data, like).random("hard")
    one, two, again = random.make(0), random.make(1), random.make(0)
    assert one.ipc == 2
    assert torch.equal(one.images, again.images)
    assert not torch.equal(one.images, two.images)
    assert one.preprocessing is like.preprocessing
    assert one.recipe == {"augmentation": "crop_scale"}


def test_real_images_are_as_many_of_each_class_as_the_set_has(data):
    whole = _set(data, per_class=2)
    uneven = merge([whole, whole.select([3])])
    random, even = RealImages(data, uneven).random("hard"), RealImages(data, whole).random("hard")
    assert torch.equal(random.make(0).labels, uneven.labels)
    assert random.key != even.key
    assert len(groups({"whole": whole, "uneven": uneven}.items(), find_protocol("dc"))) == 2
    mirrored = _set(data, per_class=2, recipe={"augmentation": "flip"})
    counts = [len(groups({"a": whole, "b": mirrored}.items(), find_protocol(name))) for name in ("dm", "common")]
    assert counts == [2, 1]


def test_coresets_and_soft_labels_from_a_trained_network(data):
    device = torch.device("cpu")
    factory = functools.partial(MLP, width=64)
    trained = train_features(training_set(data, device), factory, epochs=30, seed=0, device=device, cache=False)
    asked = []

    def network():
        asked.append(1)
        return trained

    real = RealImages(data, _set(data, per_class=3))
    herding = real.coreset("herding", network, {"epochs": 2}, "hard")
    assert not asked  # nothing is trained before it is needed
    assert torch.equal(herding.make(0).images, herding.make(1).images)
    assert len(asked) == 1
    soft = real.soft_random(network, {"epochs": 2})
    made, plain = soft.make(1), real.random("hard").make(1)
    assert torch.equal(made.images, plain.images)
    assert made.label_kind == "probabilities"
    torch.testing.assert_close(made.labels.sum(1), torch.ones(30))
    assert (made.hard_labels == plain.labels).float().mean() > 0.5
    assert soft.labels == "soft"
    assert len({json.dumps(row.key) for row in (herding, soft, real.random("hard"))}) == 3


def test_sets_of_one_size_and_preparation_share_their_real_images(data):
    other, recipe = Normalization([0.0], [1.0]), {"augmentation": "crop", "step_size": 0.02}
    sets = {
        "plain": _set(data),
        "darker": _set(data, images=_set(data).images * 0.9),
        "larger": _set(data, 2),
        "prepared otherwise": _set(data, preprocessing=other),
        "augmented otherwise": _set(data, recipe=recipe),
    }
    names = {name: list(map(list, groups(sets.items(), find_protocol(name)))) for name in ("dc", "dm")}
    assert names["dc"] == [["plain", "darker", "augmented otherwise"], ["larger"], ["prepared otherwise"]]
    assert names["dm"] == [["plain", "darker"], *names["dc"][1:], ["augmented otherwise"]]


def test_fingerprints_differ_where_training_would(data):
    plain = _set(data)
    assert fingerprint(plain) == fingerprint(_set(data, info={"method": "DM"}))
    changed = [
        _set(data, recipe={"augmentation": "crop"}),
        _set(data, preprocessing=Normalization([0.0], [1.0])),
        _soft(data),
        _set(data, tensors={"step_sizes": torch.ones(2)}),
    ]
    for other in changed:
        assert fingerprint(other) != fingerprint(plain)


def _table():
    return [
        grid.Cell("DM", "hard", 1, "ConvNet", [50.0, 60.0], 3.0, 100),
        grid.Cell("DM", "hard", 1, "AlexNet:norm=batch", [40.0], 2.0, 200),
        grid.Cell("random real", "hard", 1, "ConvNet", [30.0, 31.0], 3.0, 100),
        grid.Cell("random real", "hard", 1, "AlexNet:norm=batch", [20.0], 2.0, 200),
    ]


def test_forms_of_the_table():
    assert tables.markdown(_table()).splitlines() == [
        "| trained on | labels | images per class | `ConvNet` | `AlexNet:norm=batch` |",
        "| --- | --- | ---: | ---: | ---: |",
        "| DM | hard | 1 | 55.0 ± 5.0 | 40.0 |",
        "| random real | hard | 1 | 30.5 ± 0.5 | 20.0 |",
    ]
    assert tables.comma_separated(_table()).splitlines()[1] == "DM,hard,1,ConvNet,100,2,55.0,5.0,50.0 60.0,3.0"
    assert tables.screen(_table()).splitlines() == [
        "set          labels  ipc     ConvNet     AlexNet",
        "                                      norm=batch",
        "DM           hard      1  55.0 ± 5.0        40.0",
        "random real  hard      1  30.5 ± 0.5        20.0",
    ]


def test_parts_with_soft_labels_stand_beside_as_many_real_images(data):
    whole, protocol = _soft(data), find_protocol("common")
    part = whole.select(["3", "5"])
    assert len(groups([("whole", whole), ("part", part)], protocol)) == 2
    assert len(RealImages(data, part, 0).random("hard").make(0)) == len(part) == 2


def test_a_teacher_labels_the_random_images_beside_its_own_set_alone(data):
    taught = _set(data, recipe={"protocol": "kd", "augmentation": "crop_scale", "teacher": TEACHER})
    named, protocol = [("DM", _set(data)), ("RDED", taught)], find_protocol("common")
    assert [list(group) for group in groups(named, protocol)] == [["DM", "RDED"]]
    assert [list(group) for group in groups(named, protocol, by_teacher=True)] == [["DM"], ["RDED"]]


def test_two_programs_may_fill_one_file(tmp_path):
    first, second = Cells(tmp_path / "cells.json"), Cells(tmp_path / "cells.json")
    for cells, number in ((first, 1), (second, 2), (first, 3)):
        cells.put({"cell": number}, {"value": number})
    again = Cells(tmp_path / "cells.json")
    assert [again.get({"cell": number})["value"] for number in (1, 2, 3)] == [1, 2, 3]
