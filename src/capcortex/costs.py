"""What jobs cost: memory that rules ask for, seconds that jobs take, how many work at once; for rules and the plan alike.

Formulas that belong to one function stand beside it (``searchlight_memory_mb`` and others); here are those of whole jobs.
Rates were measured on one core of an AMD EPYC with AVX-512, files in the page cache, BLAS with one thread.
"""

from capcortex.nsd.betas import UNIT_BLOCK
from capcortex.rsa.crossnobis import crossnobis_memory_mb

RAW_SESSIONS = 5
"""Raw betas of so many sessions of a subject and space lie on the disk at once: the fetch of a session waits for the extraction
of the one so many before. On a cluster at most so many are extracted by one job. More would not fit on a disk of 300 GB, fewer
would be jobs of seconds. No key of the config: another number would be another list of inputs, and all betas fetched anew."""

AVERAGED_AT_ONCE = 2
"""Averaging jobs at once: they write beside the sessions that they replace, and more of them at a time can fill the disk."""

DOWNLOADS_AT_ONCE = 3
"""Files fetched at once, each over several connections."""

LIMITS = {"averaging": AVERAGED_AT_ONCE, "downloads": DOWNLOADS_AT_ONCE}
"""Limits of the graph, by the name of the resource that rules ask for."""

GROUPS = {
    "design": ("check_design", "tabulate_trials", "draw_image_sets", "draw_shared_image_sets"),
    "extraction": ("extract_surface_session", "extract_volume_session"),
    "models": ("build_model", "compute_model_rdm", "check_sentinel"),
    "tables": (
        "tabulate_data_quality",
        "tabulate_models",
        "bootstrap_rois",
        "compare_roi_rdms",
        "estimate_roi_ceilings",
        "tabulate_ceilings",
        "tabulate_roi_rsa",
        "tabulate_all_pairs",
        "tabulate_permutations",
        "compare_models",
        "tabulate_released_statistics",
        "tabulate_encoding",
        "tabulate_multiverse",
        "tabulate_decoding",
        "plot_decoding",
        "plot_roi_rsa",
        "plot_model_comparisons",
        "plot_pairwise",
        "plot_rdms",
        "plot_captions",
        "plot_caption_statistics",
        "plot_caption_tsne",
        "plot_data_quality",
        "plot_multiverse",
    ),
    "maps": (
        "average_searchlight",
        "project_searchlight",
        "collect_encoding",
        "embed_sentences",
        "predict_sentences",
        "plot_encoding_agreement",
        "compute_group_map",
        "plot_group_map",
        "plot_subject_maps",
        # What takes maps and tables together: no table waits for these.
        "check_truth",
        "score_claims",
        "plot_scorecard",
    ),
    "calibration": ("tabulate_calibration", "plot_calibration"),
}
"""Rules whose jobs take seconds: on a cluster all of a group are one job, but for extraction, of which blocks of a subject's
sessions are one (`extraction_block`). No job of a group needs what needs another job of the group outside of it."""

GROUP_OF = {rule: group for group, rules in GROUPS.items() for rule in rules}

EMBEDDING_CORES = 4
"""Cores of a job of a cluster that embeds captions by a sentence encoder (``set-threads`` in profiles/slurm/profile.yaml)."""

SETS_PER_JOB = 10
"""Image sets that one searchlight job scores: the betas of 10 sets of 100 images in 220,000 voxels take 0.9 GB."""

SNAKEMAKE_MB = 450
"""In a job of a cluster two processes of Snakemake stand beside the script, and rules ask for them too: each has 150 to 160 MB of
its own and 90 MB of libraries, which control groups count once. Where SLURM adds up processes instead, one that starts another
counts twice for a moment: 2 x 240 MB, before the script is there."""

FETCHING_MB = 500
"""What a rule that fetches asks for, with Snakemake: 50 MB were measured for any size of file (docs/speed.md)."""

FEATURES = 768
"""Widest features of the encoders that the study comes with, and of random numbers."""

CAPTIONS_OF_IMAGE = 5
"""Captions of an image in COCO; a few images have more."""

WORDS_OF_CAPTION = 11
"""Words of a caption in COCO, 10.5 on average."""

JOB_SECONDS = 2.0
"""Every job, whatever it does: Python starts, libraries are imported, inputs are compared with their records (tests' study:
0.5 s in the script, the rest before it)."""

FIGURE_SECONDS = 4.0
"""A table or a figure: the tests' study took 0.4 to 4.2 s."""

LAYOUT_SECONDS = 10.0
"""t-SNE of 2,000 images, the most that are laid out: 1,775 took 7 s on one core."""

SURFACE_VALUE_SECONDS = 15.5e-9
"""A vertex of fsaverage in a trial: 3.8 s for 327,684 vertices and 750 trials from native surfaces, 3.4 s from mgh."""

