"""Who imports whom in `tools/`: no circle, and plain forms that stand alone."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[2] / "tools"
MODULES = {".".join(path.relative_to(TOOLS).with_suffix("").parts): path for path in TOOLS.rglob("*.py")}


def imported(module: str) -> set[str]:
    """Return the names that a module imports, anywhere in it, in full."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            source = ".".join([*package, *([node.module] if node.module else [])])
            found |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return found


def test_no_circle():
    graph = {module: imported(module) & MODULES.keys() for module in MODULES}
    assert graph["benchmark"] >= {"benchmarks.driver"}
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(order) == MODULES.keys()


def test_plain_forms_need_torch_alone():
    names = {module: {name.split(".")[0] for name in imported(module)} for module in MODULES if "reference" in module}
    assert "reference.dm" in names
    for module, tops in names.items():
        assert tops <= {"torch", "math", "collections", "reference"}, module
