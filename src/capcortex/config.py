"""The study as configured: ``config.yaml`` checked against its schema, and the tables that it names.

What shapes the graph (subjects, sessions, image sets, models) is here before any job has run, so that the whole graph can be
planned offline. ``python -m capcortex.config [overlay ...]``, in the study's folder, checks a config and says what it means.
"""

import math
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml

from capcortex import __version__
from capcortex.config_checks import (
    MINIATURE_FOLDER,
    NUMBERS_OF_SUBJECTS,
    find_disagreements,
    find_unknown_names,
    models_of_figure,
    read_tables,
)
from capcortex.config_files import ConfigError, KeyPath, locate, merge_layers, read_layers
from capcortex.config_schema import Renamed, find_problems, is_set
from capcortex.fetch.sources import TERMS_NOT_ACCEPTED
from capcortex.nsd import layout
from capcortex.nsd.betas import caution_about_repeats
from capcortex.text.encoders import is_untrained

CONTRAST = "_minus_"
"""Joins the names of two models in the name of their contrast; names of models have hyphens only."""

NSD_ROOTS = {"miniature": "resources/nsd", "bucket": "resources/natural-scenes-dataset", "local": None}
"""Where NSD's tree lies, by config key ``source``: apart, lest made up be taken for fetched. None: where the user says."""

ENCODING = "encoding_"
"""What the name of an encoding map begins with, before its model or its contrast; names of models have hyphens only."""

SENTENCES_OF = "sentences_"
"""What the name of a map of responses predicted for sentences begins with, before their group."""

BATCH = "+"
LONGEST_BATCH = 170
"""Characters in the name of a batch: it is the name of a folder, and part of a record's name, which may have 255 bytes."""

RENAMED = {
    ("incomplete_vertices",): Renamed(("incomplete_data",), "0.1.0", "it holds for voxels too; its values are the same")
}
"""Keys of older versions: a config that has one is told the new key."""


class Multiverse(NamedTuple):
    """What the multiverse is made of.

    Attributes
    ----------
    models
        A model, and the one that it is compared with.
    rois
        Names of regions of each atlas, as in config key ``rois``.
    axes
        Levels of each axis of `capcortex.rsa.multiverse.AXES`, the study's own first.
    """

    models: list[str]
    rois: dict[str, list[str]]
    axes: dict[str, list[Any]]

    @property
    def raw_versions(self) -> list[str]:
        """Versions of the betas whose raw sessions are read, because the study has no averages of them."""
        own, *others = self.axes["betas_version"]
        return [own, *others] if len(self.axes["zscore"]) > 1 else others

    @property
    def n_raw(self) -> int:
        """Number of averages of raw sessions that are held at once: those of a version, of the study's own but its z-scores."""
        own = self.axes["betas_version"][0]
        return max((len(self.axes["zscore"]) - (version == own) for version in self.raw_versions), default=0)

    @property
    def n_universes(self) -> int:
        """Number of combinations of levels."""
        return math.prod(map(len, self.axes.values()))

    @property
    def n_rois(self) -> int:
        """Number of regions."""
        return sum(map(len, self.rois.values()))


