"""A grid of runs: order, budget, what is skipped, what fails."""

import json
from pathlib import Path

import pytest
import yaml

import reproduce
from lightning_dd.app.cli import DistillationCLI
from lightning_dd.app.cli import main as lightning_dd
from lightning_dd.errors import UserError
from reproduce import Cell

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "tests" / "conf"


def _cell(minutes: float = 1.0, value: float = 1.0, options: tuple[str, ...] = ()) -> Cell:
    return Cell("configs/dm/x_ipc1.yaml", options, minutes, value)


def test_a_grid_is_read(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "- {config: a/b.yaml, options: --trainer.max_steps 3, minutes: 2}\n"
        "- {config: a/c.yaml, experts: e.yaml --model.number 2, minutes: 1, value: 3}\n"
    )
    assert reproduce.read(grid) == [
        Cell("a/b.yaml", ("--trainer.max_steps", "3"), 2, 1.0),
        Cell("a/c.yaml", (), 1, 3, ("e.yaml", "--model.number", "2")),
    ]


NO_GRIDS = ["- nonsense", "- {config: a, hours: 1}", "[", "7"]
NO_GRIDS += ["- {config: a, minutes: 0}", "- {config: 7, minutes: 1}", "- {config: a, minutes: 1, options: '\"'}"]


@pytest.mark.parametrize("text", NO_GRIDS)
def test_what_is_no_grid_is_refused(text, tmp_path):
    (tmp_path / "grid.yaml").write_text(text)
    with pytest.raises(UserError, match="is no list of cells"):
        reproduce.read(tmp_path / "grid.yaml")
    with pytest.raises(UserError, match="There is no grid"):
        reproduce.read(tmp_path / "other.yaml")


