"""The study as configured: ``config.yaml`` checked against its schema, and the tables that it names.

What shapes the graph (subjects, sessions, image sets, models) is here before any job has run, so that the whole graph can be
planned offline.
"""

import difflib
import re
import string
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import yaml

from capcortex.nsd import layout
from capcortex.rsa.rdm import DISTANCES
from capcortex.tables import read_table
from capcortex.text.models import BUILDERS, NEED_ENCODER, NEED_FILE

MINIATURE_FOLDER = "resources/miniature/"
"""What the miniature's rules make beside NSD's tree; it says nothing about real images."""

CONTRAST = "_minus_"
"""Joins the names of two models in the name of their contrast; names of models have hyphens only."""

BATCH = "+"
LONGEST_BATCH = 200
"""Characters in the name of a batch, which is the name of a folder."""

SUBJECT_COLUMNS = ["subject", "sessions", "trials_per_session", "image_sets"]
MODEL_COLUMNS = ["model", "builder", "encoder", "path", "distance", "label", "description"]
ATLAS_COLUMNS = ["atlas", "defined_on", "surface", "volume", "names", "description"]
ENCODER_COLUMNS = ["encoder", "source", "revision", "coco_captions", "licence"]


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
    """

    config: Mapping[str, Any]
    subjects: pd.DataFrame
    models: pd.DataFrame
    encoders: pd.DataFrame
    atlases: pd.DataFrame

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
        """Maps of the cortex by name: those of single models, then contrasts of two (first minus second)."""
        searchlight = self.config["searchlight"]
        contrasts = {CONTRAST.join(pair): list(pair) for pair in searchlight["contrasts"]}
        return {model: [model] for model in searchlight["models"]} | contrasts

    def map_label(self, name: str) -> str:
        """Return the name of a map as figures print it."""
        return " minus ".join(self.model_row(model)["label"] for model in self.maps[name])

    def can_be_made(self, model: str) -> bool:
        """Whether a model of the table can be made with this configuration: its own file, if it has one, can be there."""
        path = self.model_row(model)["path"]
        if path is None:
            return True
        return self.config["source"] == "miniature" if path.startswith(MINIATURE_FOLDER) else Path(path).exists()

    @property
    def sentinel_models(self) -> tuple[str, str]:
        """Names of a caption model and of the category model, which the sentinel compares on any data."""
        captions = self.models.loc[self.models["builder"] == "sentence", "model"]
        categories = self.models.loc[self.models["builder"] == "categories", "model"]
        used = [name for name in captions if name in self.model_names]
        return (used or list(captions))[0], categories.iloc[0]

    @property
    def nsd_root(self) -> str:
        """Folder that holds NSD's tree: the user's own copy, or where the study puts it."""
        return self.config["local"]["nsd"] if self.config["source"] == "local" else "resources/nsd"

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
        return None if name is None else _row(self.encoders, "encoder", name)

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
    row = table.loc[table[key] == value].iloc[0]
    return {str(k): None if pd.isna(v) else (v.item() if hasattr(v, "item") else v) for k, v in row.items()}


def load_study(config: Mapping[str, Any], root: str | Path) -> Study:
    """Check a configuration and read the tables that it names.

    Parameters
    ----------
    config
        ``config.yaml`` after overlays.
    root
        Folder of the study; paths of tables are relative to it.

    Raises
    ------
    ValueError
        Naming the key, the value found and what is allowed, and for an unknown key the nearest known one.
    """
    root = Path(root)
    schema = yaml.safe_load((root / "workflow/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    check_config(config, schema)

    subjects = read_table(root / config["subjects_table"], columns=SUBJECT_COLUMNS)
    models = read_table(root / config["models_table"], columns=MODEL_COLUMNS)
    encoders = read_table(root / config["encoders_table"], columns=ENCODER_COLUMNS)
    atlases = read_table(root / config["atlases_table"], columns=ATLAS_COLUMNS)
    for key, table, column, path in (
        ("subjects", subjects, "subject", config["subjects_table"]),
        ("models", models, "model", config["models_table"]),
        ("encoder", encoders, "encoder", config["encoders_table"]),
        ("rois", atlases, "atlas", config["atlases_table"]),
    ):
        repeated = table[column][table[column].duplicated()]
        if len(repeated):
            raise ValueError(f"{path}: {column} {repeated.iloc[0]} occurs twice")
        for name in [config[key]] if isinstance(config[key], str) else config[key]:
            _require_known(name, list(table[column]), f"config.yaml: {key}", str(path))
    check_models(models, str(config["models_table"]))
    check_atlases(atlases, str(config["atlases_table"]))
    for name in sorted(set(models["encoder"].dropna()) - {"study"}):
        _require_known(
            name, list(encoders["encoder"]), f"{config['models_table']}: encoder", str(config["encoders_table"])
        )
    _check_regions(config, atlases)
    for row in subjects[subjects["subject"].isin(config["subjects"]) & (subjects["image_sets"] < 1)].to_dict("records"):
        raise ValueError(
            f"{config['subjects_table']}: {row['subject']} has {row['image_sets']} image sets, expected at least 1: "
            "leave the subject out of config key subjects, or make image_set_size smaller"
        )
    for model in config["searchlight"]["models"]:
        _require_known(model, list(models["model"]), "config.yaml: searchlight: models", str(config["models_table"]))
    for model in (model for pair in config["searchlight"]["contrasts"] for model in pair):
        _require_known(
            model, config["searchlight"]["models"], "config.yaml: searchlight: contrasts", "searchlight: models"
        )
    if config["source"] == "local" and not config["local"]["nsd"]:
        raise ValueError("config.yaml: local: nsd: the folder of your copy of NSD is needed when source is local")
    if config["source"] == "local":
        of_miniature = models["path"].fillna("").str.startswith(MINIATURE_FOLDER) & models["model"].isin(
            [*config["models"], *config["searchlight"]["models"]]
        )
        if of_miniature.any():
            name = models.loc[of_miniature, "model"].iloc[0]
            raise ValueError(
                f"config.yaml: models, or searchlight: models: {name!r} is a file of the miniature; "
                "leave it out when source is local"
            )
    return Study(
        config=config,
        subjects=subjects.set_index("subject", drop=False).loc[list(config["subjects"])].reset_index(drop=True),
        models=models,
        encoders=encoders,
        atlases=atlases,
    )


def _check_regions(config: Mapping[str, Any], atlases: pd.DataFrame) -> None:
    column = "volume" if config["roi_space"] == "func1pt8mm" else "surface"
    for row in atlases[atlases["atlas"].isin(config["rois"]) & atlases["names"].notna()].to_dict("records"):
        if pd.isna(row[column]):
            raise ValueError(
                f"{config['atlases_table']}: atlas {row['atlas']!r} has no file in the column {column}, "
                f"which roi_space: {config['roi_space']} needs"
            )
    atlas_of: dict[str, str] = {}
    for atlas, roi in ((atlas, roi) for atlas, rois in config["rois"].items() for roi in rois):
        if roi in atlas_of:
            raise ValueError(
                f"config.yaml: rois: region {roi!r} occurs twice, in {atlas_of[roi]} and in {atlas}; "
                "tables and figures tell regions apart by their names: leave one out"
            )
        atlas_of[roi] = atlas


def check_models(models: pd.DataFrame, table: str) -> None:
    """Check every row of a model table, so that a slip shows before any job runs.

    Raises
    ------
    ValueError
        Naming the table, the model, the column, what was found and what is allowed.
    """
    for row in models.to_dict("records"):
        name = str(row["model"])
        where = f"{table}: model {name!r}"
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise ValueError(
                f"{where}: names are lower-case words and numbers joined by hyphens; they become file names"
            )
        _require_known(str(row["builder"]), list(BUILDERS), f"{where}: builder", "src/capcortex/text/models.py")
        if row["builder"] == "rdm":
            if not pd.isna(row["distance"]):
                raise ValueError(f"{where}: builder 'rdm' brings its distances; leave the column distance empty")
        else:
            _require_known(str(row["distance"]), list(DISTANCES), f"{where}: distance", "src/capcortex/rsa/rdm.py")
        for column, builders in (("encoder", NEED_ENCODER), ("path", NEED_FILE)):
            if (row["builder"] in builders) == bool(pd.isna(row[column])):
                needs = "needs" if row["builder"] in builders else "has no use for"
                raise ValueError(
                    f"{where}: builder {row['builder']!r} {needs} the column {column}; found {row[column]}"
                )
        if pd.isna(row["label"]):
            raise ValueError(f"{where}: a label for figures is missing")
    repeated = models["label"][models["label"].duplicated()]
    if len(repeated):
        raise ValueError(f"{table}: label {repeated.iloc[0]!r} occurs twice; figures could not tell the models apart")
    for builder in ("sentence", "categories"):
        if builder not in set(models["builder"]):
            raise ValueError(f"{table}: the sentinel needs a model with builder {builder!r}")


def check_atlases(atlases: pd.DataFrame, table: str) -> None:
    """Check every row of an atlas table.

    Raises
    ------
    ValueError
        Naming the table, the atlas, the column, what was found and what is allowed.
    """
    needed = {"surface": {"hemisphere"}, "volume": {"subject"}, "names": set()}
    for row in atlases.to_dict("records"):
        where = f"{table}: atlas {row['atlas']!r}"
        _require_known(str(row["defined_on"]), ["fsaverage", "subject"], f"{where}: defined_on", "the allowed words")
        paths = {column: str(row[column]) for column in needed if not pd.isna(row[column])}
        if paths and ("names" not in paths or len(paths) == 1):
            raise ValueError(
                f"{where}: labels of your own need the column names and one of surface and volume; found {', '.join(paths)}"
            )
        for column, path in paths.items():
            fields = {field for _, field, _, _ in string.Formatter().parse(path) if field is not None}
            must = needed[column] | ({"subject"} if column == "surface" and row["defined_on"] == "subject" else set())
            may = {"subject"} if column == "names" else must
            if not must <= fields <= may:
                wanted = " and ".join(f"{{{field}}}" for field in sorted(may))
                raise ValueError(
                    f"{where}: {column}: {path!r} must name {wanted}"
                    if must
                    else f"{where}: {column}: {path!r} may name {wanted} and nothing else in braces"
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


def check_config(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """Check a configuration against its schema.

    Raises
    ------
    ValueError
        For the first thing that is wrong: key, value found, what is allowed, meaning of the key.
    """
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(config), key=lambda error: list(error.path))
    for error in errors:
        where = ": ".join(map(str, error.absolute_path)) or "top level"
        if error.validator == "additionalProperties":
            known = list(error.schema["properties"])
            unknown = [key for key in error.instance if key not in known]
            near = difflib.get_close_matches(str(unknown[0]), known, n=1, cutoff=0.0)[0]
            raise ValueError(
                f"config.yaml: {where}: unknown key {unknown[0]!r}; the nearest known key is {near!r} "
                f"(known: {', '.join(known)})"
            )
        meaning = error.schema.get("description", "") if isinstance(error.schema, dict) else ""
        raise ValueError(f"config.yaml: {where}: {error.message}. {meaning}".rstrip())


def _require_known(name: str, known: list[str], key: str, table: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        raise ValueError(f"{key}: {name!r} is not in {table}; nearest: {near[0]!r}; known: {', '.join(known)}")
