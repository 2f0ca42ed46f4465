"""``python -m capcortex.plan [overlay ...] < dry run``: what the study would fetch, need and take, and what is there already.

Runs and fetches nothing. Which jobs are left comes from Snakemake's own dry run, whose text is read from standard input (``make
plan`` hands it over); sizes from the study's tables, from files where they are there, and from NSD's shapes where they are not.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from capcortex import costs
from capcortex.config import Study, load_study
from capcortex.config_files import ConfigError, merge_layers, read_layers
from capcortex.demands import (
    MINIATURE_BRAIN,
    MINIATURE_VOXELS,
    NSD_IMAGES,
    Demand,
    demands_of,
    demands_of_model,
    is_miniature,
    model_rdm_bytes,
    n_dictionary_sentences,
    n_rois,
    n_text_images,
    n_vertices,
    roi_rdm_bytes,
    universes_seconds,
)
from capcortex.fetch.sources import Sources, read_sources
from capcortex.files import MADE_IN
from capcortex.nsd import layout, sizes
from capcortex.nsd.betas import averaging_memory_mb
from capcortex.nsd.bookkeeping import MOST_SHARED, REPEATS
from capcortex.nsd.sessions import (
    native_extraction_memory_mb,
    read_mask,
    surface_extraction_memory_mb,
    volume_extraction_memory_mb,
)
from capcortex.rsa.all_pairs import all_pairs_memory_mb
from capcortex.rsa.rdm import n_pairs
from capcortex.rsa.searchlight import searchlight_memory_mb
from capcortex.tables import read_table
from capcortex.text.models import SENTENCES_OF_CAPTIONS

GB = 1e9
FETCH_BYTES_PER_SECOND = 30e6
"""A line of 240 Mbit/s: an assumption."""

KINDS = {
    "surface betas": r"/(fsaverage|nativesurface)/.*betas_session",
    "volume betas": r"/func1pt8mm/.*betas_session",
    "ncsnr": r"ncsnr\.",
    "masks and labels of volumes": r"/func1pt8mm/",
    "surface transforms": r"/transforms/",
    "labels and surfaces": r"/freesurfer/",
    "captions and objects (COCO)": r"annotations",
    "pictures": r"nsd_stimuli\.hdf5|shared1000",
    "design and trials": r"",
}
"""What NSD's files hold, by the first pattern that their key fits."""

