"""The experiment of the miniature: images, captions, annotations, plan and behaviour, and the truth behind them."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from capcortex.arrays import write_array
from capcortex.files import atomic_path
from capcortex.nsd import layout
from capcortex.nsd.miniature import annotations, behaviour, latents
from capcortex.nsd.miniature.annotations import Photograph
from capcortex.nsd.miniature.design import SHOWINGS, SUBJECTS, Design, images_needed, make_design
from capcortex.nsd.miniature.formats import write_mat
from capcortex.nsd.miniature.grammar import write_captions
from capcortex.nsd.miniature.records import Record, read_records
from capcortex.nsd.miniature.render import SIZE, render
from capcortex.nsd.miniature.scenes import PICTURE_ATTRIBUTES, Scene, draw_picture_attributes, draw_scenes
from capcortex.nsd.miniature.vocabulary import SETTINGS
from capcortex.nsd.miniature.word_vectors import write_word_vectors
from capcortex.seeds import random_generator
from capcortex.tables import write_table


def _crop(random: np.random.Generator, width: int, height: int) -> str:
    """Return NSD's crop box: what is cut from top, bottom, left, right, as fractions, to leave a square."""
    spare = abs(width - height) / max(width, height)
    first = spare / 2 if random.random() < 0.6 else float(random.integers(0, 2)) * spare
    sides = (first, spare - first)
    four = (0, 0, *sides) if width > height else (*sides, 0, 0)
    return "(" + ", ".join(f"{side:.10g}" for side in four) + ")"


def _categories(scene: Scene) -> list[str]:
    things = [name for name, count in scene.objects.items() for _ in range(count)]
    return things[:1] + ["person"] * scene.people + things[1:]


def _size(random: np.random.Generator) -> tuple[int, int]:
    return annotations.SIZES[int(random.choice(len(annotations.SIZES), p=(0.45, 0.25, 0.1, 0.08, 0.07, 0.05)))]


def _draw_photographs(seed: int, scenes: list[Scene]) -> list[Photograph]:
    """Make the photographs of drawn scenes."""
    random = random_generator(seed, "miniature", "photographs")
    captions = write_captions(random_generator(seed, "miniature", "captions"), scenes)
    identifiers = annotations.draw_coco_ids(random, len(scenes))
    splits = annotations.draw_splits(random, len(scenes))
    photographs = []
    for scene, identifier, split, said in zip(scenes, identifiers, splits, captions, strict=True):
        width, height = _size(random)
        instances = annotations.place(random, _categories(scene), None, width=width, height=height)
        photographs.append(Photograph(int(identifier), split, width, height, said, instances))
    return photographs


def _take_photographs(seed: int, records: list[Record]) -> list[Photograph]:
    """Make the photographs of annotated records; the record does not tell size and boxes, so these are drawn."""
    random = random_generator(seed, "miniature", "photographs")
    splits = annotations.draw_splits(random, len(records))
    photographs = []
    for record, split in zip(records, splits, strict=True):
        width, height = _size(random)
        instances = annotations.place(random, record.categories, record.areas, width=width, height=height)
        photographs.append(Photograph(record.coco_id, split, width, height, record.captions, instances))
    return photographs


def _choose_records(path: Path, needed: int, seed: int) -> list[Record]:
    records = read_records(path)
    if len(records) < needed:
        raise ValueError(
            f"{path} has {len(records)} photographs, but this design needs {needed} (shared_images + "
            f"{len(SUBJECTS)} x each subject's own): lower the largest number in sessions or runs_per_session, "
            "or raise shared_images"
        )
    order = random_generator(seed, "miniature", "records").permutation(len(records))[:needed]
    return [records[i] for i in order]


def _draw_pictures(
    photographs: list[Photograph], kinds: list[tuple[str, ...]], attributes: np.ndarray, seed: int
) -> np.ndarray:
    """Return (image, 64, 64, 3) uint8."""
    random = random_generator(seed, "miniature", "pictures")
    brick = np.empty((len(photographs), SIZE, SIZE, 3), np.uint8)
    for index, (photo, kind) in enumerate(zip(photographs, kinds, strict=True)):
        size = {"width": photo.width, "height": photo.height}
        brick[index] = render(random, photo.instances, attributes[index], **size, kinds=kind)
    return brick


def _write_pictures(root: Path, design: Design, brick: np.ndarray) -> None:
    from PIL import Image

    with atomic_path(root / layout.IMAGE_BRICK) as temporary, h5py.File(temporary, "w", libver="earliest") as file:
        file.create_dataset("imgBrick", data=brick)
    for position, id73k in enumerate(design.shared_images, start=1):
        with atomic_path(root / layout.shared_picture(position, int(id73k))) as temporary:
            Image.fromarray(brick[id73k - 1]).save(temporary)


