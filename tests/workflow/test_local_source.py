"""`source: local`: somebody else's copy of NSD is read in place, never copied, never written, never removed."""

import hashlib

import pandas as pd
from local_study import LOCAL, LocalStudy, run, snakemake


def test_the_copy_is_not_writable_and_the_study_comes_to_its_end(local_study: LocalStudy, record_property) -> None:
    """The fixture proves that nobody can write, by the way that it names, before it starts Snakemake."""
    record_property("way", local_study.way)
    assert local_study.way in ("read-only mount", "no permission")
    for name in ("roi-rsa", "rdms", "captions", "data-quality", "group-map_caption", "subject-maps_caption"):
        for suffix in ("pdf", "png", "tsv"):
            assert (local_study.folder / f"results/figures/{name}.{suffix}").stat().st_size > 200
    table = pd.read_csv(local_study.folder / "results/tables/roi-rsa_space-fsaverage.tsv", sep="\t")
    assert set(table["model"]) == set(LOCAL["models"])
    assert not (local_study.folder / "results/check.tsv").exists(), "real data have no planted truth"


def test_the_copy_is_as_it_was(local_study: LocalStudy) -> None:
    """Nothing written, added, touched or removed: contents, sizes, times and modes of files and folders."""
    assert len(local_study.before) > 400
    assert local_study.after == local_study.before


def test_nothing_of_the_copy_lies_in_the_study(local_study: LocalStudy) -> None:
    theirs = {identity[3]: name for name, identity in local_study.before.items()}
    own = [
        path
        for folder in ("results", "resources", "logs", "benchmarks", ".snakemake")
        for path in (local_study.folder / folder).rglob("*")
        if path.is_file() and path.stat().st_size
    ]
    assert len(own) > 100
    copies = {
        path.relative_to(local_study.folder).as_posix(): theirs[digest]
        for path in own
        if (digest := hashlib.sha256(path.read_bytes()).hexdigest()) in theirs
    }
    assert not copies
    assert not (local_study.folder / "resources/nsd").exists()
    assert not (local_study.folder / "resources/miniature").exists()
    assert not [path for path in own if path.is_symlink()]


def test_no_rule_makes_or_removes_a_file_of_the_copy(local_study: LocalStudy) -> None:
    """Snakemake would remove the outputs of rules: all of them, when it is told to remove everything that it makes."""
    command = snakemake(local_study.folder, config=LOCAL, before=local_study.seen_by)
    done = run([*command, "--delete-all-output", "--dry-run"])
    assert done.returncode == 0, done.stderr[-2000:]
    named = [line for line in (done.stdout + done.stderr).splitlines() if "Would delete" in line]
    assert len(named) > 50
    assert not [line for line in named if "nsd/" in line]
