"""What is wrong in the tables that a config names, and between keys that are right by themselves."""

import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from capcortex.claims import CLAIM_COLUMNS, claim_mistakes
from capcortex.config_files import KeyPath
from capcortex.config_schema import Problem, find_unknown_name
from capcortex.fetch.sources import SOURCE_COLUMNS, source_mistakes
from capcortex.files import MADE_IN
from capcortex.nsd.acceptance import KNOWN_FACTS
from capcortex.nsd.facts import FACT_COLUMNS, FACTS_OF_ALL_SUBJECTS
from capcortex.nsd.miniature.design import SHOWINGS, images_needed, run_lengths
from capcortex.rsa.rdm import DISTANCES
from capcortex.tables import read_table
from capcortex.text.models import BUILDERS, NEED_ENCODER, NEED_FILE, TAKE_KIND
from capcortex.text.words import WORD_KINDS

MINIATURE_FOLDER = "resources/miniature/"
"""What the miniature's rules make beside NSD's tree; it says nothing about real images."""

SUBJECT_COLUMNS = ["subject", "sessions", "trials_per_session", "image_sets"]
NUMBERS_OF_SUBJECTS = SUBJECT_COLUMNS[1:]
MODEL_COLUMNS = ["model", "builder", "words", "encoder", "path", "distance", "label", "description"]
ATLAS_COLUMNS = ["atlas", "defined_on", "surface", "volume", "names", "description"]
FIGURE_COLUMNS = ["figure", "title", "models"]
ENCODER_COLUMNS = ["encoder", "source", "revision", "coco_captions", "licence"]
TABLES = {
    "subjects_table": SUBJECT_COLUMNS,
    "models_table": MODEL_COLUMNS,
    "encoders_table": ENCODER_COLUMNS,
    "atlases_table": ATLAS_COLUMNS,
    "figures_table": FIGURE_COLUMNS,
    "claims_table": CLAIM_COLUMNS,
    "acceptance_table": FACT_COLUMNS,
    "datasets_table": SOURCE_COLUMNS,
}
"""Columns of the table that each key names."""


def read_tables(
    config: Mapping[str, Any], root: Path, sound: Callable[..., bool]
) -> tuple[dict[str, pd.DataFrame], list[Problem]]:
    """Read the tables that a config names, and find what is wrong in each.

    Parameters
    ----------
    config
        The merged config.
    root
        Folder of the study; paths of tables are relative to it.
    sound
        Whether the schema has nothing against some keys.

    Returns
    -------
    tables : dict of DataFrame
        By the key that names each. Those that cannot be read, or of which the config names none, are left out.
    problems : list of Problem
    """
    tables: dict[str, pd.DataFrame] = {}
    problems: list[Problem] = []
    for key, columns in TABLES.items():
        if not sound((key,)) or config[key] is None:
            continue
        try:
            text = [column for column in columns if column in ("md5", "expected", "value", "tolerance")]
            table = read_table(root / config[key], columns=columns, text=text)
        except FileNotFoundError:
            problems.append(Problem((key,), f"no such file: {root / config[key]}"))
        except (OSError, ValueError) as error:
            problems.append(Problem((key,), f"{root / config[key]} cannot be read: {error}"))
        else:
            problems += [Problem((key,), mistake) for mistake in MISTAKES[key](table, str(config[key]))]
            # Names of digits only are names all the same.
            tables[key] = table.astype({columns[0]: str})
    truth = ("miniature", "truth")
    if sound(("source",), truth) and config["source"] == "miniature":
        path = root / config["miniature"]["truth"]
        problems += [] if path.is_file() else [Problem(truth, f"no such file: {path}")]
    return tables, problems


