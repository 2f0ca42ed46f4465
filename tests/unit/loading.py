"""Scripts of the study as modules, whose main unit tests call on small files."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def script(name: str):
    """Import a script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