ANNOTATIONS_BYTES = 0.8e9
CAPTION_LINE_BYTES = 60
FIGURES_BYTES = 100_000_000


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Numbers of a subject.

    Attributes
    ----------
    n_images
        Images seen three times.
    n_shared
        Images of these that all subjects were to see: at most.
    n_vertices, n_voxels, n_volume
        Vertices of both hemispheres of fsaverage; voxels in the brain mask and in the whole volume.
    estimated
        What of these is an estimate, in words; empty if nothing is.
    """

    subject: str
    n_sessions: int
    trials_per_session: int
    image_sets: int
    n_images: int
    n_shared: int
    n_vertices: int
    n_voxels: int
    n_volume: int
    estimated: tuple[str, ...]

    @property
    def n_trials(self) -> int:
        """Trials of all sessions."""
        return self.n_sessions * self.trials_per_session

    def n_units(self, space: str) -> int:
        """Vertices or voxels that are extracted in a space."""
        return self.n_vertices if space == "fsaverage" else self.n_voxels


@dataclass(frozen=True)
class Betas:
    """Bytes of the betas of one subject in one space.

    Attributes
    ----------
    raw
        Raw betas of one session, which the study fetches; 0 if it reads a copy.
    n_sessions
        Sessions.
    extracted
        All extracted sessions.
    averaged
        Averages and repeats.
    later
        Results that are made from these alone.
    """

    raw: int
    n_sessions: int
    extracted: int
    averaged: int
    later: int

    @property
    def extracting(self) -> int:
        """Most while sessions are fetched and extracted: the last ones are raw beside all that is extracted."""
        return self.extracted + min(costs.RAW_SESSIONS, self.n_sessions) * self.raw

    @property
    def averaging(self) -> int:
        """Most while sessions are averaged: they are dropped when averages are whole."""
        return self.extracted + self.averaged

    @property
    def done(self) -> int:
        """What stays."""
        return self.averaged + self.later


@dataclass(frozen=True)
class Cost:
    """What the jobs of a rule cost.

    Attributes
    ----------
    memory_mb
        Memory that the largest asks for.
    seconds, longest
        Core seconds of all of them, and of the longest.
    n_jobs
        How many they are.
    """

    memory_mb: int
    seconds: float
    longest: float
    n_jobs: int


def jobs_left(dry_run: str) -> dict[str, int]:
    """Read which jobs are left from the text of Snakemake's dry run.

    Parameters
    ----------
    dry_run
        What ``snakemake --dry-run`` printed.

    Returns
    -------
    dict
        Number of jobs of each rule, in the order in which Snakemake lists them; empty if nothing is to be done.

    Raises
    ------
    ValueError
        If the text has no table of jobs: it is the message of what is wrong.
    """
    table = re.search(r"^job +count\n-+ +-+\n((?:.+\n)*?)total +\d+$", dry_run, re.M)
    if table is not None:
        rows = (line.split() for line in table[1].splitlines())
        return {rule: int(count) for rule, count in rows if rule != "all"}
    if "Nothing to be done" in dry_run:
        return {}
    raise ValueError(
        dry_run.strip() or "standard input is empty; expected the text of snakemake --dry-run: say make plan"
    )


def sizes_of(study: Study, subject: str) -> Sizes:
    """Find the numbers of a subject: in files of the study and of NSD where they are there, or else estimated."""
    row = study.subject_row(subject)
    n_images, guess = _images_seen_three_times(study, row)
    estimated = [guess] if guess else []
    miniature = is_miniature(study)
    mask = Path(study.nsd_root, layout.volume_file(subject, "brainmask"))
    if mask.exists() and mask.stat().st_size:
        indices, (x, y, z) = read_mask(mask)
        n_voxels, n_volume = len(indices), x * y * z
    else:
        x, y, z = sizes.VOLUME_SHAPES[subject]
        n_voxels, n_volume = (
            (MINIATURE_BRAIN, MINIATURE_VOXELS) if miniature else (sizes.estimated_voxels(subject), x * y * z)
        )
        estimated.append("voxels in the brain mask")
    return Sizes(
        subject=subject,
        n_sessions=row["sessions"],
        trials_per_session=row["trials_per_session"],
        image_sets=row["image_sets"],
        n_images=n_images,
        n_shared=int(_expected_facts(study, row).get("shared_three_times", min(MOST_SHARED, n_images))),
        n_vertices=n_vertices(study),
        n_voxels=n_voxels,
        n_volume=n_volume,
        estimated=tuple(estimated),
    )


def _images_seen_three_times(study: Study, row: Mapping[str, Any]) -> tuple[int, str]:
    """Count a subject's images with three showings, and say what the number is if it is only an upper bound."""
    trials = Path(f"results/design/trials/{row['subject']}.tsv")
    if trials.exists():
        table = read_table(trials, columns=["id73k", "showings", "session"])
        if table["session"].max() == row["sessions"]:
            return int(table.loc[table["showings"] == REPEATS, "id73k"].nunique()), ""
    expected = _expected_facts(study, row)
    if "images_three_times" in expected:
        return int(expected["images_three_times"]), ""
    return int(row["sessions"]) * int(row["trials_per_session"]) // REPEATS, "images seen three times (upper bound)"


def _expected_facts(study: Study, row: Mapping[str, Any]) -> dict[str, str]:
    """Return what the acceptance table expects of a subject; nothing without such a table, or where sessions are fewer."""
    path = study.config["acceptance_table"]
    if not path:
        return {}
    facts = read_table(path, columns=["fact", "subject", "expected"])
    own = facts[facts["subject"] == row["subject"]].astype(str)
    expected = dict(zip(own["fact"], own["expected"], strict=True))
    return expected if expected.get("sessions") == str(row["sessions"]) else {}


def betas_of(study: Study, subject: Sizes, space: str) -> Betas:
    """Bytes of the betas of a subject in a space, and of what is made from them alone."""
    config = study.config
    dim = "vertex" if space == "fsaverage" else "voxel"
    n_units, rdm_space = subject.n_units(space), space == config["roi_space"]
    extracted = sizes.extracted_bytes(subject.n_sessions, REPEATS * subject.n_images, n_units, dim)
    averaged = sizes.averages_bytes(subject.n_images, n_units, dim)
    averaged += sizes.repeats_bytes(n_repeated(study, subject, space), n_units, dim)
    later = 0
    if rdm_space:
        of_region = costs.ceilings_mb(config["shared_image_sets"], config["image_set_size"], MOST_SHARED) * 2**20
        later += n_rois(study) * int(of_region) + roi_rdm_bytes(study, subject.subject)
    if space == "func1pt8mm":
        later += 4 * len(config["searchlight"]["models"]) * subject.image_sets * n_units
    raw = raw_bytes(study, subject, space) if drops_raw(study) else 0
    return Betas(raw, subject.n_sessions, extracted, averaged, later)