@dataclass(frozen=True)
class Study:
    """A checked configuration with its tables.

    Attributes
    ----------
    config : mapping
        ``config.yaml`` after overlays.
    subjects : DataFrame
        Rows of the subjects used, in the order of ``config["subjects"]``.
    models : DataFrame
        All known models.
    encoders : DataFrame
        All known encoders.
    atlases : DataFrame
        All known atlases.
    figures : DataFrame
        All figures of the control ladder.
    """

    config: Mapping[str, Any]
    subjects: pd.DataFrame
    models: pd.DataFrame
    encoders: pd.DataFrame
    atlases: pd.DataFrame
    figures: pd.DataFrame

    @property
    def subject_names(self) -> list[str]:
        """Names of the subjects used."""
        return list(self.subjects["subject"])

    @property
    def model_names(self) -> list[str]:
        """Names of the models used."""
        return list(self.config["models"])

    @property
    def maps(self) -> dict[str, list[str]]:
        """Maps of the cortex by name, with the subjects' maps behind each.

        Searchlight maps of single models, then contrasts of two (first minus second), then the same of encoding, then
        contrasts of what is predicted for two groups of sentences.
        """
        searchlight = self.config["searchlight"]
        contrasts = {CONTRAST.join(pair): list(pair) for pair in searchlight["contrasts"]}
        encoded = {ENCODING + model: [ENCODING + model] for model in self.encoding_models}
        pairs = self.config["encoding"]["contrasts"] if encoded else []
        of_encoding = {ENCODING + CONTRAST.join(pair): [ENCODING + model for model in pair] for pair in pairs}
        predicted = {
            SENTENCES_OF + CONTRAST.join(pair): [SENTENCES_OF + group for group in pair]
            for pair in (self.config["encoding"]["sentence_contrasts"] if self.sentence_groups else [])
        }
        return {model: [model] for model in searchlight["models"]} | contrasts | encoded | of_encoding | predicted

    @property
    def contrast_maps(self) -> list[str]:
        """Names of those maps that are contrasts of two models."""
        return [name for name in self.maps if CONTRAST in name and not name.startswith(SENTENCES_OF)]

    @property
    def encoding_models(self) -> list[str]:
        """Models that responses are predicted from: on fsaverage, where several subjects share images enough for an image set."""
        return self._where_images_are_shared("encoding")

    def _where_images_are_shared(self, key: str) -> list[str]:
        possible = (
            self.config["roi_space"] == "fsaverage" and len(self.subjects) > 1 and self.config["shared_image_sets"]
        )
        return list(self.config[key]["models"]) if possible else []

    @property
    def decoding_models(self) -> list[str]:
        """Models that are predicted from responses, under the same conditions."""
        return self._where_images_are_shared("decoding")

    @property
    def sentence_model(self) -> str | None:
        """First encoding model whose features are vectors of whole captions, so that any sentence has such features."""
        return next(filter(self.gives_sentences, self.encoding_models), None)

    @property
    def sentence_groups(self) -> dict[str, list[str]]:
        """Sentences that responses are predicted for, by group; none without a model that can."""
        groups = self.config["encoding"]["sentences"]
        return {} if self.sentence_model is None else {name: list(group) for name, group in groups.items()}

    @property
    def multiverse(self) -> "Multiverse | None":
        """Models, regions and levels of the multiverse; None where its models or all of its regions are not in use.

        Nor is there one with crossnobis, whose distances are of single responses.
        """
        keys = self.config["multiverse"]
        rois = {
            atlas: [name for name in names if name in keys["regions"]] for atlas, names in self.config["rois"].items()
        }
        rois = {atlas: names for atlas, names in rois.items() if names}
        possible = len(keys["models"]) == 2 and set(keys["models"]) <= set(self.model_names) and rois
        if not possible or self.config["brain_distance"] == "crossnobis":
            return None
        own = {
            "betas_version": self.config["betas_version"],
            "zscore": "session",
            "space": self.config["roi_space"],
            "draw": 1,
            "distance": self.config["brain_distance"],
            "least_ncsnr": self.config["least_ncsnr"],
            "within": None,
            "measure": self.config["rdm_comparison"],
        }
        # From the bucket raw betas are there only until they are extracted; the miniature makes those of one version.
        source = self.config["source"]
        further = {
            "betas_version": keys["betas_versions"] if source == "local" else [],
            "zscore": [] if source == "bucket" else keys["zscores"],
            "space": [space for space in keys["spaces"] if space in self.spaces],
            "draw": range(2, 2 + keys["draws"]),
            "distance": keys["distances"],
            "least_ncsnr": keys["least_ncsnr"],
            "within": keys["within"],
            "measure": keys["rdm_comparisons"],
        }
        axes = {axis: list(dict.fromkeys([level, *further[axis]])) for axis, level in own.items()}
        return Multiverse(list(keys["models"]), rois, axes)

    def gives_sentences(self, model: str) -> bool:
        """Whether the features of a model are mean vectors of whole sentences, so that any sentence can be compared with them."""
        row = self.model_row(model)
        return row["builder"] == "sentence" and row["words"] is None

    @property
    def spaces(self) -> list[str]:
        """Spaces whose betas the study uses."""
        used = {self.config["roi_space"]} | ({"func1pt8mm"} if self.config["searchlight"]["models"] else set())
        return [space for space in layout.SPACES if space in used]

    @property
    def comparisons(self) -> dict[str, dict[str, Any]]:
        """Families of comparisons by name, with the contrasts whose models are both in use; families without any are left out."""
        used = set(self.model_names)
        families = {
            name: {**family, "contrasts": [list(pair) for pair in family["contrasts"] if set(pair) <= used]}
            for name, family in self.config["comparisons"].items()
        }
        return {name: family for name, family in families.items() if family["contrasts"]}

    @property
    def ladder_figures(self) -> dict[str, list[str]]:
        """Models in use of each figure of the control ladder, without figures whose first model, or all others, are not."""
        used = set(self.model_names)
        named = {row["figure"]: models_of_figure(row["models"]) for row in self.figures.to_dict("records")}
        chosen = {name: [model for model in models if model in used] for name, models in named.items()}
        return {name: models for name, models in chosen.items() if len(models) > 1 and models[0] == named[name][0]}

    def panels(self, figure: str) -> list[str]:
        """Names of those figures of the control ladder that are panels of one, such as fig3a of fig3, or that one itself."""
        return [name for name in self.ladder_figures if re.fullmatch(f"{figure}[a-z]?", name)]

    def map_label(self, name: str) -> str:
        """Return the name of a map as figures print it."""
        if name.startswith(SENTENCES_OF):
            return f"Predicted for sentences: {name.removeprefix(SENTENCES_OF).replace(CONTRAST, ' minus ')}"
        models = [part.removeprefix(ENCODING) for part in self.maps[name]]
        labels = " minus ".join(self.model_row(model)["label"] for model in models)
        return f"Encoding: {labels}" if name.startswith(ENCODING) else labels

    def can_be_made(self, model: str) -> bool:
        """Whether a model of the table can be made with this configuration: its own file, if it has one, can be there."""
        path = self.model_row(model)["path"]
        if path is None:
            return True
        return self.config["source"] == "miniature" if path.startswith(MINIATURE_FOLDER) else Path(path).exists()

    @property
    def sentinel_models(self) -> tuple[str, str]:
        """Names of a caption model and of the category model, which the sentinel compares on any data."""
        whole = self.models["words"].isna()
        sentences = self.models.loc[(self.models["builder"] == "sentence") & whole, "model"]
        captions = [
            name for name in sentences if not is_untrained((self.encoder_row(name) or {"source": ""})["source"])
        ]
        categories = self.models.loc[self.models["builder"] == "categories", "model"]
        used = [name for name in captions if name in self.model_names]
        return (used or captions)[0], categories.iloc[0]

    @property
    def nsd_root(self) -> str:
        """Folder that holds NSD's tree: the user's own copy, or where the study puts it."""
        root = NSD_ROOTS[self.config["source"]]
        return self.config["local"]["nsd"] if root is None else root

    def sessions(self, subject: str) -> list[int]:
        """Sessions of a subject, from 1."""
        return list(range(1, self.subject_row(subject)["sessions"] + 1))

    def subject_row(self, subject: str) -> dict[str, Any]:
        """Return the row of a subject in the subjects table."""
        return _row(self.subjects, "subject", subject)

    def model_row(self, model: str) -> dict[str, Any]:
        """Return the row of a model in the model table, with ``study`` replaced by the study's encoder."""
        row = _row(self.models, "model", model)
        if row["encoder"] == "study":
            row["encoder"] = self.config["encoder"]
        return row

    def encoder_row(self, model: str) -> dict[str, Any] | None:
        """Return the row of a model's sentence encoder; None for a model that has none."""
        name = self.model_row(model)["encoder"]
        return None if name is None else self.encoder_named(name)

    def encoder_named(self, name: str) -> dict[str, Any]:
        """Return the row of a sentence encoder in the encoder table."""
        return _row(self.encoders, "encoder", name)

    def on_native_surface(self, atlas: str) -> bool:
        """Whether the surface labels of an atlas are on the subjects' native surfaces."""
        return _row(self.atlases, "atlas", atlas)["defined_on"] == "subject"

    def label_files(self, atlas: str, subject: str, space: str) -> list[str]:
        """Paths of a subject's labels of an atlas: left and right surface for ``fsaverage``, a volume for ``func1pt8mm``."""
        row = _row(self.atlases, "atlas", atlas)
        own = row["names"] is not None
        if space == "func1pt8mm":
            return [
                row["volume"].format(subject=subject)
                if own
                else f"{self.nsd_root}/{layout.volume_file(subject, f'roi/{atlas}')}"
            ]
        owner = subject if self.on_native_surface(atlas) else "fsaverage"
        return [
            row["surface"].format(subject=subject, hemisphere=hemisphere)
            if own
            else f"{self.nsd_root}/{layout.surface_label(owner, hemisphere, atlas)}"
            for hemisphere in layout.HEMISPHERES
        ]

    @property
    def outlined_atlas(self) -> str:
        """Atlas whose regions maps outline: the first in use with labels on fsaverage itself, or else ``streams``."""
        rows = {atlas: _row(self.atlases, "atlas", atlas) for atlas in self.config["rois"]}
        there = (
            atlas
            for atlas, row in rows.items()
            if row["defined_on"] == "fsaverage" and (row["names"] is None or row["surface"] is not None)
        )
        return next(there, "streams")

    def names_file(self, atlas: str, subject: str) -> str:
        """Path of the names of an atlas's labels. NSD has them beside the surface labels only, for volumes too."""
        row = _row(self.atlases, "atlas", atlas)
        if row["names"] is not None:
            return row["names"].format(subject=subject)
        return f"{self.nsd_root}/{layout.label_names(subject if self.on_native_surface(atlas) else 'fsaverage', atlas)}"


