"""Data flows one way: a file imports only what stands left of it in FLOW."""

import ast
import sys
from pathlib import Path

import pytest

FACADES = (
    "exceptions",
    "queries",
    "__init__",
    "__main__",
)  # nothing inside the package imports these
# What every room may use, for it imports nothing but libraries.
BASE = ("gaps", "warning", "versions", "checks", "memory")
FLOW = (
    BASE,
    ("tracking",),
    ("influence",),
    ("detection",),
    ("data",),
    ("runs",),
    ("crossfit",),
    ("audit",),
    ("estimators",),
    ("cli",),
)
LAYER = {room: i for i, rooms in enumerate((*FLOW, FACADES)) for room in rooms}

# These libraries stay in the rooms named beside them ...
HOMES = {
    "jinja2": ("audit",),
    "matplotlib": ("audit",),
    "skorch": ("tracking", "data", "runs", "crossfit", "estimators"),
}
# ... these rooms do without the libraries named beside them ...
BANNED = {"influence": ("skorch", "sklearn")}
# ... and these import nothing but the libraries named, themselves, and BASE.
ONLY = {
    "detection": ("numpy", "scipy"),
    **dict.fromkeys(BASE, ("numpy", "torch", "joblib", "sklearn")),
}

PACKAGE = Path(__file__).resolve().parents[1] / "dit_clean"
FILES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def iterate_imports(path):
    """Yield the absolute dotted name of every import in a file, nested ones too."""
    parents = ("dit_clean", *path.parts[:-1])
    for node in ast.walk(ast.parse((PACKAGE / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            base = parents[: len(parents) - node.level + 1] if node.level else ()
            origin = ".".join([*base, *filter(None, [node.module])])
            within = origin == "dit_clean"  # then each name is a room
            names = [f"{origin}.{alias.name}" for alias in node.names]
            yield from names if within else [origin]


def is_allowed(room, name):
    """Tell whether a file of this room may import the module of this name."""
    top, *inner = name.split(".")
    if top == "dit_clean":
        target = inner[0] if inner else "__init__"
        rank = LAYER.get(target, LAYER["__init__"])
        is_open = target in BASE or room not in ONLY
        return target == room or (is_open and rank <= LAYER[room])
    if top in sys.stdlib_module_names:
        return True
    return (
        room in HOMES.get(top, (room,))
        and top not in BANNED.get(room, ())
        and top in ONLY.get(room, (top,))
    )


def test_the_package_has_files():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=str)
def test_file_imports_only_what_stands_left_of_it(path):
    room = path.parts[0].removesuffix(".py")
    assert room in LAYER, f"give {room!r} its place in FLOW"
    wrong = [name for name in iterate_imports(path) if not is_allowed(room, name)]
    assert not wrong, f"dit_clean/{path} must not import {', '.join(wrong)}"