def raw_bytes(study: Study, subject: Sizes, space: str) -> int:
    """Size of a session's raw betas, which the study fetches or makes."""
    on_surface = space == "fsaverage"
    kind = study.config["surface_betas"] if on_surface else study.config["volume_betas"]
    n_values = subject.n_vertices if on_surface else subject.n_volume
    return sizes.raw_session_bytes(kind, subject.trials_per_session, n_values)


def drops_raw(study: Study) -> bool:
    """Whether raw betas are on the disk only until they are extracted."""
    return study.config["source"] == "bucket" and not study.config["bucket"]["keep_raw"]


def kept_raw_bytes(study: Study, subjects: Sequence[Sizes]) -> int:
    """Raw betas that the study puts on the disk and keeps; the miniature makes those of both spaces."""
    if study.config["source"] == "local" or drops_raw(study):
        return 0
    spaces = study.spaces if study.config["source"] == "bucket" else layout.SPACES
    return sum(each.n_sessions * raw_bytes(study, each, space) for each in subjects for space in spaces)


def n_repeated(study: Study, subject: Sizes, space: str) -> int:
    """Count images whose single repeats are kept: the shared ones, or all where distances are made of them."""
    of_all = study.config["brain_distance"] == "crossnobis" and space == study.config["roi_space"]
    return subject.n_images if of_all else subject.n_shared


def peak_in_turn(betas: Sequence[Betas]) -> int:
    """Most bytes when the betas of each subject and space are finished before the next are begun."""
    peak = kept = 0
    for each in betas:
        peak = max(peak, kept + each.extracting, kept + each.averaging)
        kept += each.done
    return max(peak, kept)


def peak_at_once(betas: Sequence[Betas], averaged_at_once: int = costs.AVERAGED_AT_ONCE) -> int:
    """Most bytes in whatever order jobs run.

    Each subject and space is being extracted, waits for being averaged, is being averaged, or is done; all of them are taken at
    their most, but only so many can be averaged at a time.
    """
    others = [max(each.extracting, each.done) for each in betas]
    more = sorted((each.averaging - other for each, other in zip(betas, others, strict=True)), reverse=True)
    return sum(others) + sum(max(0, gain) for gain in more[:averaged_at_once])


def other_bytes(study: Study, subjects: Sequence[Sizes], small_files: int) -> dict[str, int]:
    """Bytes of what is there from early on until the end, by kind: upper bounds."""
    encoders = [study.model_row(model)["builder"] for model in study.model_names if study.encoder_row(model)]
    n_images = n_text_images(study)
    sentences = sum(costs.CAPTIONS_OF_IMAGE if each in SENTENCES_OF_CAPTIONS else 1 for each in encoders) * n_images
    rdms = len(study.model_names) * model_rdm_bytes(study)
    return {
        # The archive's JSON files beside it.
        "small files of NSD and COCO": 0
        if study.config["source"] == "local"
        else small_files + int(ANNOTATIONS_BYTES * n_images / NSD_IMAGES),
        "sentence vectors": 4 * costs.FEATURES * sentences,
        "captions, features and RDMs of models": int(
            costs.CAPTIONS_OF_IMAGE * CAPTION_LINE_BYTES * n_images
            + 4 * costs.FEATURES * n_images * len(study.model_names)
            + rdms
        ),
        "coefficients of encoding, dictionaries of decoding": len(study.encoding_models)
        * sum((2 * costs.FEATURES + 20) * subject.n_vertices for subject in subjects)
        + sum(map(study.gives_sentences, study.decoding_models))
        * 4
        * costs.FEATURES
        * (n_dictionary_sentences(study) + costs.CAPTIONS_OF_IMAGE * MOST_SHARED),
        "maps, tables and figures": FIGURES_BYTES + len(study.maps) * sum(map(_map_bytes, subjects)),
        "raw betas that are kept": kept_raw_bytes(study, subjects),
    }


def _map_bytes(subject: Sizes) -> int:
    # In the volume r, sd and size of the sphere; on the surface netCDF and GIFTI.
    return 4 * (3 * subject.n_volume + 2 * subject.n_vertices)


