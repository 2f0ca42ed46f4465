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
    names: set[str] = set()
    written = _written(tree, names)
    files = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != PACKAGE.name:
            continue
        # Importing a.b.c runs a/__init__ and a/b/__init__ too.
        for depth in range(1, len(parts) + 1):
            base = PACKAGE.joinpath(*parts[1:depth])
            files |= {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}
    return _Source(frozenset(files), hashlib.sha256(written.encode()).digest())


def _written(node: Any, names: set[str]) -> str:
    """Write a tree as `ast.dump` does, but without empty fields: which of them there are differs between versions of Python.

    Texts that stand alone are left out, docstrings and those under constants. What is imported is added to ``names``.
    """
    if isinstance(node, list):
        return f"[{', '.join([_written(part, names) for part in node])}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Import):
        names.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
        names.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    fields = []
    for name in node._fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            value = [part for part in value if not _is_remark(part)]
        if value is not None and value != []:
            fields.append(f"{name}={_written(value, names)}")
    return f"{type(node).__name__}({', '.join(fields)})"


def _is_remark(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _sets_version(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__version__" for target in node.targets
    )
