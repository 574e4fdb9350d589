"""The layout of the house: what each room may import, imports for type checking included.

A room is a folder of tinynet, or a file at its top. Rooms further down in `MAY_IMPORT` build on those above.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import tinynet
import tinynet.kernels

PACKAGE = Path(tinynet.__file__).parent
KERNELS = Path(tinynet.kernels.__file__).parent

GROUND = "checks errors printable types"
MAY_IMPORT = {
    "printable": "",
    "errors": "printable",
    "checks": "errors",
    "types": "",
    "version": "",
    "kernels": "",
    "interrupt": "",
    "extras": GROUND,
    "io": GROUND,
    "schedules": GROUND,
    "rng": GROUND,
    "elementary": GROUND,
    "distortions": f"{GROUND} elementary rng",
    "geometry": GROUND,
    "machine": f"{GROUND} version",
    "threads": f"{GROUND} kernels",
    "distributed": f"{GROUND} extras threads",
    "initializers": f"{GROUND} rng",
    "backends": f"{GROUND} distortions distributed extras geometry kernels machine rng threads",
    "params": f"{GROUND} backends",
    "layers": f"{GROUND} backends distributed geometry params rng",
    "store": f"{GROUND} backends initializers layers params rng",
    "freezing": f"{GROUND} layers",
    "summary": f"{GROUND} io layers",
    "model": f"{GROUND} backends distributed freezing io layers rng store summary",
    "blocks": "layers model",
    "losses": f"{GROUND} backends model",
    "sample_weights": GROUND,
    "optim": f"{GROUND} backends model store",
    "averaging": f"{GROUND} model",
    "metrics": f"{GROUND} losses",
    "diagnosis": f"{GROUND} distributed model rng",
    "out_of_memory": f"{GROUND} backends layers model",
    "advice": f"{GROUND} layers losses model",
    "gradcheck": f"{GROUND} backends layers losses model rng",
    "codes": f"{GROUND} backends gradcheck kernels layers losses optim schedules",
    "data": f"{GROUND} backends distortions distributed io rng",
    "step": f"{GROUND} averaging backends distributed layers losses model optim",
    "stretch": f"{GROUND} backends data distributed layers step",
    "persistent": f"{GROUND} averaging backends data distributed layers losses model optim step stretch",
    "history": f"{GROUND} io",
    "training": f"{GROUND} advice averaging data diagnosis distributed history interrupt losses model optim"
    " out_of_memory persistent sample_weights schedules step stretch",
    "fitting": f"{GROUND} data history layers losses model optim sample_weights training",
    "rates": f"{GROUND} data fitting losses model optim training",
    "sklearn": f"{GROUND} extras layers losses model optim sample_weights training",
    "checkpoint": f"{GROUND} backends history io layers losses model training",
    "callbacks": f"{GROUND} blocks checkpoint extras freezing history io layers training",
    "plots": f"{GROUND} data history io metrics",
    "analysis": f"{GROUND} backends blocks data distortions geometry io layers losses metrics model plots"
    " rng",
    "runs": f"{GROUND} analysis averaging backends callbacks checkpoint data distributed history interrupt io"
    " layers losses machine model optim plots schedules training version",
    "experiments": f"{GROUND} analysis backends callbacks checkpoint data extras io layers machine metrics"
    " model plots rng runs training",
    "export": f"{GROUND} checkpoint extras geometry layers losses model rng version",
    "foreign": f"{GROUND} extras io layers losses model",
    "page": f"{GROUND} checkpoint data io kernels losses model version",
    "serve": f"{GROUND} analysis checkpoint data losses model runs version",
    "learn": f"{GROUND} analysis backends callbacks data experiments geometry gradcheck initializers io"
    " layers losses metrics model optim plots rng runs schedules threads training",
    "tinynet": "callbacks checkpoint data layers losses model optim rates schedules training version",
    "benchmark": f"{GROUND} backends data distributed extras io layers losses machine model optim runs"
    " schedules threads tinynet training",
    "cli": f"{GROUND} analysis backends benchmark blocks checkpoint codes data distributed experiments export"
    " extras foreign gradcheck history io kernels layers learn losses machine metrics model optim page"
    " persistent plots rates rng runs schedules serve summary threads training version",
    "zoo": "",
    "__main__": "cli",
}


def modules() -> dict[str, Path]:
    """Every module of tinynet by its full name."""
    found = {}
    for root, name in ((PACKAGE, "tinynet"), (KERNELS, "tinynet.kernels")):
        for path in root.rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            found[".".join((name, *parts)).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """The modules of tinynet that a module imports anywhere in its text, itself left out."""
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [each if each in MODULES else node.module for each in full]
        else:
            continue
        yield from (each for each in names if each in MODULES and each != name)


def room(name: str) -> str:
    """The folder of tinynet, or the file at its top, in which a module stands."""
    return name.split(".")[1] if "." in name else name


def order(graph: Mapping[str, set[str]]) -> list[str]:
    """The nodes, each after what it imports. Fails with the circle where there is one."""
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"these import each other: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("name", sorted({room(name) for name in MODULES}))
def test_a_room_imports_only_what_the_table_allows(name: str) -> None:
    used = {room(other) for module in MODULES if room(module) == name for other in imported(module)} - {name}
    assert used <= set(MAY_IMPORT[name].split()), f"{name} imports what it may not; see MAY_IMPORT"


def test_the_table_names_the_rooms_there_are_and_has_no_circle() -> None:
    assert set(MAY_IMPORT) == {room(name) for name in MODULES}
    assert order({name: set(others.split()) for name, others in MAY_IMPORT.items()})


def test_no_two_files_import_each_other() -> None:
    assert order({name: set(imported(name)) for name in MODULES})


def test_kernels_import_nothing_else_of_tinynet() -> None:
    outside = {other for name in MODULES if room(name) == "kernels" for other in imported(name)}
    assert all(other.startswith("tinynet.kernels") for other in outside)