def costs_of(study: Study, subjects: Sequence[Sizes]) -> dict[str, Cost]:
    """Cost of the rules by name, without those that fetch or simulate."""
    config, spaces = study.config, study.spaces
    found: dict[str, Cost] = {}

    def add(rule: str, jobs: Iterable[tuple[int, float]]) -> None:
        memory, seconds = zip(*jobs, strict=True)
        found[rule] = Cost(
            costs.SNAKEMAKE_MB + max(memory),
            sum(seconds) + costs.JOB_SECONDS * len(seconds),
            max(seconds) + costs.JOB_SECONDS,
            len(seconds),
        )

    if "fsaverage" in spaces:
        native = config["surface_betas"] == "nativesurface"
        add(
            "extract_surface_session",
            (_surface_extraction(each, native) for each in subjects for _ in range(each.n_sessions)),
        )
    if "func1pt8mm" in spaces:
        add(
            "extract_volume_session",
            (_volume_extraction(each, config["volume_betas"]) for each in subjects for _ in range(each.n_sessions)),
        )
    add("average_repeats", (_averaging(study, each, space) for each in subjects for space in spaces))
    add("compute_roi_rdm", (_roi_rdms(study, each) for each in subjects))
    if study.multiverse:
        levels = study.multiverse.axes["space"]
        add("compute_universes", (_universes(study, each, space) for each in subjects for space in levels))
    if config["pairs"] == "all":
        add("compare_all_pairs", (_all_pairs(study, each) for each in subjects))
    if study.config["searchlight"]["models"]:
        add("score_searchlight", (job for each in subjects for job in _searchlight(study, each)))
    n_jobs = _n_jobs(study)
    for rule, demand in demands_of(study).items():
        n, seconds = n_jobs.get(rule, 1), costs.JOB_SECONDS + demand.seconds
        found[rule] = Cost(demand.memory_mb, n * seconds, seconds, n)
    return found | _text_costs(study)


def _n_jobs(study: Study) -> dict[str, int]:
    """Jobs of the rules in `demands_of` that have more than one."""
    n_subjects, n_mapped, n_maps = len(study.subject_names), len(study.config["searchlight"]["models"]), len(study.maps)
    return {
        "check_acceptance": n_subjects,
        "tabulate_trials": n_subjects,
        "draw_image_sets": n_subjects,
        "compare_roi_rdms": len(study.model_names),
        "plot_roi_rsa": 1 + len(study.ladder_figures),
        "plot_pairwise": len(study.panels("fig3")),
        "permute_images": len(study.model_names),
        "average_searchlight": n_mapped,
        "project_searchlight": n_mapped,
        "fit_encoding": n_subjects * len(study.encoding_models),
        "fit_encoding_as_released": n_subjects * len(study.encoding_models),
        "collect_encoding": len(study.encoding_models),
        "plot_encoding_agreement": len(study.encoding_models),
        "embed_dictionary": sum(map(study.gives_sentences, study.decoding_models)),
        "decode_embeddings": n_subjects * len(study.decoding_models),
        "plot_decoding": len(study.decoding_models),
        "compute_group_map": n_maps,
        "plot_group_map": n_maps,
        "plot_subject_maps": n_maps,
    }


def _surface_extraction(subject: Sizes, native: bool) -> tuple[int, float]:
    n_trials = subject.trials_per_session
    memory = native_extraction_memory_mb(n_trials) if native else surface_extraction_memory_mb(n_trials)
    return memory, n_trials * subject.n_vertices * costs.SURFACE_VALUE_SECONDS


def _volume_extraction(subject: Sizes, file_format: str) -> tuple[int, float]:
    n_trials = subject.trials_per_session
    raw_mb = sizes.raw_session_bytes(file_format, n_trials, subject.n_volume) / 2**20
    memory = volume_extraction_memory_mb(n_trials, raw_mb, file_format)
    return memory, n_trials * subject.n_volume * costs.VOLUME_VALUE_SECONDS[file_format]


