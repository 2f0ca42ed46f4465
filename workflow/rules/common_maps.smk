"""What the rules of maps and of their check share: batches and blocks of the searchlight, files of the projection, figures."""

# Which models are scored together; see capcortex.config.searchlight_batches.
SEARCHLIGHT_SETS = Path("results/searchlight/sets")
BATCH_OF = searchlight_batches(
    STUDY.config["searchlight"]["models"],
    {model for model in STUDY.models["model"] if STUDY.can_be_made(model)},
    [path.name for path in SEARCHLIGHT_SETS.glob("*")],
)


def image_set_blocks(subject):
    """Blocks of a subject's image sets; each is scored by one job."""
    return range(1, -(-STUDY.subject_row(subject)["image_sets"] // SETS_PER_JOB) + 1)


def scores_of_model(model):
    """Scores of all image sets of all subjects, in the batch to which a model belongs."""
    return [
        f"{SEARCHLIGHT_SETS}/{BATCH_OF[model]}/{subject}_block-{block:02d}.nc"
        for subject in STUDY.subject_names
        for block in image_set_blocks(subject)
    ]


def scores_of_mapped_models(wildcards):
    """The same for every mapped model in turn."""
    return [
        path
        for model in STUDY.config["searchlight"]["models"]
        for path in scores_of_model(model)
    ]


def depth_transforms(subject):
    """Where each vertex lies in the volume at three depths, left then right hemisphere."""
    return [
        nsd_file(layout.transform(subject, hemisphere, f"func1pt8-to-{depth}"))
        for hemisphere in layout.HEMISPHERES
        for depth in layout.DEPTHS
    ]


def searchlight_size(wildcards, input):
    """Image sets of a searchlight's job, images of a set, and at most how many voxels."""
    row = STUDY.subject_row(wildcards.subject)
    # The betas, nearly all of the input, hold at least the images of the image sets: an upper bound of the voxels.
    n_images = row["image_sets"] * STUDY.config["image_set_size"]
    return {
        "n_sets": min(SETS_PER_JOB, row["image_sets"]),
        "n_images": STUDY.config["image_set_size"],
        "n_voxels": int(input.size_mb * 2**20) // (4 * n_images),
    }


def searchlight_mem_mb(wildcards, input, attempt):
    return attempt * (
        SNAKEMAKE_MB
        + searchlight_memory_mb(
            **searchlight_size(wildcards, input),
            n_models=len(wildcards.batch.split("+")),
        )
    )


def searchlight_disk_mb(wildcards, input):
    """float32 of every model, image set and centre, and where the centres are."""
    size = searchlight_size(wildcards, input)
    n_values = len(wildcards.batch.split("+")) * size["n_sets"] + 10
    return 10 + 4 * n_values * size["n_voxels"] // 2**20


def searchlight_runtime(wildcards, input, attempt):
    """Minutes: 0.1 ms for each sphere and image set (docs/speed.md: 0.03); when tried again 5, as if all needed double precision."""
    size = searchlight_size(wildcards, input)
    microseconds = 100 if attempt == 1 else 5000
    return 10 + size["n_sets"] * size["n_voxels"] * microseconds // 60_000_000


def surface_maps_disk_mb(n_maps):
    """Maps on fsaverage as netCDF, and compressed as GIFTI."""
    return 10 + 8 * n_maps * n_vertices(STUDY) // 2**20


def drawn_maps_disk_mb(n_maps):
    """A page of maps: outlines of regions have lines for the edges of the mesh."""
    return 20 + 30 * n_maps * n_vertices(STUDY) // 2**20


# Of `project_searchlight`, `collect_encoding` or `predict_sentences`.
SUBJECTS_MAPS = "results/maps/{name}/subjects_space-fsaverage.nc"


def maps_of_subjects(wildcards):
    """Subjects' maps of a model, or of the two models or groups of sentences of a contrast, by searchlight or encoding."""
    return expand(SUBJECTS_MAPS, name=STUDY.maps[wildcards.map])


def figures_of_maps(kind, maps, keys):
    """Files of a kind of figure (group-map, subject-maps, encoding-agreement) of some maps or models, when they are asked for; without any the config keys that say so."""

    def files(wildcards):
        if not maps:
            raise WorkflowError(
                f"the study has no such map: see the config keys {keys}"
            )
        return expand(
            "results/figures/{kind}_{map}.{suffix}",
            kind=kind,
            map=maps,
            suffix=["pdf", "png", "tsv"],
        )

    return files


# What figures of the paper show of the study's maps.
MAPPED_FIRST = STUDY.config["searchlight"]["models"][:1]
ENCODED_FIRST = [ENCODING + model for model in STUDY.encoding_models[:1]]
ENCODED_BY_NAMES = [
    name for name, maps in STUDY.maps.items() if f"{ENCODING}category-words" in maps
]
ENCODING_KEYS = "encoding: models, shared_image_sets and roi_space"
CONTRAST_KEYS = "searchlight: contrasts and encoding: contrasts"
PREDICTED = [name for name in STUDY.maps if name.startswith(SENTENCES_OF)]
SENTENCE_KEYS = (
    f"encoding: sentences, encoding: sentence_contrasts and {ENCODING_KEYS}; one of the encoding models needs the builder "
    "sentence"
)


def of_every_subject_on_fsaverage(files):
    """Files of the regions of all subjects in turn; `files` gives those of one."""
    return [
        path
        for subject in STUDY.subject_names
        for path in files(SimpleNamespace(subject=subject, space="fsaverage"))
    ]


def encoding_disk_mb(wildcards):
    """int16 of every coefficient, and a few numbers of every vertex."""
    return 10 + (20 + 2 * FEATURES) * n_vertices(STUDY) // 2**20


def outlined_regions():
    """Labels, and file of their names, of the regions that maps outline."""
    atlas, anyone = STUDY.outlined_atlas, STUDY.subject_names[0]
    return STUDY.label_files(atlas, anyone, "fsaverage"), STUDY.names_file(
        atlas, anyone
    )


def map_quantity(wildcards):
    """What a subject's map holds, for the colour bar."""
    if wildcards.map.startswith(SENTENCES_OF):
        return "difference of predicted responses (sd of a session's trials)"
    one, difference = (
        (
            "r of predicted and measured responses",
            "difference of r of predicted and measured responses",
        )
        if wildcards.map.startswith(ENCODING)
        else (
            "RDM correlation (Pearson r)",
            "difference of RDM correlations (Pearson r)",
        )
    )
    return difference if wildcards.map in STUDY.contrast_maps else one
