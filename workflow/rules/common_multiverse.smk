"""What the rules of the multiverse share: its levels, the files that a job of it reads, and what the job takes."""

MULTIVERSE = STUDY.multiverse
# Levels that one job computes; each space, whose betas are other files, has jobs of its own.
MULTIVERSE_AXES = (
    {axis: levels for axis, levels in MULTIVERSE.axes.items() if axis != "space"}
    if MULTIVERSE
    else {}
)


def require_multiverse():
    """Stop with the config keys that say so if a study without multiverse is asked for it."""
    if MULTIVERSE is None:
        raise WorkflowError(
            "the study has no multiverse: see the config keys multiverse, models, rois and brain_distance"
        )


def multiverse_atlases():
    """Atlases with regions in the multiverse, then those that vertices or voxels must lie in too."""
    rois = list(MULTIVERSE.rois) if MULTIVERSE else []
    return rois, [atlas for atlas in MULTIVERSE_AXES.get("within", []) if atlas]


def multiverse_labels(wildcards):
    """Label files of the atlases with regions, as of roi_labels."""
    require_multiverse()
    return [
        path
        for atlas in multiverse_atlases()[0]
        for path in STUDY.label_files(atlas, wildcards.subject, wildcards.space)
    ]


def multiverse_within(wildcards):
    """The same of the atlases that vertices or voxels must lie in too."""
    return [
        path
        for atlas in multiverse_atlases()[1]
        for path in STUDY.label_files(atlas, wildcards.subject, wildcards.space)
    ]


def multiverse_names(wildcards):
    """Files with the names of the regions of each atlas."""
    return [
        STUDY.names_file(atlas, wildcards.subject) for atlas in multiverse_atlases()[0]
    ]


def multiverse_native(wildcards):
    """Atlases whose labels must be brought from native surfaces to fsaverage."""
    rois, within = multiverse_atlases()
    return [
        atlas
        for atlas in dict.fromkeys([*rois, *within])
        if wildcards.space == "fsaverage" and STUDY.on_native_surface(atlas)
    ]


def multiverse_indices(wildcards):
    """Which native vertex is nearest to each vertex of fsaverage, where labels are on native surfaces."""
    return white_to_fsaverage(wildcards.subject) if multiverse_native(wildcards) else []


def multiverse_raw(wildcards):
    """Raw sessions of the versions of betas that the study has no averages of, one version after another."""
    files = []
    for version in MULTIVERSE.raw_versions if MULTIVERSE else []:
        for session in STUDY.sessions(wildcards.subject):
            of_session = (wildcards.subject, version, session)
            if wildcards.space == "func1pt8mm":
                suffix = STUDY.config["volume_betas"]
                files.append(layout.volume_betas(*of_session, suffix=suffix))
            else:
                key = layout.native_betas if NATIVE_SURFACE else layout.surface_betas
                files += [
                    key(*of_session, hemisphere) for hemisphere in layout.HEMISPHERES
                ]
    return [nsd_file(key) for key in files]


def multiverse_raw_indices(wildcards):
    """Which native vertex is nearest to each vertex of fsaverage, where raw betas are on native surfaces."""
    native = NATIVE_SURFACE and wildcards.space == "fsaverage"
    return white_to_fsaverage(wildcards.subject) if native else []


def multiverse_files_nobody_makes():
    """Files that the multiverse reads and no rule makes, with the place where each is named."""
    files = {}
    for space in MULTIVERSE.axes["space"] if MULTIVERSE else []:
        for subject in STUDY.subject_names:
            here = SimpleNamespace(subject=subject, space=space)
            sources = (multiverse_labels, multiverse_within, multiverse_names)
            for path in (path for source in sources for path in source(here)):
                if not path.startswith(f"{STUDY.nsd_root}/"):
                    files[path] = "config keys multiverse and atlases_table"
                elif STUDY.config["source"] == "local":
                    files[path] = OWN_COPY
            if STUDY.config["source"] == "local":
                sources = (multiverse_indices, multiverse_raw, roi_mask, roi_ncsnr)
                paths = [path for source in sources for path in source(here)]
                files |= dict.fromkeys(paths, OWN_COPY)
    return files


try:
    require_files(multiverse_files_nobody_makes(), STUDY)
except FileNotFoundError as error:
    raise WorkflowError(str(error)) from None


def universes_mem_mb(wildcards, input, attempt):
    """Regions, models, and a raw session where any is read."""
    n_trials_of_session = trials_per_session(wildcards)
    if not MULTIVERSE.raw_versions:
        reading = 0
    elif wildcards.space == "func1pt8mm":
        reading = volume_extraction_memory_mb(
            n_trials_of_session,
            max(map(os.path.getsize, input.raw)) / 2**20,
            STUDY.config["volume_betas"],
        )
    else:
        extraction = (
            native_extraction_memory_mb
            if NATIVE_SURFACE
            else surface_extraction_memory_mb
        )
        reading = extraction(n_trials_of_session)
    return attempt * (
        SNAKEMAKE_MB
        + reading
        + universes_memory_mb(
            os.path.getsize(input.betas),
            max(map(os.path.getsize, input.features)) / 2**20,
            n_images=n_trials(wildcards) // 3,
            models_mb=len(input.features)
            * len(MULTIVERSE_AXES["draw"])
            * rdms_mb(
                STUDY.subject_row(wildcards.subject)["image_sets"],
                STUDY.config["image_set_size"],
            ),
            n_rois=MULTIVERSE.n_rois,
            n_raw=MULTIVERSE.n_raw,
        )
    )


def universes_runtime(wildcards, input, attempt):
    """Minutes, twice those expected."""
    n_units = os.path.getsize(input.betas) // (4 * (n_trials(wildcards) // 3))
    seconds = universes_seconds(STUDY, wildcards.subject, n_units)
    return attempt * (10 + int(2 * seconds / 60 + input.size_mb / 500))


def scores_of_universes(wildcards):
    """Scores of all subjects in all spaces of the multiverse."""
    require_multiverse()
    return expand(
        every_subject(rules.compute_universes.output.scores),
        space=MULTIVERSE.axes["space"],
    )


def files_of_multiverse(wildcards):
    """Files of the multiverse, when they are asked for."""
    require_multiverse()
    return [
        "results/tables/multiverse.tsv",
        "results/tables/multiverse_axes.tsv",
        *expand("results/figures/multiverse.{suffix}", suffix=["pdf", "png", "tsv"]),
    ]