def find_unknown_names(config: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Iterator[Problem]:
    """Find names that are in no row of the table that has them; values of a wrong kind are passed over."""
    for key, table, column in (
        (("subjects",), "subjects_table", "subject"),
        (("models",), "models_table", "model"),
        (("searchlight", "models"), "models_table", "model"),
        (("encoding", "models"), "models_table", "model"),
        (("multiverse", "models"), "models_table", "model"),
        (("multiverse", "within"), "atlases_table", "atlas"),
        (("decoding", "models"), "models_table", "model"),
        (("encoder",), "encoders_table", "encoder"),
        (("rois",), "atlases_table", "atlas"),
    ):
        value: Any = config
        for part in key:
            value = value.get(part) if isinstance(value, Mapping) else None
        if table in tables and value is not None:
            places: Iterable[tuple[KeyPath, Any]] = [(key, value)]
            if isinstance(value, Mapping):
                places = [((*key, name), str(name)) for name in value]
            elif isinstance(value, list):
                places = [((*key, position), name) for position, name in enumerate(value)]
            known = list(tables[table][column])
            for place, name in places:
                if isinstance(name, str):
                    yield from (Problem(place, text) for text in find_unknown_name(name, known, str(config[table])))
    families = config.get("comparisons")
    if "models_table" in tables and isinstance(families, Mapping):
        known = list(tables["models_table"]["model"])
        for place, model in _models_of_comparisons(families):
            yield from (Problem(place, text) for text in find_unknown_name(model, known, str(config["models_table"])))
    yield from _find_unknown_names_in_tables(config, tables)


def _find_unknown_names_in_tables(config: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> Iterator[Problem]:
    if {"models_table", "figures_table"} <= set(tables):
        known = list(tables["models_table"]["model"])
        for row in tables["figures_table"].dropna(subset="models").to_dict("records"):
            for model in models_of_figure(row["models"]):
                for text in find_unknown_name(model, known, str(config["models_table"])):
                    yield Problem(("figures_table",), f"{config['figures_table']}: figure {row['figure']}: {text}")
    if {"models_table", "encoders_table"} <= set(tables):
        known = list(tables["encoders_table"]["encoder"])
        for name in sorted(set(tables["models_table"]["encoder"].dropna().astype(str)) - {"study"}):
            for text in find_unknown_name(name, known, str(config["encoders_table"])):
                yield Problem(("models_table",), f"{config['models_table']}: encoder: {text}")


def _models_of_comparisons(families: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """Names of models in contrasts, with their places; values of a wrong kind are passed over."""
    for name, family in families.items():
        contrasts = family.get("contrasts") if isinstance(family, Mapping) else None
        for position, pair in enumerate(contrasts if isinstance(contrasts, list) else []):
            for member, model in enumerate(pair if isinstance(pair, list) else []):
                if isinstance(model, str):
                    yield ("comparisons", name, "contrasts", position, member), model


def find_disagreements(
    config: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], sound: Callable[..., bool]
) -> Iterator[Problem]:
    """Find keys that do not go together, among those that are right by themselves."""
    for key in ("searchlight", "encoding"):
        if sound((key, "models"), (key, "contrasts")):
            yield from _find_contrasts_without_models(config, key)
    yield from _find_models_without_features(config, tables, sound)
    yield from _find_odd_sentences(config, sound)
    yield from _find_odd_multiverse(config, tables, sound)
    yield from _find_odd_families(config["comparisons"] if sound(("comparisons",)) else {})
    yield from _find_measure_that_all_pairs_lack(config, sound)
    yield from _find_obstacles_to_released_statistics(config, sound)
    yield from _find_obstacles_to_crossnobis(config, sound)
    if sound(("source",), ("local",)) and config["source"] == "local":
        if not config["local"]["nsd"]:
            yield Problem(("local", "nsd"), "the folder of your copy of NSD is needed when source is local")
        elif any((Path.cwd() / config["local"]["nsd"]).is_relative_to(Path.cwd() / folder) for folder in MADE_IN):
            yield Problem(
                ("local", "nsd"),
                f"found {config['local']['nsd']!r}, but in {' and '.join(MADE_IN)} the study makes, replaces and removes files: "
                "keep your copy of NSD elsewhere",
            )
    if sound(("source",)) and config["source"] != "miniature" and "models_table" in tables:
        keys = [
            key
            for key in (("models",), ("searchlight", "models"), ("encoding", "models"), ("decoding", "models"))
            if sound(key)
        ]
        yield from _find_models_of_the_miniature(config, tables["models_table"], keys)
    if sound(("rois",)):
        yield from _find_mixed_up_regions(config["rois"])
        if sound(("roi_space",), ("atlases_table",)) and "atlases_table" in tables:
            yield from _find_regions_without_file(config, tables["atlases_table"])
    if sound(("subjects",), ("subjects_table",)) and "subjects_table" in tables:
        rows = tables["subjects_table"].set_index("subject")
        rows = rows.loc[[subject for subject in config["subjects"] if subject in rows.index], NUMBERS_OF_SUBJECTS]
        if len(rows):
            # The miniature is made for all subjects of the table.
            of_all = tables["subjects_table"].set_index("subject")["sessions"].astype(int)
            yield from _find_impossible_numbers(config, rows.astype(int), of_all, sound)


def _find_contrasts_without_models(config: Mapping[str, Any], key: str) -> Iterator[Problem]:
    for position, pair in enumerate(config[key]["contrasts"]):
        for member, model in enumerate(pair):
            for text in find_unknown_name(model, config[key]["models"], f"{key}: models"):
                place = (key, "contrasts", position, member)
                yield Problem(place, f"{text}; add it there, or leave the contrast out")


def _find_models_without_features(
    config: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], sound: Callable[..., bool]
) -> Iterator[Problem]:
    if "models_table" not in tables:
        return
    models = tables["models_table"]
    ready = set(models.loc[models["builder"] == "rdm", "model"])
    for key, purpose in {"encoding": "to predict responses from", "decoding": "to predict from responses"}.items():
        for position, name in enumerate(config[key]["models"] if sound((key, "models")) else []):
            if name in ready:
                yield Problem(
                    (key, "models", position), f"{name!r} is a ready RDM, and has no features {purpose}; leave it out"
                )
    scalars = set(models.loc[models["distance"] == "absolute", "model"])
    for position, name in enumerate(config["decoding"]["models"] if sound(("decoding", "models")) else []):
        if name in scalars:
            yield Problem(
                ("decoding", "models", position),
                f"{name!r} is a single number for an image, where predictions are correlated over the dimensions of an "
                "embedding; leave it out",
            )


def _find_odd_sentences(config: Mapping[str, Any], sound: Callable[..., bool]) -> Iterator[Problem]:
    if not sound(("encoding", "sentences"), ("encoding", "sentence_contrasts")):
        return
    groups = config["encoding"]["sentences"]
    for name in groups:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
            yield Problem(
                ("encoding", "sentences", str(name)),
                f"found a group named {name!r}, expected a name of letters, digits and hyphens that begins with a letter",
            )
    for position, pair in enumerate(config["encoding"]["sentence_contrasts"]):
        for member, group in enumerate(pair):
            for text in find_unknown_name(group, [str(name) for name in groups], "encoding: sentences"):
                yield Problem(("encoding", "sentence_contrasts", position, member), text)


def _find_odd_families(families: Mapping[Any, Any]) -> Iterator[Problem]:
    for name, family in families.items():
        # YAML reads yes and 2024 as a truth value and a number.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", str(name)) or not isinstance(name, str):
            yield Problem(
                ("comparisons", str(name)),
                f"found a family named {name!r}, expected a name of letters, digits and hyphens that begins with a letter",
            )
        seen: set[frozenset[str]] = set()
        for position, pair in enumerate(family["contrasts"]):
            if frozenset(pair) in seen:
                yield Problem(
                    ("comparisons", str(name), "contrasts", position),
                    f"{' and '.join(pair)} are compared twice; the other way round is the same test: leave one out",
                )
            seen.add(frozenset(pair))


def _find_measure_that_all_pairs_lack(config: Mapping[str, Any], sound: Callable[..., bool]) -> Iterator[Problem]:
    keys = ("pairs", "rdm_comparison")
    if sound(*((key,) for key in keys)) and config["pairs"] == "all" and config["rdm_comparison"] != "pearson":
        yield Problem(
            ("rdm_comparison",),
            f"found {config['rdm_comparison']!r} with pairs: all, for which only Pearson's r is computed, "
            "in blocks of pairs that are never kept: choose pearson, or pairs: image_sets",
        )


def _find_obstacles_to_released_statistics(config: Mapping[str, Any], sound: Callable[..., bool]) -> Iterator[Problem]:
    if not sound(("as_released",)) or not config["as_released"]:
        return
    for key, released in (("rdm_comparison", "pearson"), ("brain_distance", "correlation")):
        if sound((key,)) and config[key] != released:
            yield Problem(
                ("as_released",),
                f"found true with {key}: {config[key]}, but the released code has {released} only: set {key} to {released}, or "
                "as_released to false",
            )


def _find_obstacles_to_crossnobis(config: Mapping[str, Any], sound: Callable[..., bool]) -> Iterator[Problem]:
    if not sound(("brain_distance",)) or config["brain_distance"] != "crossnobis":
        return
    if sound(("pairs",)) and config["pairs"] == "all":
        yield Problem(
            ("brain_distance",),
            "found 'crossnobis', which is of single responses on image sets, but pairs: all compares distances of averaged "
            "betas: set pairs to image_sets, or brain_distance to correlation",
        )
    if sound(("incomplete_data",)) and config["incomplete_data"] == "nanmean":
        yield Problem(
            ("brain_distance",),
            "found 'crossnobis', which needs every repeat, but incomplete_data: nanmean uses vertices and voxels that lack "
            "some: set incomplete_data to exclude, or brain_distance to correlation",
        )


def _find_models_of_the_miniature(
    config: Mapping[str, Any], models: pd.DataFrame, keys: Sequence[KeyPath]
) -> Iterator[Problem]:
    made = set(models.loc[models["path"].fillna("").str.startswith(MINIATURE_FOLDER), "model"])
    for key in keys:
        names = config["models"] if key == ("models",) else config[key[0]]["models"]
        for position, name in enumerate(names):
            if name in made:
                yield Problem(
                    (*key, position),
                    f"{name!r} is a file of the miniature; leave it out when source is {config['source']}",
                )


def _find_mixed_up_regions(rois: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    atlas_of: dict[str, str] = {}
    for atlas, names in rois.items():
        for position, roi in enumerate(names):
            if atlas_of.setdefault(roi, atlas) != atlas:
                yield Problem(
                    ("rois", atlas, position),
                    f"region {roi!r} occurs twice, in {atlas_of[roi]} and in {atlas}; "
                    "tables and figures tell regions apart by their names: leave one out",
                )


def _find_regions_without_file(config: Mapping[str, Any], atlases: pd.DataFrame) -> Iterator[Problem]:
    column = "volume" if config["roi_space"] == "func1pt8mm" else "surface"
    own = atlases["atlas"].isin(config["rois"]) & atlases["names"].notna()
    for atlas in atlases.loc[own & atlases[column].isna(), "atlas"]:
        yield Problem(
            ("rois", atlas),
            f"{config['atlases_table']}: atlas {atlas!r} has no file in the column {column}, "
            f"which roi_space: {config['roi_space']} needs",
        )


def _find_odd_multiverse(
    config: Mapping[str, Any], tables: Mapping[str, pd.DataFrame], sound: Callable[..., bool]
) -> Iterator[Problem]:
    """Find a model without the one that it is compared with, and own atlases without labels in a space that needs them."""
    if sound(("multiverse", "models")) and len(config["multiverse"]["models"]) == 1:
        yield Problem(
            ("multiverse", "models"),
            f"found {config['multiverse']['models'][0]!r} alone, expected a model and the one that it is compared with, or none",
        )
    if not sound(("rois",), ("multiverse",), ("atlases_table",)) or "atlases_table" not in tables:
        return
    keys, atlases = config["multiverse"], tables["atlases_table"]
    if "none" in keys["within"]:
        yield Problem(
            ("multiverse", "within", keys["within"].index("none")),
            "'none' is how tables name null, no atlas: give the atlas another name in atlases_table",
        )
    if len(keys["models"]) != 2 or not sound(("roi_space",), ("searchlight",)):
        return
    used = {atlas for atlas, names in config["rois"].items() if set(names) & set(keys["regions"])}
    used |= set(keys["within"]) - {None}
    # The study's own space is a level, named or not (and its regions are checked above); other spaces need betas in use.
    own = config["roi_space"]
    further = [space for space in keys["spaces"] if space == "func1pt8mm" and config["searchlight"]["models"]]
    for space in dict.fromkeys([own, *further]):
        column = "volume" if space == "func1pt8mm" else "surface"
        here = used - set(config["rois"]) if space == own else used
        lacking = atlases["atlas"].isin(here) & atlases["names"].notna() & atlases[column].isna()
        for atlas in atlases.loc[lacking, "atlas"]:
            yield Problem(
                ("multiverse", "within") if space == own else ("multiverse", "spaces", keys["spaces"].index(space)),
                f"{config['atlases_table']}: atlas {atlas!r} has no file in the column {column}, which {space} needs: "
                "leave the space out, or the atlas (multiverse: regions and within)",
            )


def _find_impossible_numbers(
    config: Mapping[str, Any], subjects: pd.DataFrame, sessions_of_all: pd.Series, sound: Callable[..., bool]
) -> Iterator[Problem]:
    """Find numbers of sets, images and trials that no data could have; what the data do have is checked when they are read."""
    table, sets = config["subjects_table"], subjects["image_sets"]
    for subject in subjects.index[sets < 1]:
        yield Problem(
            ("subjects_table",),
            f"{table}: {subject} has 0 image sets, expected at least 1: "
            "leave the subject out of config key subjects, or make image_set_size smaller",
        )
    if sound(("image_set_size",)):
        size = config["image_set_size"]
        trials = subjects["sessions"] * subjects["trials_per_session"]
        for subject in subjects.index[sets * size * SHOWINGS > trials]:
            yield Problem(
                ("image_set_size",),
                f"{sets[subject]} image sets of {subject} ({table}) of {size} images, each seen {SHOWINGS} times, take "
                f"{sets[subject] * size * SHOWINGS} trials, but {subject} has {trials[subject]}: "
                "make image_set_size or the table's image_sets smaller",
            )
    if sound(("shared_image_sets",)) and config["shared_image_sets"] > sets.min():
        yield Problem(
            ("shared_image_sets",),
            f"found {config['shared_image_sets']}, but {sets.idxmin()} has {sets.min()} image sets ({table}), "
            "and shared images are among each subject's own",
        )
    miniature = {"runs_per_session", "shared_images"}
    if not sound(("source",), *(("miniature", key) for key in miniature)) or config["source"] != "miniature":
        return
    runs, shared = config["miniature"]["runs_per_session"], config["miniature"]["shared_images"]
    trials_per_session = sum(run_lengths(runs))
    for subject in subjects.index[subjects["trials_per_session"] != trials_per_session]:
        yield Problem(
            ("miniature", "runs_per_session"),
            f"{runs} runs are {trials_per_session} trials a session, but {subject} has "
            f"{subjects.loc[subject, 'trials_per_session']} ({table}, trials_per_session)",
        )
    try:
        images_needed({str(subject): n for subject, n in sessions_of_all.items()}, runs, shared)
    except ValueError as error:
        yield Problem(("miniature", "shared_images"), str(error))
    if sound(("image_set_size",), ("shared_image_sets",)):
        needed = config["image_set_size"] * config["shared_image_sets"]
        if needed > shared:
            yield Problem(
                ("miniature", "shared_images"),
                f"found {shared}, but {config['shared_image_sets']} shared image sets of {config['image_set_size']} "
                f"take {needed}: choose more, or fewer or smaller sets (shared_image_sets, image_set_size)",
            )


def name_mistakes(table: pd.DataFrame, path: str) -> Iterator[str]:
    """Find rows without a name, and names that occur twice, in the first column of a table whose rows are named."""
    names = table.iloc[:, 0]
    column = names.name
    if names.isna().any():
        yield f"{path}: a row has no {column}"
    for name in dict.fromkeys(names[names.duplicated() & names.notna()]):
        yield f"{path}: {column} {name} occurs twice"


def subject_mistakes(subjects: pd.DataFrame, table: str) -> Iterator[str]:
    """Find what is wrong in a subjects table, in words that name table, subject, column, value and what is allowed."""
    yield from name_mistakes(subjects[SUBJECT_COLUMNS], table)
    for row in subjects.to_dict("records"):
        for column in NUMBERS_OF_SUBJECTS:
            least = 0 if column == "image_sets" else 1
            if not _is_whole(row[column], least):
                found = "nothing" if pd.isna(row[column]) else repr(row[column])
                yield f"{table}: {row['subject']}: {column}: found {found}, expected a whole number, from {least}"


def _is_whole(value: Any, least: int) -> bool:
    # One word in a column makes pandas read all its numbers as words, one empty cell as floats.
    try:
        return float(value).is_integer() and float(value) >= least
    except ValueError:
        return False


def model_mistakes(models: pd.DataFrame, table: str) -> Iterator[str]:
    """Find what is wrong in a model table, in words that name table, model, column, value and what is allowed."""
    yield from name_mistakes(models[MODEL_COLUMNS], table)
    for row in models.dropna(subset="model").to_dict("records"):
        for mistake in _mistakes_of_model(row):
            yield f"{table}: model {str(row['model'])!r}: {mistake}"
    labels = models["label"].dropna()
    for label in dict.fromkeys(labels[labels.duplicated()]):
        yield f"{table}: label {label!r} occurs twice; figures could not tell the models apart"
    for builder in ("sentence", "categories"):
        if builder not in set(models.loc[models["words"].isna(), "builder"]):
            yield f"{table}: the sentinel needs a model with builder {builder!r} and nothing in the column words"


def _mistakes_of_model(row: Mapping[Any, Any]) -> Iterator[str]:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", str(row["model"])):
        yield "names are lower-case words and numbers joined by hyphens; they become file names"
    for text in find_unknown_name(_cell(row["builder"]), list(BUILDERS), "src/capcortex/text/models.py"):
        yield f"builder: {text}"
    if row["builder"] == "rdm":
        if not pd.isna(row["distance"]):
            yield "builder 'rdm' brings its distances; leave the column distance empty"
    else:
        for text in find_unknown_name(_cell(row["distance"]), list(DISTANCES), "src/capcortex/rsa/rdm.py"):
            yield f"distance: {text}"
    needs = {"encoder": NEED_ENCODER, "path": NEED_FILE} if row["builder"] in BUILDERS else {}
    for column, builders in needs.items():
        if (row["builder"] in builders) == bool(pd.isna(row[column])):
            verb = "needs" if row["builder"] in builders else "has no use for"
            yield f"builder {row['builder']!r} {verb} the column {column}; found {_cell(row[column])!r}"
    if not pd.isna(row["words"]):
        for text in find_unknown_name(str(row["words"]), list(WORD_KINDS), "src/capcortex/text/words.py"):
            yield f"words: {text}"
        if row["builder"] in BUILDERS and row["builder"] not in TAKE_KIND:
            yield f"builder {row['builder']!r} has no use for the column words; found {row['words']!r}"
    if pd.isna(row["label"]):
        yield "a label for figures is missing"


def models_of_figure(cell: str) -> list[str]:
    """Names of models in a cell of the figures table, in order."""
    return [name.strip() for name in cell.split(",")]


def figure_mistakes(figures: pd.DataFrame, table: str) -> Iterator[str]:
    """Find what is wrong in a table of figures, in words that name table, figure, column, value and what is allowed."""
    yield from name_mistakes(figures[FIGURE_COLUMNS], table)
    for row in figures.dropna(subset="figure").to_dict("records"):
        where = f"{table}: figure {str(row['figure'])!r}"
        if not re.fullmatch(r"fig[A-Z]?[0-9]+[a-z]?", str(row["figure"])):
            yield f"{where}: expected a name such as fig3a or figS9; it becomes a file name and a target"
        models = [] if pd.isna(row["models"]) else models_of_figure(row["models"])
        if len(models) < 2 or len(set(models)) < len(models) or "" in models:
            yield f"{where}: models: found {_cell(row['models'])!r}, expected two names or more, parted by commas, none twice"
        if pd.isna(row["title"]):
            yield f"{where}: a title is missing"


def atlas_mistakes(atlases: pd.DataFrame, table: str) -> Iterator[str]:
    """Find what is wrong in an atlas table, in words that name table, atlas, column, value and what is allowed."""
    yield from name_mistakes(atlases[ATLAS_COLUMNS], table)
    needed = {"surface": {"hemisphere"}, "volume": {"subject"}, "names": set()}
    for row in atlases.dropna(subset="atlas").to_dict("records"):
        where = f"{table}: atlas {row['atlas']!r}"
        for text in find_unknown_name(_cell(row["defined_on"]), ["fsaverage", "subject"], "the allowed words"):
            yield f"{where}: defined_on: {text}"
        paths = {column: str(row[column]) for column in needed if not pd.isna(row[column])}
        if paths and ("names" not in paths or len(paths) == 1):
            yield (
                f"{where}: labels of your own need the column names and one of surface and volume; "
                f"found {', '.join(paths)}"
            )
        for column, path in paths.items():
            fields = {field for _, field, _, _ in string.Formatter().parse(path) if field is not None}
            must = needed[column] | ({"subject"} if column == "surface" and row["defined_on"] == "subject" else set())
            may = {"subject"} if column == "names" else must
            if not must <= fields <= may:
                wanted = " and ".join(f"{{{field}}}" for field in sorted(may))
                verb, rest = ("must", "") if must else ("may", " and nothing else in braces")
                yield f"{where}: {column}: {path!r} {verb} name {wanted}{rest}"


def fact_mistakes(facts: pd.DataFrame, table: str) -> Iterator[str]:
    """Find what is wrong in an acceptance table, in words that name table, fact, value and what is allowed."""
    for row in facts[FACT_COLUMNS].to_dict("records"):
        fact, subject = _cell(row["fact"]), _cell(row["subject"])
        for text in find_unknown_name(fact, list(KNOWN_FACTS), "the facts that can be looked up"):
            yield f"{table}: fact: {text}"
        if fact in FACTS_OF_ALL_SUBJECTS and subject != "all":
            yield f"{table}: fact {fact}: subject: found {subject!r}, expected 'all'"
        elif not re.fullmatch(r"all|subj\d\d", subject):
            yield f"{table}: fact {fact}: subject: found {subject!r}, expected all, or subj01 and so on"
        if pd.isna(row["expected"]):
            yield f"{table}: fact {fact} of {subject}: expected: found nothing, expected a number or a word"
    for fact, subject in facts.loc[facts.duplicated(["fact", "subject"]), ["fact", "subject"]].itertuples(index=False):
        yield f"{table}: fact {fact} of {subject} occurs twice"


def _cell(value: Any) -> str:
    return "" if pd.isna(value) else str(value)


MISTAKES = {
    "subjects_table": subject_mistakes,
    "models_table": model_mistakes,
    "encoders_table": lambda encoders, table: name_mistakes(encoders[ENCODER_COLUMNS], table),
    "atlases_table": atlas_mistakes,
    "figures_table": figure_mistakes,
    "claims_table": claim_mistakes,
    "acceptance_table": fact_mistakes,
    "datasets_table": source_mistakes,
}
"""How to find what is wrong in the table that each key names."""
