"""Digests: of the code that a script runs, and of the files that it reads.

Snakemake sees a change in a script, but not in a module that the script imports. Every rule therefore carries the digest
of its script and of all library modules that the script reaches; comments, docstrings, layout and the package's version do
not enter it.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parent


def code_digest(script: str | Path) -> str:
    """Return a digest of a script and of every capcortex module that it imports, directly or through others.

    Parameters
    ----------
    script
        Path of a Python file.

    Returns
    -------
    str
        Sixteen hexadecimal digits. Equal for two versions that differ only in comments, docstrings, layout and ``__version__``.
    """
    digest = hashlib.sha256(_meaning(Path(script)).encode())
    for module in sorted(_reached(Path(script))):
        digest.update(module.relative_to(PACKAGE).as_posix().encode())
        digest.update(_meaning(module).encode())
    return digest.hexdigest()[:16]


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _reached(script: Path) -> set[Path]:
    """Library modules that a file imports, closed under imports."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        new = _imported(waiting.pop()) - found
        found |= new
        waiting.extend(new)
    return found


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imported(path: Path) -> frozenset[Path]:
    names = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    files = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != PACKAGE.name:
            continue
        # Importing a.b.c runs a/__init__ and a/b/__init__ too.
        for depth in range(1, len(parts) + 1):
            base = PACKAGE.joinpath(*parts[1:depth])
            files |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    return frozenset(files)


@cache
def _meaning(path: Path) -> str:
    """Write what a file says as text, without what changes no result: remarks, docstrings, layout, the version's number."""
    tree = ast.parse(
        path.read_text(encoding="utf-8"), filename=str(path)
    )  # not _tree, which others look at: this one is cut
    tree.body = [node for node in tree.body if not _sets_version(node)]
    return _written(_WithoutRemarks().visit(tree))


class _WithoutRemarks(ast.NodeTransformer):
    """Drop texts that stand alone: docstrings, also those under constants."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node


def _written(node: Any) -> str:
    """Write a tree as `ast.dump` does, but without empty fields: which of them there are differs between versions of Python."""
    if isinstance(node, list):
        return f"[{', '.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = (f"{name}={_written(value)}" for name, value in ast.iter_fields(node) if value not in (None, []))
    return f"{type(node).__name__}({', '.join(fields)})"


def _sets_version(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__version__" for target in node.targets
    )
