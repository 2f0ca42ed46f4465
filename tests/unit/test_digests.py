"""Digests: what a rule must be run again for, and what it must not."""

import ast
import hashlib
import shutil
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

import capcortex
from capcortex import digests
from capcortex.digests import code_digest, file_digest

ROOT = Path(__file__).parents[2]

PACKAGE = {
    "__init__.py": '"""The package."""\n',
    "near.py": '"""Near."""\nfrom capcortex.deep.far import value\n\ndef near():\n    """Say."""\n    return value()\n',
    "late.py": "LATE = 1\n",
    "apart.py": "def apart():\n    return 0\n",
    "deep/__init__.py": '"""Deep."""\n',
    "deep/far.py": "def value():\n    return 1\n",
}
SCRIPT = '''"""A script."""
import os

from capcortex.near import near


def main():
    from capcortex import late
    return near()
'''


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A small package and a script; returns a function that writes changes and gives the script's new digest."""
    package, script = tmp_path / "capcortex", tmp_path / "script.py"
    monkeypatch.setattr(digests, "PACKAGE", package)

    def digest(**changes):
        files = {package / name: text for name, text in PACKAGE.items()} | {script: SCRIPT}
        names = {"script": script} | {name.removesuffix(".py").replace("/", "_"): package / name for name in PACKAGE}
        for name, text in changes.items():
            files[names[name]] = text
        for path, text in files.items():
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        digests._read.cache_clear()  # another process would start without it
        return code_digest(script)

    yield digest
    digests._read.cache_clear()


FAR_SAME = {
    "comment": "# Why.\ndef value():  # how\n    return 1\n",
    "layout": "\n\n\ndef value(\n):\n\n    return (1)\n",
    "docstring": 'def value():\n    """Say one."""\n    return 1\n',
    "module docstring": '"""Far."""\n\n\ndef value():\n    return 1\n',
}
FAR_OTHER = {
    "number": "def value():\n    return 2\n",
    "type": "def value():\n    return 1.0\n",
    "default": "def value(x=3):\n    return 1\n",
    "string": "def value():\n    x = 'a'\n    return 1\n",
    "new function": "def value():\n    return 1\n\n\ndef other():\n    return 2\n",
    "decorator": "from functools import cache\n\n\n@cache\ndef value():\n    return 1\n",
}


@pytest.mark.parametrize("change", FAR_SAME)
def test_comments_docstrings_and_layout_do_not_count(study, change):
    assert study(deep_far=FAR_SAME[change]) == study()


def test_docstring_changed_or_taken_away_does_not_count(study):
    assert study(near=PACKAGE["near.py"].replace("Say.", "Tell.").replace("Near.", "Not far.")) == study()
    assert study(near=PACKAGE["near.py"].replace('    """Say."""\n', "").replace('"""Near."""\n', "")) == study()
    assert study(script=SCRIPT.replace("A script.", "One script.")) == study()


def test_a_text_under_a_constant_does_not_count(study):
    """As this library documents its constants."""
    before = study(late='LATE = 1\n"""How late."""\n')
    assert study(late='LATE = 1\n"""How late it is."""\n') == before
    assert study(late="LATE = 1\n") == before
    assert study(late='LATE = """How late it is."""\n') != before


def test_digests_do_not_depend_on_fields_that_only_some_versions_of_python_have():
    """3.12 gave functions type parameters, which are empty in code that older versions can read."""
    tree = ast.parse((ROOT / "src/capcortex/digests.py").read_text())
    before = digests._written(tree, set())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            node.type_params = []
            node._fields = (*type(node)._fields, "type_params", "kind_of_the_future")
            node.kind_of_the_future = None
    assert digests._written(tree, set()) == before
    assert "type_params" not in before and "args=[arg(arg='path'" in before


@pytest.mark.parametrize("change", FAR_OTHER)
def test_code_of_a_module_reached_through_another_counts(study, change):
    assert study(deep_far=FAR_OTHER[change]) != study()


def test_every_kind_of_reached_file_counts(study):
    before = study()
    changes = {"script": SCRIPT + "X = 1\n", "near": PACKAGE["near.py"] + "X = 1\n", "late": "LATE = 2\n"}
    changes |= {"__init__": "X = 1\n", "deep___init__": "X = 1\n"}  # importing a module runs its packages
    seen = {study(**{name: text}) for name, text in changes.items()}
    assert len(seen | {before}) == len(changes) + 1


def test_module_that_is_not_reached_does_not_count(study):
    assert study(apart="def apart():\n    return 1\n") == study()


def test_module_newly_imported_counts(study):
    assert study(deep_far="import capcortex.apart\n" + PACKAGE["deep/far.py"]) != study()
    reached = "import capcortex.apart\n" + PACKAGE["deep/far.py"]
    assert study(deep_far=reached, apart="A = 1\n") != study(deep_far=reached, apart="A = 2\n")


@pytest.mark.parametrize(
    "statement",
    [
        "import capcortex.apart",
        "import capcortex.apart as a",
        "from capcortex import apart",
        "from capcortex.apart import apart",
    ],
)
def test_every_form_of_import_is_followed(study, statement):
    script = f"{statement}\n"
    assert study(script=script, apart="A = 1\n") != study(script=script, apart="A = 2\n")


def test_modules_that_import_each_other_end(study):
    circle = "import capcortex.near\n" + PACKAGE["deep/far.py"]
    before = study(deep_far=circle)
    assert study(deep_far=circle) == before
    assert study(deep_far=circle, near=PACKAGE["near.py"].replace("value()\n", "value() + 1\n")) != before


def test_digest_does_not_depend_on_where_the_study_lies(tmp_path, monkeypatch):
    script = ROOT / "scripts/check_design.py"
    expected = code_digest(script)
    copy = shutil.copytree(Path(capcortex.__file__).parent, tmp_path / "elsewhere/capcortex")
    monkeypatch.setattr(digests, "PACKAGE", copy)
    digests._read.cache_clear()
    assert code_digest(shutil.copy(script, tmp_path)) == expected
    digests._read.cache_clear()


def test_version_of_the_package_does_not_count_but_what_stands_beside_it_does(study):
    version = '"""The package."""\n\n__version__ = "{}"\n'
    assert study(__init__=version.format("0.1")) == study(__init__=version.format("0.2")) == study()
    assert study(__init__=version.format("0.1") + "STEP = 1\n") != study(__init__=version.format("0.1") + "STEP = 2\n")


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda path: path.stem)
def test_a_script_reaches_the_modules_that_python_finds_and_no_others(script):
    """Python's own tool reads imports from the byte code, in functions too."""
    finder = ModuleFinder(path=[str(ROOT / "src")])
    finder.run_script(str(script))
    found = {module.__file__ for name, module in finder.modules.items() if name.split(".")[0] == "capcortex"}
    assert {str(path) for path in digests._reached(script)} == found
    assert len(found) > 3


def test_file_digest_is_sha256(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 100_000)
    assert file_digest(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()
    path.write_bytes(b"")
    assert file_digest(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
