"""Maps of the cortex: searchlight RSA in each subject's volume, projected to fsaverage; tests of all maps over subjects.

Needs: results/betas, results/models/features, results/design/image_sets, brainmask, transforms. Makes: results/searchlight, results/maps.
"""


rule score_searchlight:
    """Correlate the RDM of the sphere around every voxel with the RDMs of a batch of models."""
    input:
        betas="results/betas/{subject}_space-func1pt8mm.nc",
        mask=brain_mask,
        image_sets=rules.draw_image_sets.output.image_sets,
        # Features, not RDMs: these are of the image sets of all subjects, and scores are costly.
        features=lambda wildcards: expand(
            MODEL_FEATURES, model=wildcards.batch.split("+")
        ),
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
        disk_mb=searchlight_disk_mb,
    params:
        models=lambda wildcards: wildcards.batch.split("+"),
        model_distances=lambda wildcards: [
            STUDY.model_row(model)["distance"] for model in wildcards.batch.split("+")
        ],
        sets_per_job=SETS_PER_JOB,
        radius=STUDY.config["searchlight"]["radius"],
        least_share=STUDY.config["searchlight"]["least_share"],
        distance=STUDY.config["searchlight"]["distance"],
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
        # No map of a brain is made as long as captions and objects do not fit together. The scores above do not wait: a sentinel
        # made anew changes none of them.
        sentinel=rules.check_sentinel.output.sentinel,
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
    group:
        GROUP_OF["average_searchlight"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("average_searchlight"),
        runtime=minutes_of("average_searchlight"),
        disk_mb=20 + 15 * len(STUDY.subject_names),
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
            path
            for subject in STUDY.subject_names
            for path in white_to_fsaverage(subject)
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
    group:
        GROUP_OF["project_searchlight"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("project_searchlight"),
        runtime=minutes_of("project_searchlight"),
        disk_mb=surface_maps_disk_mb(len(STUDY.subject_names)),
    params:
        subjects=STUDY.subject_names,
        projection=STUDY.config["projection"],
        code=script_digest("project_searchlight.py"),
        provenance="results/provenance",
    message:
        "Projecting the maps of model {wildcards.model} to fsaverage"
    script:
        "../../scripts/project_searchlight.py"


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
    group:
        GROUP_OF["compute_group_map"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("compute_group_map"),
        runtime=minutes_of("compute_group_map"),
        disk_mb=surface_maps_disk_mb(2 * 6),
    params:
        code=script_digest("compute_group_map.py"),
        provenance="results/provenance",
    message:
        "Group map of {wildcards.map}"
    script:
        "../../scripts/compute_group_map.py"


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
    group:
        GROUP_OF["plot_group_map"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_group_map"),
        runtime=minutes_of("plot_group_map"),
        disk_mb=drawn_maps_disk_mb(2),
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
    group:
        GROUP_OF["plot_subject_maps"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_subject_maps"),
        runtime=minutes_of("plot_subject_maps"),
        disk_mb=drawn_maps_disk_mb(1 + len(STUDY.subject_names)),
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