VOLUME_VALUE_SECONDS = {"nii.gz": 4e-9, "hdf5": 7e-9}
"""A voxel of the whole volume in a trial, brain or not: 2.1 s (hdf5: 3.7 s) for 81 x 104 x 83 voxels and 750 trials."""

AVERAGING_VALUE_SECONDS = 34e-9
"""A unit in a trial: 8.4 s for 8,192 units, 40 sessions of 750 trials and 10,000 images."""

REGION_BYTES_PER_SECOND = 0.66e9
"""Averages in their chunks, of which a region keeps some: 0.8 GB in 1.2 s. The vertices of a region lie in nearly all chunks."""

PAIR_SECONDS = 0.29e-9
"""A unit or feature of a pair of images: a correlation RDM of 100 images and 20,000 units takes 29 ms."""

CROSSNOBIS_SECONDS = 5.0
"""An image set in a region: half of what the rule asks for; not measured at full size."""

LARGEST_REGION, USUAL_REGION = 0.12, 0.05
"""Shares of all vertices: nsdgeneral has 37,984 of fsaverage's 327,684, the largest region of NSD; ventral of streams 11,168."""

UNIVERSE_PAIR_SECONDS = 0.5e-9
"""A unit of a pair of images in a universe: 0.3e-9 for correlation and cosine, 0.7e-9 for euclidean distances (7,000 units)."""

ALL_PAIRS_SECONDS = 25e-12
"""A unit or feature of a pair of images when all pairs of a subject are compared (docs/speed.md)."""

SPHERE_SECONDS = 32e-6
"""A sphere of radius 6 and an image set of 100 images, three models (docs/speed.md)."""

COMPILING_SECONDS = 4.0
"""A searchlight job compiles its code first (docs/speed.md)."""

ANNOTATION_BYTES_PER_SECOND = 15e6
"""COCO's JSON files are read and tabulated: an estimate, not measured at full size."""

SHIFTED_SET_SECONDS = 1e-3
"""An image set of 100 images under one of the sentinel's shifts, features of 768 numbers."""

ENCODED_VERTEX_SECONDS = 1.8e-3
"""A vertex of a subject: 9,485 images, 768 features, 20 fractions and 5 folds (docs/speed.md), with reading."""

AGREEING_VERTEX_SECONDS = 0.4e-3
"""A vertex of one subject, whose averages are read and whose shared images are correlated: 10,000 images of 4,096 vertices take
0.3 s to read; an estimate, not measured at full size."""
DECODED_CUBE_SECONDS = 1.5e-9
"""A cube of the number of a subject's images: products of images are decomposed six times; 100,000 vertices and 1000
dimensions with it (docs/speed.md)."""

COMPARED_SENTENCE_SECONDS = 40e-6
"""A sentence of a dictionary: 768 dimensions, 515 predictions (docs/speed.md)."""

DICTIONARY_SENTENCE_SECONDS = 100e-6
"""A sentence of a dictionary is found in the cache, and its vector is written: an estimate, not measured at full size."""

PROJECTED_VERTEX_SECONDS = 5e-6
"""A vertex of one subject's map, sampled at three depths."""

DRAWN_VERTEX_SECONDS = 30e-6
"""A vertex of one map, on six views of the cortex."""

TAGGED_CAPTION_SECONDS = 1e-3
"""A caption is split and tagged: 1,190 a second on one core, captions of COCO."""

WORD_SECONDS = 2e-6
"""A word of a caption is looked up and averaged: an estimate, not measured at full size."""

VECTORS_MB_PER_SECOND = 50
"""A file of word vectors is read line by line: an estimate, not measured at full size."""

OWN_FILE_MB_PER_SECOND = 20
"""A user's own file of features or dissimilarities is read: an estimate for a table of text, the slowest of its forms."""

SENTENCE_SECONDS = {"all-MiniLM-L6-v2": 2 / 450, "all-mpnet-base-v2": 2 / 79}
"""Core seconds of a sentence: 450 and 79 a second on two cores."""