def _write_stimulus_table(root: Path, design: Design, photographs: list[Photograph], seed: int) -> None:
    """Write the stimulus table: what was assigned to whom, and at which trials of the whole plan."""
    random = random_generator(seed, "miniature", "stimulus table")
    count = len(photographs)
    shared = np.isin(np.arange(count) + 1, design.shared_images)
    table = {
        "cocoId": [photograph.coco_id for photograph in photographs],
        "cocoSplit": [photograph.split for photograph in photographs],
        "cropBox": [_crop(random, photograph.width, photograph.height) for photograph in photographs],
        "loss": np.round(np.where(random.random(count) < 0.3, 0, random.gamma(2, 0.07, count)), 6),
        "nsdId": np.arange(count),
        "flagged": random.random(count) < 0.01,
        "BOLD5000": random.random(count) < 0.05,
        "shared1000": shared,
    }
    repeats: dict[str, np.ndarray] = {}
    # The trials of each image number, in the order of time: argsort of the plan puts equal numbers side by side.
    trials = np.argsort(design.master_ordering, kind="stable").reshape(-1, SHOWINGS) + 1
    for row in range(len(SUBJECTS)):
        seen = np.zeros((count, SHOWINGS), int)
        seen[design.subject_images[row] - 1] = trials
        table[f"subject{row + 1}"] = (seen[:, 0] > 0).astype(int)
        repeats |= {f"subject{row + 1}_rep{repeat}": seen[:, repeat] for repeat in range(SHOWINGS)}
    with atomic_path(root / layout.STIMULUS_TABLE) as temporary:
        pd.DataFrame(table | repeats).to_csv(temporary, lineterminator="\n")


def _scene_table(scenes: list[Scene]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "setting": [scene.setting for scene in scenes],
            "objects": [", ".join(f"{name} x{n}" for name, n in scene.objects.items()) or None for scene in scenes],
            "company": [scene.company or None for scene in scenes],
            "people": [scene.people for scene in scenes],
            "action": [scene.action for scene in scenes],
            "mood": [scene.mood for scene in scenes],
        }
    )


def _record_table(records: list[Record]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "objects": [", ".join(dict.fromkeys(record.categories)) or None for record in records],
            "instances": [len(record.categories) for record in records],
            "people": [record.categories.count("person") for record in records],
        }
    )


def write_experiment(
    root: str | Path,
    truth_folder: str | Path,
    word_vectors: str | Path,
    *,
    sessions: dict[str, int],
    runs_per_session: int,
    shared_images: int,
    seed: int,
    captions: Path | None,
) -> None:
    """Write the experiment's files and the truth about its images.

    Parameters
    ----------
    root
        Folder that holds NSD's tree.
    truth_folder
        Folder for what only the final check may read: ``scenes.tsv``, ``latents.nc``, ``picture_attributes.tsv``.
    word_vectors
        File of vectors of the captions' words, for models of word vectors.
    sessions
        Completed sessions of each subject that takes part; the largest number is planned for all eight.
    runs_per_session
        Runs of 63 and 62 trials in turn.
    shared_images
        Images that all subjects see.
    seed
        Seed of the study.
    captions
        Annotated photographs to use instead of drawn scenes, see ``records.read_records``.

    Raises
    ------
    ValueError
        If the plan does not come out even or the captions file is too small.
    """
    root, truth_folder = Path(root), Path(truth_folder)
    design = make_design(sessions=sessions, runs_per_session=runs_per_session, shared_images=shared_images, seed=seed)
    _, count = images_needed(sessions, runs_per_session, shared_images)
    id73k = np.arange(count) + 1
    attributes = draw_picture_attributes(random_generator(seed, "miniature", "picture attributes"), count)
    if captions is None:
        scenes = draw_scenes(random_generator(seed, "miniature", "scenes"), count)
        photographs = _draw_photographs(seed, scenes)
        blocks = latents.scene_blocks(scenes)
        kinds = [SETTINGS[scene.setting].kinds for scene in scenes]
        told = _scene_table(scenes)
    else:
        records = _choose_records(Path(captions), count, seed)
        photographs = _take_photographs(seed, records)
        blocks = latents.record_blocks([record.categories for record in records], [record.areas for record in records])
        kinds = [("outdoor",)] * count
        told = _record_table(records)

    write_mat(
        root / layout.EXPERIMENT_DESIGN,
        {
            "masterordering": design.master_ordering[None],
            "subjectim": design.subject_images,
            "sharedix": design.shared_images[None],
            "basiccnt": design.basic_count,
            "stimpattern": design.stimulus_pattern,
        },
    )
    _write_stimulus_table(root, design, photographs, seed)
    annotations.write_annotations(root, photographs, random_generator(seed, "miniature", "annotations"))
    write_word_vectors(Path(word_vectors), [said for photograph in photographs for said in photograph.captions])
    _write_pictures(root, design, _draw_pictures(photographs, kinds, attributes, seed))
    for subject in sessions:
        table = behaviour.responses(design, subject=subject, sessions=sessions, seed=seed)
        behaviour.write_responses(table, root / layout.responses(subject))

    told.insert(0, "id73k", id73k)
    write_table(told, truth_folder / "scenes.tsv")
    pictures = pd.DataFrame(attributes, columns=list(PICTURE_ATTRIBUTES))
    pictures.insert(0, "id73k", id73k)
    write_table(pictures, truth_folder / "picture_attributes.tsv")
    write_array(latents.assemble(blocks, attributes, id73k), truth_folder / "latents.nc")