def _row(table: pd.DataFrame, key: str, value: str) -> dict[str, Any]:
    # Rules ask for hundreds of rows whenever Snakemake starts; pandas' own selection takes four times as long.
    number = table[key].to_list().index(value)
    row = {str(name): column.array[number] for name, column in table.items()}
    return {k: None if pd.isna(v) else (v.item() if hasattr(v, "item") else v) for k, v in row.items()}


def load_study(config: Mapping[str, Any], root: str | Path, files: Sequence[str | Path] = ()) -> Study:
    """Check a configuration and read the tables that it names.

    Parameters
    ----------
    config
        ``config.yaml`` after overlays.
    root
        Folder of the study; paths of tables are relative to it.
    files
        The files that were merged into ``config``, a later one over an earlier one; errors name their lines.

    Raises
    ------
    ConfigError
        A ValueError with a line for everything that is wrong: file and line, key, what was found, what is expected, and for
        an unknown key or name the nearest known one.
    """
    layers = read_layers(files)
    root = Path(root)
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    problems = find_problems(config, schema, RENAMED, __version__)
    wrong = [problem.path for problem in problems]

    def sound(*keys: KeyPath) -> bool:
        related = (path[: len(key)] == key[: len(path)] for path in wrong for key in keys)
        return all(is_set(config, key) for key in keys) and not any(related)

    tables, mistakes = read_tables(config, root, sound)
    problems += mistakes
    problems += [problem for problem in find_unknown_names(config, tables) if problem.path not in wrong]
    wrong += [problem.path for problem in mistakes]
    problems += find_disagreements(config, tables, sound)
    if problems:
        placed = sorted((*locate(config, problem.path, layers), str(problem)) for problem in problems)
        raise ConfigError("\n".join(dict.fromkeys(f"{place}: {problem}" for _, _, place, problem in placed)))

    subjects = tables["subjects_table"].astype(dict.fromkeys(NUMBERS_OF_SUBJECTS, int)).set_index("subject", drop=False)
    return Study(
        config=config,
        subjects=subjects.loc[list(config["subjects"])].reset_index(drop=True),
        models=tables["models_table"],
        encoders=tables["encoders_table"],
        atlases=tables["atlases_table"],
        figures=tables["figures_table"],
    )