def extraction_block(session: int, n_sessions: int) -> int:
    """Return the number, from 1, of the block of a subject's sessions that one job of a cluster extracts in both spaces.

    Blocks are of about the same size, at most ``RAW_SESSIONS``, and follow each other: a session whose raw betas are fetched
    when another is extracted is never in that one's block.
    """
    n_blocks = -(-n_sessions // RAW_SESSIONS)
    return (session - 1) * n_blocks // n_sessions + 1


def comparison_seconds(measure: str, image_set_size: int) -> float:
    """Seconds for one comparison of two RDMs among many resampled ones; measured at 100 images, the slowest case."""
    return {"pearson": 2e-5, "tau-a": 6e-3}.get(measure, 2e-3) * (image_set_size / 100) ** 2


def universe_comparison_seconds(measure: str, image_set_size: int) -> float:
    """Seconds for one comparison of two RDMs by itself, in which both are ranked or whitened anew."""
    return (0.2e-3 if measure == "pearson" else 2e-3) * (image_set_size / 100) ** 2


def sphere_seconds(radius: float, n_images: int) -> float:
    """Seconds for a sphere and an image set: outer products of the voxels that enter and leave, one row of each line of them."""
    return SPHERE_SECONDS * (radius / 6) ** 2 * (n_images / 100) ** 2


def captions_memory_mb(annotations_mb: float) -> int:
    """Memory of `prepare_captions`: json.load needs about seven times the file's size; the largest file is most of the input."""
    return 200 + int(7 * annotations_mb)


def features_mb(n_images: int, n_features: int = FEATURES) -> float:
    """Size of a model's features, float32."""
    return n_images * n_features * 4 / 2**20


def captions_mb(n_images: int) -> float:
    """Size of the table of captions in memory."""
    return CAPTIONS_OF_IMAGE * n_images * 300 / 2**20


def words_mb(n_images: int) -> float:
    """Size of the words of all captions as lists, and as arrays while they are counted."""
    return CAPTIONS_OF_IMAGE * WORDS_OF_CAPTION * n_images * 120 / 2**20


def tagging_memory_mb(n_images: int) -> int:
    """Memory of `tag_captions`: a tagger at work, and the tables of captions and tags."""
    return 500 + int(3 * captions_mb(n_images))


def embedding_memory_mb(n_images: int) -> int:
    """Memory of `embed_model`: captions, torch with weights of up to 0.5 GB at work, and the vectors of all sentences, twice.

    Words that are encoded alone take less: there are fewer different ones.
    """
    return 1300 + int(captions_mb(n_images) + 2 * features_mb(CAPTIONS_OF_IMAGE * n_images))


def building_memory_mb(n_images: int, own_file_mb: float, words_mb: float = 0.0) -> int:
    """Memory of `build_model`: captions, features and a copy; the user's own file as read, cast and checked; captions' words."""
    return 200 + int(captions_mb(n_images) + 1.5 * features_mb(n_images) + 4 * own_file_mb + words_mb)


def rdms_mb(n_sets: int, image_set_size: int) -> float:
    """Size of the RDMs of one model or region: at most float64 of all pairs, twice."""
    return n_sets * image_set_size**2 * 8 / 2**20


def ceilings_mb(shared_image_sets: int, image_set_size: int, n_shared: int) -> float:
    """Size of what ceilings need of a region: RDMs of three repeats on the shared sets, and of all shared images."""
    return (3 * shared_image_sets * image_set_size**2 + n_shared**2) * (2 / 2**20)


def model_rdm_memory_mb(model_mb: float, n_sets: int, image_set_size: int) -> int:
    """Memory of `compute_model_rdm`: the model's features or matrix while they are read, and the RDMs of all sets as squares."""
    return 200 + int(1.5 * model_mb + 3 * rdms_mb(n_sets, image_set_size))


def sentinel_memory_mb(n_images: int, n_sets: int, image_set_size: int) -> int:
    """Memory of `check_sentinel`: features of two models, RDMs of one of them."""
    return 200 + int(2 * features_mb(n_images) + rdms_mb(n_sets, image_set_size))


def design_memory_mb(n_trials: int, n_images: int = 0) -> int:
    """Memory of `check_design` and what follows it: tables of trials, and of all images where they are compared."""
    return 150 + (300 * n_trials + 500 * n_images) // 2**20


def comparison_memory_mb(rdms_mb: float) -> int:
    """Memory of `compare_roi_rdms`: RDMs of all regions and subjects and of one model, and a copy."""
    return 200 + int(2 * rdms_mb)


def bootstrap_memory_mb(rdms_mb: float) -> int:
    """Memory of `bootstrap_rois`: RDMs of all regions, subjects and models, and a copy."""
    return 400 + int(2 * rdms_mb)


def permutation_memory_mb(rdms_mb: float) -> int:
    """Memory of `permute_images`: RDMs of all regions and subjects and of one model, and a copy."""
    return 400 + int(2 * rdms_mb)


def estimation_memory_mb(rdms_mb: float) -> int:
    """Memory of `estimate_roi_ceilings`: what it needs of all regions, subjects and models, and a copy."""
    return 250 + int(2 * rdms_mb)


def table_memory_mb(n_rows: int) -> int:
    """Memory of a job that reads tables of so many rows in all and makes a smaller one: 0.4 KB a row were measured."""
    return 250 + n_rows // 1000


def figure_memory_mb(drawn_mb: float) -> int:
    """Memory of a figure: matplotlib, fonts and the pages, and what is drawn with two copies."""
    return 350 + int(3 * drawn_mb)


def quality_memory_mb(n_subjects: int) -> int:
    """Memory of `tabulate_data_quality`: of the betas the first image, and of a subject some maps of 0.8 million voxels."""
    return 250 + 20 * n_subjects


def averaged_map_memory_mb(n_sets: int, n_voxels: int) -> int:
    """Memory of `average_searchlight`: a model's scores of one subject, and what their mean and spread take."""
    return 200 + 3 * 4 * n_sets * n_voxels // 2**20


def projection_memory_mb(n_subjects: int, n_vertices: int, n_voxels: int) -> int:
    """Memory of `project_searchlight`: places and weights of the vertices of one subject, and the maps of all."""
    return 150 + (n_vertices * (400 + 16 * n_subjects) + 24 * n_voxels) // 2**20


def agreement_memory_mb(n_subjects: int, n_images: int, n_shared: int, n_units_in_block: int, n_vertices: int) -> int:
    """Memory of `estimate_agreement`: a block of one subject's averages, the shared images of all six times, the results."""
    block = 4 * n_units_in_block * (n_images + 6 * n_subjects * n_shared)
    return 250 + (block + 2 * 3 * 8 * n_subjects * n_vertices) // 2**20


def sentence_maps_memory_mb(n_subjects: int, n_vertices: int, n_groups: int) -> int:
    """Memory of `predict_sentences`: coefficients of a block of vertices, and the maps of all groups and subjects, twice."""
    return 350 + n_vertices * 8 * n_subjects * n_groups // 2**20


def group_map_memory_mb(n_subjects: int, n_vertices: int) -> int:
    """Memory of `compute_group_map`: eight float64 copies of the maps of all subjects."""
    return 250 + 8 * 8 * n_subjects * n_vertices // 2**20


def drawn_maps_memory_mb(n_subjects: int, n_vertices: int) -> int:
    """Memory of `plot_group_map` and `plot_subject_maps`: views of the cortex, and the maps of all subjects."""
    return 400 + n_vertices * (1000 + 16 * n_subjects) // 2**20


def made_experiment_memory_mb(n_images: int) -> int:
    """Memory of `make_miniature_experiment`: pictures of 64 x 64 pixels, twice, captions and objects."""
    return 200 + 30 * n_images // 1000


def made_brain_memory_mb(n_trials: int, n_vertices: int) -> int:
    """Memory of `make_miniature_brain`: betas of all sessions on the surface, with two copies."""
    return 250 + 3 * 4 * n_trials * n_vertices // 2**20


def check_memory_mb(n_subjects: int, n_rows: int, scores_mb: float) -> int:
    """Memory of `check_truth`: planted brains of the miniature, tables of scores, scores of maps with two copies."""
    return 300 + 40 * n_subjects + n_rows // 1000 + int(3 * scores_mb)


def roi_rdm_memory_mb(
    averages_bytes: int, repeats_bytes: int, *, n_images: int, distance: str, image_set_size: int
) -> int:
    """Memory of `compute_roi_rdm`: one region at a time, the largest taken as a quarter of all units.

    Its averages, once more without unreliable units, and a block of units for all images; then its repeats in single precision,
    twice the size of their file, and such a block, or crossnobis.
    """
    block = n_images * UNIT_BLOCK * 8 // 2**20
    single = int(0.5 * repeats_bytes / 2**20) + block
    if distance == "crossnobis":
        n_units = averages_bytes // (4 * n_images) // 4
        single = crossnobis_memory_mb(n_images, n_units, image_set_size)
    return 200 + max(int(0.5 * averages_bytes / 2**20) + block, single)


def universes_memory_mb(
    averages_bytes: int, features_mb: float, *, n_images: int, models_mb: float, n_rois: int, n_raw: int
) -> int:
    """Memory of `compute_universes`: a model's features with a copy, or regions; and RDMs of the models.

    Of a region its averages, once more those that a universe keeps, and a block for all images. Where ``n_raw`` averages are made
    of raw sessions, all regions at once: sums, counts, and a copy of one sum. What reading a session takes is not in it.
    """
    averages_mb = averages_bytes / 2**20
    of_regions = max(LARGEST_REGION, min(1.0, USUAL_REGION * n_rois))
    shares = 2 * LARGEST_REGION + n_raw * of_regions
    if n_raw:
        shares = max(shares, (n_raw + 1.5) * of_regions)
    region = shares * averages_mb + n_images * UNIT_BLOCK * 8 // 2**20
    return 200 + int(max(region, 1.5 * features_mb) + models_mb)
