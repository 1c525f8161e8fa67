"""Who may import whom: no circle, nothing imports upward."""

import ast
from pathlib import Path

import lightning_dd

ROOT = Path(lightning_dd.__file__).parent
RANKS = (
    {"errors", "rng", "version"},
    {"artifact", "losses", "augmentation", "runtime"},
    {"networks", "data"},
    {"training", "unroll"},
    {"experts", "coresets"},
    {"evaluation"},
    {"methods", "callbacks"},
    {"comparison"},
    {"app"},
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
TORCH_ONLY = {"losses": {"torch", "math", "collections", "functools", "typing", "dataclasses"}}
WITHOUT_LIGHTNING = "artifact"
DELEGATIONS = {("artifact", "evaluation")}
"""What `DistilledDataset.train` and `.evaluate` import when they are called."""
ENTRIES = ("__init__", "__main__")


def imported(path: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def uses() -> set[tuple[str, str]]:
    """Return the pairs of rooms of which one imports the other."""
    pairs = set()
    for path in ROOT.rglob("*.py"):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        others = {name.split(".")[1] for name in imported(path) if name.startswith("lightning_dd.")}
        pairs |= {(room, other) for other in others - {room, "__version__"} if room not in ENTRIES}
    return pairs


def test_every_room_has_a_rank_and_nothing_imports_upward():
    assert {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.name != "__pycache__"} == {*RANK, *ENTRIES}
    assert {(room, other) for room, other in uses() if RANK[room] < RANK[other]} == DELEGATIONS


def test_rooms_of_one_rank_import_each_other_in_one_direction():
    pairs = uses() - DELEGATIONS
    assert {(room, other) for room, other in pairs if (other, room) in pairs} == set()


def test_losses_import_torch_alone_and_artifacts_no_lightning():
    for path in (ROOT / "losses").glob("*.py"):
        tops = {name.split(".")[0] for name in imported(path) if not name.startswith("lightning_dd.losses")}
        assert tops <= TORCH_ONLY["losses"], path
    for path in (ROOT / WITHOUT_LIGHTNING).glob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] == "lightning"}, path