def searchlight_batches(models: Sequence[str], known: Collection[str], existing: Iterable[str]) -> dict[str, str]:
    """Say for each model in which batch its searchlight is scored.

    The models of a batch are scored by the same jobs, in one pass over the brain's RDMs, which are the costly part. A batch is
    a folder named by its models. Models that have a folder stay in it; those that have none yet make a new batch, so that an
    added model is scored alone and leaves the others' files untouched.

    Parameters
    ----------
    models
        Models to map, in order.
    known
        Models that can be made. A folder that names another one could not be made anew, and is passed over.
    existing
        Names of the folders that exist.

    Returns
    -------
    dict
        Batch of each of ``models``, and of the other models that have a folder.
    """
    batches: dict[str, str] = {}
    for batch in sorted(existing):
        members = batch.split(BATCH)
        if set(members) <= set(known):
            for model in members:
                batches.setdefault(model, batch)
    new: list[list[str]] = []
    for model in models:
        if model in batches:
            continue
        if not new or len(BATCH.join([*new[-1], model])) > LONGEST_BATCH:
            new.append([])
        new[-1].append(model)
    return batches | {model: BATCH.join(batch) for batch in new for model in batch}


def describe(study: Study) -> str:
    """Say in a few lines what a study would be."""
    config = study.config
    subjects = [
        f"{row['subject']} ({row['sessions']} sessions, {row['image_sets']} image sets)"
        for row in map(study.subject_row, study.subject_names)
    ]
    regions = [f"{', '.join(names)} ({atlas})" for atlas, names in config["rois"].items()]
    made = {"miniature": "made in", "bucket": "fetched into", "local": "read from"}[config["source"]]
    pairs = ", over all pairs of a subject's images" if config["pairs"] == "all" else ""
    radius = (
        f", searchlight of radius {config['searchlight']['radius']} voxels" if config["searchlight"]["models"] else ""
    )
    contrasts = [
        f"{name} (contrasts: {len(family['contrasts'])}; {family['correction']})"
        for name, family in study.comparisons.items()
    ]
    left_out = sum(len(family["contrasts"]) for family in config["comparisons"].values())
    left_out -= sum(len(family["contrasts"]) for family in study.comparisons.values())
    released = ", and as released" if config["as_released"] else ""
    lines = {
        "source": f"{config['source']}, {made} {study.nsd_root}",
        "subjects": ", ".join(subjects),
        "image sets": f"{config['image_set_size']} images each; {config['shared_image_sets']} that all subjects saw",
        "models": f"{', '.join(study.model_names)} (encoder {config['encoder']})",
        "regions": f"{'; '.join(regions)} in {config['roi_space']}{pairs}",
        "comparisons": (", ".join(contrasts) or "none")
        + (f"; left out, because a model is not in models: {left_out}" if left_out else "")
        + released,
        "maps": (", ".join(study.maps) or "none") + radius,
        "multiverse": _describe_multiverse(study.multiverse),
    }
    if config["source"] == "bucket" and not config["bucket"]["nsd_terms_accepted"]:
        lines["terms"] = TERMS_NOT_ACCEPTED
    caution = caution_about_repeats(config["brain_distance"], config["betas_version"])
    lines |= {"caution": caution} if caution else {}
    return "\n".join(f"{name + ':':<13}{text}" for name, text in lines.items())


def _describe_multiverse(multiverse: Multiverse | None) -> str:
    if multiverse is None:
        return "none"
    axes = [f"{axis} {len(levels)}" for axis, levels in multiverse.axes.items()]
    return f"{multiverse.n_universes} universes ({', '.join(axes)})"


def main(overlays: Sequence[str]) -> int:
    """Check ``config.yaml`` of the folder, under overlays, and print what is wrong or what the study would be.

    Returns
    -------
    int
        Exit code: 1 if something is wrong.
    """
    files = ["config.yaml", *overlays]
    try:
        study = load_study(merge_layers(read_layers(files)), ".", files)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    print(describe(study))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