def _averaging(study: Study, subject: Sizes, space: str) -> tuple[int, float]:
    n_trials, n_repeated_images = subject.n_trials, n_repeated(study, subject, space)
    memory = averaging_memory_mb(n_trials // REPEATS, subject.trials_per_session, n_repeated_images)
    return memory, REPEATS * subject.n_images * subject.n_units(space) * costs.AVERAGING_VALUE_SECONDS


def _roi_rdms(study: Study, subject: Sizes) -> tuple[int, float]:
    config, space = study.config, study.config["roi_space"]
    dim, n_units = "vertex" if space == "fsaverage" else "voxel", subject.n_units(space)
    averages = sizes.averages_bytes(subject.n_images, n_units, dim)
    memory = costs.roi_rdm_memory_mb(
        averages,
        sizes.repeats_bytes(n_repeated(study, subject, space), n_units, dim),
        n_images=subject.n_trials // REPEATS,
        distance=config["brain_distance"],
        image_set_size=config["image_set_size"],
    )
    n_sets, size = subject.image_sets + config["shared_image_sets"], config["image_set_size"]
    seconds = n_rois(study) * averages / costs.REGION_BYTES_PER_SECOND
    # All regions of an atlas together have at most all units.
    seconds += len(config["rois"]) * n_units * n_sets * n_pairs(size) * costs.PAIR_SECONDS
    if config["brain_distance"] == "crossnobis":
        seconds += costs.CROSSNOBIS_SECONDS * n_sets * n_rois(study)
    return memory, seconds


def _universes(study: Study, subject: Sizes, space: str) -> tuple[int, float]:
    multiverse = study.multiverse
    if multiverse is None:
        return 0, 0.0
    dim, n_units = "vertex" if space == "fsaverage" else "voxel", subject.n_units(space)
    averages = sizes.averages_bytes(subject.n_images, n_units, dim)
    n_sets = len(multiverse.axes["draw"]) * subject.image_sets
    memory = costs.universes_memory_mb(
        averages,
        costs.features_mb(n_text_images(study)),
        n_images=subject.n_trials // REPEATS,
        models_mb=len(multiverse.models) * costs.rdms_mb(n_sets, study.config["image_set_size"]),
        n_rois=multiverse.n_rois,
        n_raw=multiverse.n_raw,
    )
    seconds = multiverse.n_rois * averages / costs.REGION_BYTES_PER_SECOND
    seconds += universes_seconds(study, subject.subject, n_units)
    if multiverse.raw_versions:
        config = study.config
        of_session = (
            _surface_extraction(subject, config["surface_betas"] == "nativesurface")
            if space == "fsaverage"
            else _volume_extraction(subject, config["volume_betas"])
        )
        memory += of_session[0]
        seconds += len(multiverse.raw_versions) * subject.n_sessions * of_session[1]
    return memory, seconds


def _all_pairs(study: Study, subject: Sizes) -> tuple[int, float]:
    n_units = subject.n_units(study.config["roi_space"])
    n_models = len(study.model_names)
    n_features = costs.FEATURES * n_models
    memory = all_pairs_memory_mb(subject.n_images, n_units // 4, n_features, n_models)
    n_values = len(study.config["rois"]) * n_units + n_rois(study) * n_features
    return memory, costs.ALL_PAIRS_SECONDS * subject.n_images**2 * n_values


def _searchlight(study: Study, subject: Sizes) -> list[tuple[int, float]]:
    config, n_images = study.config["searchlight"], study.config["image_set_size"]
    n_sets = [
        min(costs.SETS_PER_JOB, subject.image_sets - first)
        for first in range(0, subject.image_sets, costs.SETS_PER_JOB)
    ]
    # The rule knows the size of the averages, which hold more images than the image sets: an upper bound of the voxels.
    n_voxels = subject.n_voxels * subject.n_images // (subject.image_sets * n_images)
    memory = searchlight_memory_mb(n_sets[0], n_images, n_voxels, len(config["models"]))
    second = costs.sphere_seconds(config["radius"], n_images)
    return [(memory, costs.COMPILING_SECONDS + n * subject.n_voxels * second) for n in n_sets]


def _text_costs(study: Study) -> dict[str, Cost]:
    annotations = ANNOTATIONS_BYTES * n_text_images(study) / NSD_IMAGES
    reading = annotations / costs.ANNOTATION_BYTES_PER_SECOND + costs.JOB_SECONDS
    found = {
        "prepare_captions": Cost(
            costs.SNAKEMAKE_MB + costs.captions_memory_mb(annotations / 2**20), reading, reading, 1
        )
    }
    of_rule: dict[str, list[Demand]] = {}
    needed = {
        *study.model_names,
        *study.config["searchlight"]["models"],
        *study.encoding_models,
        *study.decoding_models,
        *study.sentinel_models,
    }
    for model in sorted(needed):
        for rule, demand in demands_of_model(study, model).items():
            # Models that are mapped alone, or predicted from, need features only.
            if rule != "compute_model_rdm" or model in study.model_names:
                of_rule.setdefault(rule, []).append(demand)
    for rule, demands in of_rule.items():
        seconds = [costs.JOB_SECONDS + demand.seconds for demand in demands]
        found[rule] = Cost(max(demand.memory_mb for demand in demands), sum(seconds), max(seconds), len(seconds))
    return found


def kind_of(key: str) -> str:
    """Say what a file of NSD holds, by its key."""
    return next(kind for kind, pattern in KINDS.items() if re.search(pattern, key))


@dataclass(frozen=True)
class Output:
    """A file that a rule makes: whether it is there, and whether its job is left."""

    path: str
    rule: str
    there: bool
    left: bool


def outputs_of(summary: str) -> list[Output]:
    """Read the files that the study makes from the text of ``snakemake --summary``."""
    rows = (line.split("\t") for line in summary.splitlines())
    return [
        Output(path, rule, there=status not in ("missing", "removed temp file"), left=what != "no update")
        for path, _, rule, _, status, what in (row for row in rows if len(row) == 6)
        if path != "output_file"
    ]


@dataclass
class Files:
    """Number and bytes of files of one kind: all, those that are there, and those that will be fetched."""

    n: int = 0
    size: float = 0
    n_there: int = 0
    size_there: int = 0
    n_left: int = 0
    size_left: float = 0


def fetched_files(outputs: Iterable[Output], sources: Sources, root: str) -> dict[str, Files]:
    """Count the files of NSD and COCO that the study fetches, kind by kind.

    Parameters
    ----------
    outputs
        What the study makes. A file that is dropped after its use, and is not needed again, is neither there nor left.
    sources
        Says how large files are, about.
    root
        Folder of NSD's tree.
    """
    annotations = {layout.annotations(kind, split) for kind in ("captions", "instances") for split in layout.SPLITS}
    found: dict[str, Files] = {kind: Files() for kind in KINDS}
    for output in outputs:
        # Records of encoders are not NSD's, and the encoders themselves lie in the hub's own cache.
        if not output.path.startswith(f"{root}/"):
            continue
        key = output.path.removeprefix(f"{root}/")
        files = found[kind_of(key)]
        # COCO's four files come in one archive.
        share = len(annotations) if key in annotations else 1
        size = sources.of(layout.ANNOTATIONS_ARCHIVE if share > 1 else key).about_mb * 1e6 / share
        files.n, files.size = files.n + 1, files.size + size
        if output.there:
            files.n_there, files.size_there = files.n_there + 1, files.size_there + _size_and_room(Path(output.path))[0]
        if output.left:
            files.n_left, files.size_left = files.n_left + 1, files.size_left + size
    return {kind: files for kind, files in found.items() if files.n}


def bytes_there(folders: Iterable[str] = MADE_IN) -> int:
    """Bytes that what the study has made so far takes on the disk, in the folder that it runs in."""
    paths = (Path(folder, name) for top in folders for folder, _, names in os.walk(top) for name in names)
    return sum(_size_and_room(path)[1] for path in paths)


def _size_and_room(path: Path) -> tuple[int, int]:
    """Bytes of a file, and those that it takes on the disk, fewer for an unfinished download; none if it was just dropped."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, 512 * found.st_blocks


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, all others to the right."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return [
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        ).rstrip()
        for line in lines
    ]


def describe_files(study: Study, outputs: Sequence[Output], fetched: Mapping[str, Files]) -> list[str]:
    """Say what is fetched, and what is there."""
    n_there = sum(output.there for output in outputs)
    there = f"Of {len(outputs):,} files that the study makes or fetches, {n_there:,} are there."
    if study.config["source"] != "bucket":
        how = "made" if study.config["source"] == "miniature" else "read in place"
        return [f"Nothing is fetched: NSD's files are {how} in {study.nsd_root}.", there]
    rows = [
        [kind, f"{f.n:,}", gb(f.size), f"{f.n_there:,}", gb(f.size_there), f"{f.n_left:,}", gb(f.size_left)]
        for kind, f in fetched.items()
    ]
    left = sum(f.size_left for f in fetched.values())
    columns = ("n", "size", "n_there", "size_there", "n_left", "size_left")
    sums = [sum(getattr(f, column) for f in fetched.values()) for column in columns]
    rows.append(
        ["all", *(gb(value) if "size" in column else f"{value:,}" for column, value in zip(columns, sums, strict=True))]
    )
    raw = "are kept (bucket: keep_raw)" if study.config["bucket"]["keep_raw"] else "are dropped when they are extracted"
    return [
        *table(["NSD and COCO", "files", "GB", "there", "GB", "to fetch", "GB"], rows),
        f"Raw betas {raw}. Fetching takes {left / FETCH_BYTES_PER_SECOND / 3600:.1f} hours at "
        f"{FETCH_BYTES_PER_SECOND / 1e6:.0f} MB/s (an assumption), while extraction goes on beside it.",
        there,
    ]


def describe_disk(study: Study, subjects: Sequence[Sizes], fetched: Mapping[str, Files]) -> list[str]:
    """Say how much disk the study takes at its peak, and whether there is so much."""
    spaces = study.spaces
    betas = [betas_of(study, subject, space) for subject in subjects for space in spaces]
    small = sum(f.size for kind, f in fetched.items() if "betas" not in kind)
    other = other_bytes(study, subjects, int(small))
    raw = sum(each.raw for each in betas)
    rows = [
        [f"raw betas, {costs.RAW_SESSIONS} sessions of every subject and space", gb(costs.RAW_SESSIONS * raw)]
        if raw
        else [],
        ["extracted sessions, until they are averaged", gb(sum(each.extracted for each in betas))],
        ["averages and repeats", gb(sum(each.averaged for each in betas))],
        ["RDMs of regions, searchlight scores", gb(sum(each.later for each in betas))],
        *([kind, gb(size)] for kind, size in other.items() if size),
    ]
    in_turn, at_once = (peak(betas) + sum(other.values()) for peak in (peak_in_turn, peak_at_once))
    end = sum(each.done for each in betas) + sum(other.values())
    made, free = bytes_there(), shutil.disk_usage(Path.cwd()).free
    lines = [
        *table(["On the disk, if all of it were there", "GB"], filter(None, rows)),
        f"Peak: {gb(in_turn)} GB if subjects and spaces are worked on one after another; never more than {gb(at_once)} GB,",
        f"in whatever order jobs run, with at most {costs.AVERAGED_AT_ONCE} averaging jobs at once. "
        f"In the end: {gb(end)} GB.",
        f"Here: {gb(free)} GB are free, and the study has {gb(made)} GB already.",
    ]
    room = free + made
    if room < in_turn:
        lines.append(f"TOO LITTLE: make {gb(in_turn - room)} GB free, {gb(at_once - room)} GB to be safe.")
    elif room < at_once:
        lines.append(f"It may be too little: {gb(at_once - room)} GB more would do in any order.")
    return lines


def describe_jobs(study: Study, subjects: Sequence[Sizes], left: Mapping[str, int]) -> list[str]:
    """Say which jobs are left, what the largest of each rule asks for and takes, and how long all of them take one core."""
    found = costs_of(study, subjects)
    rows, hours = [], 0.0
    for rule, n in left.items():
        if rule.startswith("fetch_"):
            rows.append([rule, f"{n:,}", f"{costs.FETCHING_MB:,}", "", ""])
            continue
        cost = found[rule]
        seconds = n * cost.seconds / cost.n_jobs
        hours += seconds / 3600
        core_hours = "" if seconds < 18 else f"{seconds / 3600:.2f}"
        rows.append([rule, f"{n:,}", f"{cost.memory_mb:,}", f"{cost.longest / 60:.1f}", core_hours])
    rows.append(["all", f"{sum(left.values()):,}", "", "", f"{hours:.1f}"])
    largest = max(((found[rule].memory_mb, rule) for rule in left if rule in found), default=None)
    header = ["jobs that are left", "jobs", "MB", "minutes", "core hours"]
    lines = table(header, rows) if left else ["Nothing is left to be done."]
    if largest is not None:
        lines += [
            f"MB: memory that the largest job of a rule asks for; the most are {largest[0]:,} ({largest[1]}).",
            "Jobs that run at once ask for it together: make study MEMORY_MB=... bounds the sum, by default to what the",
            "machine has.",
            "Minutes: the longest job of a rule, on one core. Core hours: all of them. Rates of one machine",
            "(src/capcortex/costs.py) with files in memory, without fetching; other processors and disks differ by factors.",
        ]
    return lines


@dataclass
class ClusterJobs:
    """Jobs of one name that a cluster gets: the seconds of each, their steps together, and the memory of the largest in MB."""

    seconds: list[float]
    n_steps: int
    memory_mb: int


def cluster_jobs(
    study: Study, subjects: Sequence[Sizes], left: Mapping[str, int], outputs: Iterable[Output]
) -> dict[str, ClusterJobs]:
    """Count the jobs that profiles/slurm submits, by their rule or group, without those that fetch.

    Parameters
    ----------
    study, subjects
        The study and the numbers of its subjects.
    left
        Number of jobs of each rule, from `jobs_left`.
    outputs
        What the study makes: which sessions and which models are left.
    """
    found = costs_of(study, subjects)
    mean = {rule: found[rule].seconds / found[rule].n_jobs for rule in left if rule in found}
    jobs: dict[str, ClusterJobs] = {}

    def add(name: str, seconds: Iterable[float], n_steps: int, rules: Iterable[str]) -> None:
        jobs[name] = ClusterJobs(list(seconds), n_steps, max(found[rule].memory_mb for rule in rules))

    paths = {rule: [output.path for output in outputs if output.rule == rule and output.left] for rule in left}
    for group, rules in costs.GROUPS.items():
        here = [rule for rule in rules if rule in left]
        if group == "extraction" and here:
            blocks: dict[tuple[str, int], float] = {}
            for rule in here:
                for path in paths[rule]:
                    subject, session, _ = Path(path).stem.split("_", 2)
                    n_sessions = study.subject_row(subject)["sessions"]
                    block = subject, costs.extraction_block(int(session.removeprefix("session-")), n_sessions)
                    blocks[block] = blocks.get(block, 0) + mean[rule]
            add(group, blocks.values(), sum(left[rule] for rule in here), here)
        elif here:
            add(group, [sum(left[rule] * mean[rule] for rule in here)], sum(left[rule] for rule in here), here)
    for rule in left:
        if rule == "embed_model":
            models = [Path(path).stem for path in paths[rule]]
            of_models = [demands_of_model(study, model)[rule].seconds / costs.EMBEDDING_CORES for model in models]
            add(rule, of_models, len(models), [rule])
        elif rule not in costs.GROUP_OF and rule in found and rule != "check_acceptance":
            n, cost = left[rule], found[rule]
            add(rule, [mean[rule]] * (n - 1) + [cost.longest if n > 1 else mean[rule]], n, [rule])
    return jobs


def describe_cluster_jobs(jobs: Mapping[str, ClusterJobs], left: Mapping[str, int]) -> list[str]:
    """Say which jobs a cluster gets."""
    if not jobs:
        return []
    rows = []
    for name, each in jobs.items():
        shortest, longest = (f"{second / 60:.1f}" for second in (min(each.seconds), max(each.seconds)))
        minutes = shortest if shortest == longest else f"{shortest} to {longest}"
        rows.append([name, f"{len(each.seconds):,}", f"{each.n_steps:,}", f"{each.memory_mb:,}", minutes])
    n_jobs, n_steps = sum(len(each.seconds) for each in jobs.values()), sum(each.n_steps for each in jobs.values())
    every = [second / 60 for each in jobs.values() for second in each.seconds]
    rows.append(["all", f"{n_jobs:,}", f"{n_steps:,}", "", f"{min(every):.1f} to {max(every):.1f}"])
    return [
        *table(["on a cluster (profiles/slurm)", "jobs", "steps", "MB", "minutes"], rows),
        f"{sum(left.values()) - n_steps:,} more steps, which fetch, run where Snakemake does. embed_model: on "
        f"{costs.EMBEDDING_CORES} cores.",
    ]


def gb(size: float) -> str:
    """Bytes as GB (10^9) with one decimal, small ones with three."""
    return f"{size / GB:,.1f}" if size >= 0.05 * GB or not size else f"{size / GB:.3f}"


def describe(study: Study, dry_run: str) -> str:
    """Say what a study would fetch, need and take, and what is there already.

    Parameters
    ----------
    study
        The study.
    dry_run
        What ``snakemake --dry-run`` and ``snakemake --summary`` printed.

    Raises
    ------
    ValueError
        If the text is not a dry run's.
    """
    left, outputs = jobs_left(dry_run), outputs_of(dry_run)
    subjects = [sizes_of(study, subject) for subject in study.subject_names]
    fetched = (
        fetched_files(outputs, read_sources(study.config["datasets_table"]), study.nsd_root)
        if study.config["source"] == "bucket"
        else {}
    )
    n_sessions = sum(subject.n_sessions for subject in subjects)
    guesses = sorted({guess for subject in subjects for guess in subject.estimated})
    head = f"{len(subjects)} subjects, {n_sessions} sessions, betas in {' and '.join(study.spaces)}. Nothing was run."
    if guesses:
        head += f"\nEstimates, until the files are there: {', '.join(guesses)}."
    parts = [
        [head],
        describe_files(study, outputs, fetched),
        describe_disk(study, subjects, fetched),
        describe_jobs(study, subjects, left),
        describe_cluster_jobs(cluster_jobs(study, subjects, left, outputs), left),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part)


def main(overlays: Sequence[str]) -> int:
    """Print the plan of the study in this folder, under overlays.

    Returns
    -------
    int
        Exit code: 1 if something is wrong.
    """
    files = ["config.yaml", *overlays]
    try:
        study = load_study(merge_layers(read_layers(files)), ".", files)
        print(describe(study, sys.stdin.read()))
    except (ConfigError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
