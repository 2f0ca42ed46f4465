"""Maps of the cortex: searchlight RSA in each subject's volume, projected to fsaverage, tested over subjects.

Needs: results/betas in func1pt8mm, results/rdms/models, brainmask, transforms. Makes: results/searchlight, results/maps.
"""

# Image sets that one job scores: the betas of 10 sets of 100 images in 220,000 voxels take 0.9 GB.
SETS_PER_JOB = 10

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


def vertex_indices(subject):
    """Which native vertex each vertex of fsaverage shows, left and right hemisphere."""
    return [
        nsd_file(layout.transform(subject, hemisphere, "white-to-fsaverage"))
        for hemisphere in layout.HEMISPHERES
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
    return attempt * searchlight_memory_mb(
        **searchlight_size(wildcards, input),
        n_models=len(wildcards.batch.split("+")),
    )


def searchlight_runtime(wildcards, input, attempt):
    """Minutes: 2 ms for each sphere and image set, measured with 100 images and a radius of 6 voxels."""
    size = searchlight_size(wildcards, input)
    return attempt * (10 + size["n_sets"] * size["n_voxels"] * 2 // 60_000)


rule score_searchlight:
    """Correlate the RDM of the sphere around every voxel with the RDMs of a batch of models."""
    input:
        betas="results/betas/{subject}_space-func1pt8mm.nc",
        mask=brain_mask,
        image_sets=rules.draw_image_sets.output.image_sets,
        models=lambda wildcards: expand(
            rules.compute_model_rdm.output.rdm, model=wildcards.batch.split("+")
        ),
        # Nothing is compared with brains as long as captions and objects do not fit together.
        # Its time does not matter: a sentinel made anew changes no score, and these are costly.
        sentinel=ancient(rules.check_sentinel.output.sentinel),
    output:
        scores=f"{SEARCHLIGHT_SETS}/{{batch}}/{{subject}}_block-{{block}}.nc",
    log:
        "logs/score_searchlight/{batch}/{subject}_block-{block}.log",
    benchmark:
        "benchmarks/score_searchlight/{batch}/{subject}_block-{block}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=searchlight_mem_mb,
        runtime=searchlight_runtime,
        disk_mb=lambda wildcards, input: 10 + int(0.1 * input.size_mb),
    params:
        models=lambda wildcards: wildcards.batch.split("+"),
        sets_per_job=SETS_PER_JOB,
        radius=STUDY.config["searchlight"]["radius"],
        least_share=STUDY.config["searchlight"]["least_share"],
        distance=STUDY.config["brain_distance"],
        code=script_digest("score_searchlight.py"),
        provenance="results/provenance",
    message:
        "Searchlight of {wildcards.subject}, block {wildcards.block} of its image sets: {params.models}"
    script:
        "../../scripts/score_searchlight.py"


rule average_searchlight:
    """Average a model's scores over image sets, for every subject."""
    input:
        scores=lambda wildcards: scores_of_model(wildcards.model),
        masks=[
            nsd_file(layout.volume_file(subject, "brainmask"))
            for subject in STUDY.subject_names
        ],
    output:
        r=every_subject("results/maps/{{model}}/{subject}_space-func1pt8mm_r.nii.gz"),
        sd=every_subject("results/maps/{{model}}/{subject}_space-func1pt8mm_sd.nii.gz"),
        size=every_subject(
            "results/maps/{{model}}/{subject}_space-func1pt8mm_size.nii.gz"
        ),
    log:
        "logs/average_searchlight/{model}.log",
    benchmark:
        "benchmarks/average_searchlight/{model}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        # One subject at a time: its scores of all models of a batch, three copies of one model's.
        mem_mb=lambda wildcards, input, attempt: attempt
        * (500 + int(2 * input.size_mb / len(STUDY.subject_names))),
        runtime=lambda wildcards, attempt: attempt * 20,
        disk_mb=lambda wildcards, input: 20 + 15 * len(STUDY.subject_names),
    params:
        model=lambda wildcards: wildcards.model,
        subjects=STUDY.subject_names,
        n_blocks=[len(image_set_blocks(subject)) for subject in STUDY.subject_names],
        code=script_digest("average_searchlight.py"),
        provenance="results/provenance",
    message:
        "Averaging the searchlight maps of model {wildcards.model}"
    script:
        "../../scripts/average_searchlight.py"


rule project_searchlight:
    """Bring a model's maps from every subject's volume to fsaverage."""
    input:
        maps=rules.average_searchlight.output.r,
        depths=[
            path
            for subject in STUDY.subject_names
            for path in depth_transforms(subject)
        ],
        indices=[
            path for subject in STUDY.subject_names for path in vertex_indices(subject)
        ],
    output:
        maps="results/maps/{model}/subjects_space-fsaverage.nc",
        gifti=[
            f"results/maps/{{model}}/{hemisphere}.subjects_space-fsaverage.func.gii"
            for hemisphere in layout.HEMISPHERES
        ],
    log:
        "logs/project_searchlight/{model}.log",
    benchmark:
        "benchmarks/project_searchlight/{model}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=20,
        disk_mb=50,
    params:
        subjects=STUDY.subject_names,
        projection=STUDY.config["projection"],
        code=script_digest("project_searchlight.py"),
        provenance="results/provenance",
    message:
        "Projecting the maps of model {wildcards.model} to fsaverage"
    script:
        "../../scripts/project_searchlight.py"


def maps_of_subjects(wildcards):
    """Subjects' maps of a model, or of the two models of a contrast."""
    return expand(
        rules.project_searchlight.output.maps, model=STUDY.maps[wildcards.map]
    )


rule compute_group_map:
    """Mean over subjects of a map or a contrast of two, with its tests at every vertex."""
    input:
        maps=maps_of_subjects,
    output:
        group="results/maps/{map}/group_space-fsaverage.nc",
        gifti=[
            f"results/maps/{{map}}/{hemisphere}.group_space-fsaverage.func.gii"
            for hemisphere in layout.HEMISPHERES
        ],
    log:
        "logs/compute_group_map/{map}.log",
    benchmark:
        "benchmarks/compute_group_map/{map}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * (600 + int(20 * input.size_mb)),
        runtime=20,
        disk_mb=50,
    params:
        code=script_digest("compute_group_map.py"),
        provenance="results/provenance",
    message:
        "Group map of {wildcards.map}"
    script:
        "../../scripts/compute_group_map.py"


def outlined_regions():
    """Labels, and file of their names, of the regions that maps outline."""
    atlas, anyone = STUDY.outlined_atlas, STUDY.subject_names[0]
    return STUDY.label_files(atlas, anyone, "fsaverage"), STUDY.names_file(
        atlas, anyone
    )


def map_quantity(wildcards):
    """What a subject's map holds, for the colour bar."""
    if len(STUDY.maps[wildcards.map]) == 2:
        return "difference of RDM correlations (Pearson r)"
    return "RDM correlation (Pearson r)"


rule plot_group_map:
    """Group map on inflated and flat hemispheres: all of it, and what is significant."""
    input:
        group=rules.compute_group_map.output.group,
        labels=outlined_regions()[0],
        names=outlined_regions()[1],
        surfaces=fsaverage_surfaces(),
    output:
        pdf=report(
            "results/figures/group-map_{map}.pdf",
            caption="../report/group-map.rst",
            category="Maps of the cortex",
            subcategory="{map}",
            labels={"figure": "Group map", "format": "PDF"},
        ),
        png=report(
            "results/figures/group-map_{map}.png",
            caption="../report/group-map.rst",
            category="Maps of the cortex",
            subcategory="{map}",
            labels={"figure": "Group map", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/group-map_{map}.tsv",
            caption="../report/group-map.rst",
            category="Maps of the cortex",
            subcategory="{map}",
            labels={"figure": "Group map", "format": "numbers"},
        ),
    log:
        "logs/plot_group_map/{map}.log",
    benchmark:
        "benchmarks/plot_group_map/{map}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
        disk_mb=20,
    params:
        title=lambda wildcards: STUDY.map_label(wildcards.map),
        quantity=map_quantity,
        atlas=STUDY.outlined_atlas,
        rois=STUDY.config["rois"].get(STUDY.outlined_atlas),
        false_discovery_rate=STUDY.config["false_discovery_rate"],
        source=STUDY.config["source"],
        code=script_digest("plot_group_map.py"),
        provenance="results/provenance",
    message:
        "Figure: group map of {wildcards.map}"
    script:
        "../../scripts/plot_group_map.py"


rule plot_subject_maps:
    """Map of every subject on inflated and flat hemispheres."""
    input:
        maps=maps_of_subjects,
        group=rules.compute_group_map.output.group,
        labels=outlined_regions()[0],
        names=outlined_regions()[1],
        surfaces=fsaverage_surfaces(),
    output:
        pdf=report(
            "results/figures/subject-maps_{map}.pdf",
            caption="../report/subject-maps.rst",
            category="Maps of the cortex",
            subcategory="{map}",
            labels={"figure": "Maps of subjects", "format": "PDF"},
        ),
        png=report(
            "results/figures/subject-maps_{map}.png",
            caption="../report/subject-maps.rst",
            category="Maps of the cortex",
            subcategory="{map}",
            labels={"figure": "Maps of subjects", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/subject-maps_{map}.tsv",
            caption="../report/subject-maps.rst",
            category="Maps of the cortex",
            subcategory="{map}",
            labels={"figure": "Maps of subjects", "format": "numbers"},
        ),
    log:
        "logs/plot_subject_maps/{map}.log",
    benchmark:
        "benchmarks/plot_subject_maps/{map}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=20,
        disk_mb=20,
    params:
        title=lambda wildcards: STUDY.map_label(wildcards.map),
        quantity=map_quantity,
        atlas=STUDY.outlined_atlas,
        rois=STUDY.config["rois"].get(STUDY.outlined_atlas),
        source=STUDY.config["source"],
        code=script_digest("plot_subject_maps.py"),
        provenance="results/provenance",
    message:
        "Figure: maps of subjects of {wildcards.map}"
    script:
        "../../scripts/plot_subject_maps.py"
