"""Digests: of the code that a script runs, and of the files that it reads.

Snakemake sees a change in a script, but not in a module that the script imports. Every rule therefore carries the digest
of its script and of all library modules that the script reaches; comments, docstrings, layout and the package's version do
not enter it.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

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
    digest = hashlib.sha256(_read(Path(script)).digest)
    for module in sorted(_reached(Path(script))):
        digest.update(module.relative_to(PACKAGE).as_posix().encode())
        digest.update(_read(module).digest)
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
        new = _read(waiting.pop()).imports - found
        found |= new
        waiting.extend(new)
    return found


class _Source(NamedTuple):
    """What a file imports of the library, and the digest of what it says."""

    imports: frozenset[Path]
    digest: bytes


# Snakemake reads all of this whenever it starts, also in every job of a cluster.
@cache
def _read(path: Path) -> _Source:
    """Read a file without what changes no result: remarks, docstrings, layout, the version's number."""
    tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    tree.body = [node for node in tree.body if not _sets_version(node)]
    reader = _Reader()
    written = _written(reader.visit(tree))
    files = set()
    for name in reader.names:
        parts = name.split(".")
        if parts[0] != PACKAGE.name:
            continue
        # Importing a.b.c runs a/__init__ and a/b/__init__ too.
        for depth in range(1, len(parts) + 1):
            base = PACKAGE.joinpath(*parts[1:depth])
            files |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    return _Source(frozenset(files), hashlib.sha256(written.encode()).digest())


class _Reader(ast.NodeTransformer):
    """Drop texts that stand alone, docstrings and those under constants, and collect the names of what is imported."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        remark = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if remark else self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> ast.Import:
        self.names |= {alias.name for alias in node.names}
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        if node.module and node.level == 0:
            self.names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        return node


def _written(node: Any) -> str:
    """Write a tree as `ast.dump` does, but without empty fields: which of them there are differs between versions of Python."""
    if isinstance(node, list):
        return f"[{', '.join(map(_written, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    fields = [f"{name}={_written(value)}" for name, value in ast.iter_fields(node) if value not in (None, [])]
    return f"{type(node).__name__}({', '.join(fields)})"


def _sets_version(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__version__" for target in node.targets
    )