def test_an_interrupted_cell_goes_on(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(reproduce, "_fit", lambda words, *_: given.append(words) or reproduce.INTERRUPTED)
    cell = _cell()
    assert reproduce.run_all([cell], 30, tmp_path, []) is False
    kept = tmp_path / cell.folder / "dm_x_ipc1" / "version_0" / reproduce.CHECKPOINT
    kept.parent.mkdir(parents=True)
    kept.touch()
    reproduce.run_all([cell], 30, tmp_path, [])
    assert [words[-2:] == ["--ckpt_path", "last"] for words in given] == [False, True]


def test_cells_run_in_order_of_value_per_minute():
    cells = [_cell(10, 1), _cell(1, 1), _cell(10, 30)]
    assert reproduce.ordered(cells) == [cells[2], cells[1], cells[0]]


def test_cells_are_shared_out_among_processes():
    cells = [_cell(minutes) for minutes in range(1, 6)]
    assert reproduce.share("0/1", cells) == cells
    assert [reproduce.share(f"{index}/2", cells) for index in (0, 1)] == [cells[::2], cells[1::2]]
    for text in ("2/2", "0/0", "1", "-1/2"):
        with pytest.raises(UserError, match="--share is I/N"):
            reproduce.share(text, cells)


def test_cells_have_folders_of_their_own_that_file_systems_can_name(tmp_path):
    cells = [_cell(options=(*["--model.real_per_class", "64"] * 20, "--model.lr", rate)) for rate in ("0.1", "0.2")]
    assert _cell(options=("--model.lr", "0.1")).folder == "dm_x_ipc1_model.lr_0.1"
    cells.append(cells[0].with_options(["--seed_everything=1", "--data.root", "/somewhere"]))
    assert _cell().with_options(["--seed_everything=1", "--data.root", "/a"]).folder == "dm_x_ipc1_seed_everything_1"
    for cell in cells:
        (tmp_path / cell.folder).mkdir()  # fails where the name is too long or taken


def test_what_does_not_fit_into_the_budget_is_left_out(monkeypatch, tmp_path, capsys):
    ran, now = [], [0.0]

    def run(cell, folder, more, seconds):
        ran.append(cell.minutes)
        now[0] += 60 * cell.minutes
        return True

    monkeypatch.setattr(reproduce, "run", run)
    failed = reproduce.run_all([_cell(3), _cell(4), _cell(2)], 6, tmp_path, [], clock=lambda: now[0])
    assert (failed, ran) == (False, [3, 2])
    assert "4 minutes do not fit into 3.0" in capsys.readouterr().out


def test_a_cell_with_its_record_is_finished(tmp_path):
    (tmp_path / "configs" / "dm").mkdir(parents=True)
    command = "python -m lightning_dd fit --config configs/dm/x_ipc1.yaml --trainer.max_steps 300 --data.root DATA"
    record = {"command": f"{command} --ckpt_path last"}
    (tmp_path / "configs" / "dm" / "x_ipc1.results.json").write_text(json.dumps([record]))
    cell = _cell(options=("--trainer.max_steps", "300"))
    assert reproduce.finished(cell, root=tmp_path)
    assert reproduce.finished(cell, ["--data.root", "elsewhere"], tmp_path)
    assert reproduce.finished(_cell(options=()), ["--trainer.max_steps", "300"], tmp_path)
    assert not reproduce.finished(cell, ["--model.lr", "2"], tmp_path)
    assert not reproduce.finished(_cell(options=("--trainer.max_steps", "500")), root=tmp_path)
    assert not reproduce.finished(_cell(options=()), root=tmp_path)  # of all steps; the record is of a short run
    assert not reproduce.finished(Cell("configs/dm/y_ipc1.yaml", (), 1), root=tmp_path)
    superseded = {**record, "superseded": "the config said otherwise"}
    (tmp_path / "configs" / "dm" / "x_ipc1.results.json").write_text(json.dumps([superseded]))
    assert not reproduce.finished(cell, root=tmp_path)


def test_a_run_that_cannot_be_recorded_is_left_behind(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reproduce, "_fit", lambda *_: 0)
    assert reproduce.run_all([_cell()], 30, tmp_path, []) is True
    assert "not recorded: There is no file" in capsys.readouterr().out


@pytest.fixture
def in_process(monkeypatch):
    """Runs start in this process."""
    command = ["fit", "--config"]

    def fit(arguments, folder, seconds):
        return lightning_dd([*command, *arguments, "--trainer.default_root_dir", str(folder)])

    monkeypatch.setattr(reproduce, "_fit", fit)


@pytest.mark.slow
def test_a_failing_cell_is_left_behind_and_the_next_is_recorded(tmp_path, tiny_config, capsys):
    """One run of the program on the bundled digits, after one that cannot start."""
    config = tmp_path / "tiny.yaml"
    settings = yaml.safe_load(tiny_config.read_text())
    config.write_text(yaml.safe_dump({**settings, "evaluation": {"num_networks": 1, "epochs": 1}}))
    cells = [Cell(str(config), ("--model.ipc", "-1"), 1), Cell(str(config), ("--trainer.max_steps", "2"), 1)]
    assert reproduce.run_all(cells, 30, tmp_path / "runs", []) is True
    output = capsys.readouterr().out
    assert "failed: error:" in output
    (record,) = json.loads((tmp_path / "tiny.results.json").read_text())
    assert record["steps"] == 2
    assert record["evaluations"][0]["accuracy_mean"] > 0
    assert reproduce.finished(cells[1])


def test_experts_are_recorded_first(tmp_path, capsys, in_process):
    (tmp_path / "mtt_ipc1.yaml").write_text((CONF / "mtt_digits.yaml").read_text())
    experts = (str(CONF / "experts_digits.yaml"), "--model.folder", str(tmp_path / "experts"))
    options = ("--model.experts", str(tmp_path / "experts"), "--trainer.max_steps", "1", "--evaluation.enabled", "true")
    cell = Cell(str(tmp_path / "mtt_ipc1.yaml"), options, 1, experts=experts)
    assert reproduce.run_all([cell], 30, tmp_path / "runs", []) is False, capsys.readouterr().out
    (record,) = json.loads((tmp_path / "mtt_ipc1.results.json").read_text())
    assert record["method"] == "MTT"
    missing = Cell(str(tmp_path / "mtt_ipc1.yaml"), options, 1, experts=(str(tmp_path / "none.yaml"),))
    assert reproduce.run_all([missing], 30, tmp_path / "others", ["--model.lr", "1"]) is True
    assert "error:" in capsys.readouterr().err


GRIDS = sorted((ROOT / "tools" / "grids").glob("*.yaml"))


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.name)
def test_the_grids_name_configs_and_options_that_exist(path, tmp_path, monkeypatch):
    from lightning.pytorch import Trainer

    monkeypatch.setattr(Trainer, "fit", lambda self, *args, **kwargs: None)
    monkeypatch.setattr(DistillationCLI, "after_fit", lambda cli: None)  # nothing is learned here
    monkeypatch.chdir(ROOT)
    cells = reproduce.read(path)
    assert not [cell.config for cell in cells if not (ROOT / cell.config).is_file()]
    # other tests start every config: here, one for each set of options that a method's cells have
    kinds = {(Path(cell.config).parent.name, cell.options[::2]): cell for cell in cells}
    for cell in kinds.values():
        arguments = ["fit", "--config", cell.config, *cell.options, "--trainer.default_root_dir", str(tmp_path)]
        assert lightning_dd(arguments) == 0, cell.name
