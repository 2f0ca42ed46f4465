"""Representational similarity analysis of models and regions, on image sets or over all pairs of a subject's images.

Needs: results/betas, results/models/features, results/design/image_sets. Makes: results/rdms, results/rsa, results/tables.
"""


rule compute_model_rdm:
    """Dissimilarities of the images of every set under one model."""
    input:
        features=rules.embed_model.output.features,
        image_sets=EVERY_IMAGE_SET,
    output:
        rdm="results/rdms/models/{model}.nc",
    log:
        "logs/compute_model_rdm/{model}.log",
    benchmark:
        "benchmarks/compute_model_rdm/{model}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * (400 + int(3 * input.size_mb + 3 * RDM_MB)),
        runtime=lambda wildcards, attempt: attempt * 20,
        disk_mb=1 + int(RDM_MB),
    params:
        distance=lambda wildcards: STUDY.model_row(wildcards.model)["distance"],
        code=script_digest("compute_model_rdm.py"),
        provenance="results/provenance",
    message:
        "RDMs of model {wildcards.model} ({params.distance})"
    script:
        "../../scripts/compute_model_rdm.py"


rule compute_roi_rdm:
    """Dissimilarities of the images of every set in each region of a subject, and what noise ceilings need."""
    input:
        betas=rules.average_repeats.output.betas,
        repeats=rules.average_repeats.output.repeats,
        image_sets=[
            rules.draw_image_sets.output.image_sets,
            rules.draw_shared_image_sets.output.image_sets,
        ],
        all_shared=rules.draw_shared_image_sets.output.all_shared,
        labels=roi_labels,
        names=roi_names,
        indices=roi_indices,
        mask=roi_mask,
        ncsnr=roi_ncsnr,
    output:
        rdm="results/rdms/rois/{subject}_space-{space}.nc",
        ceilings="results/rdms/rois/{subject}_space-{space}_ceilings.nc",
    log:
        "logs/compute_roi_rdm/{subject}_space-{space}.log",
    benchmark:
        "benchmarks/compute_roi_rdm/{subject}_space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=roi_rdm_mem_mb,
        runtime=roi_rdm_runtime,
        disk_mb=10
        + int((RDM_MB + CEILING_MB) * sum(map(len, STUDY.config["rois"].values()))),
    params:
        rois=STUDY.config["rois"],
        native=native_atlases,
        least_ncsnr=STUDY.config["least_ncsnr"],
        distance=STUDY.config["brain_distance"],
        betas_version=STUDY.config["betas_version"],
        seed=STUDY.config["seed"],
        code=script_digest("compute_roi_rdm.py"),
        provenance="results/provenance",
    message:
        "RDMs of the regions of {wildcards.subject}, {wildcards.space} ({params.distance})"
    script:
        "../../scripts/compute_roi_rdm.py"


rule compare_roi_rdms:
    """Correlate a model's RDMs with those of every region and subject."""
    input:
        model=rules.compute_model_rdm.output.rdm,
        rois=every_subject(rules.compute_roi_rdm.output.rdm),
        # Nothing is compared with brains as long as captions and objects do not fit together.
        sentinel=rules.check_sentinel.output.sentinel,
    output:
        scores="results/rsa/{model}_space-{space}.tsv",
    log:
        "logs/compare_roi_rdms/{model}_space-{space}.log",
    benchmark:
        "benchmarks/compare_roi_rdms/{model}_space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * (400 + int(2 * input.size_mb)),
        runtime=lambda wildcards, attempt: attempt * 20,
        disk_mb=10,
    params:
        model=lambda wildcards: wildcards.model,
        subjects=STUDY.subject_names,
        code=script_digest("compare_roi_rdms.py"),
        provenance="results/provenance",
    message:
        "Comparing model {wildcards.model} with the regions of all subjects, {wildcards.space}"
    script:
        "../../scripts/compare_roi_rdms.py"


rule compare_all_pairs:
    """Correlate the RDMs of a subject's regions with those of all models over all pairs of the subject's images."""
    input:
        betas="results/betas/{subject}_space-{space}.nc",
        labels=roi_labels,
        names=roi_names,
        indices=roi_indices,
        mask=roi_mask,
        ncsnr=roi_ncsnr,
        features=every_model(rules.embed_model.output.features),
        # As for compare_roi_rdms.
        sentinel=rules.check_sentinel.output.sentinel,
    output:
        scores="results/rsa/all_pairs/{subject}_space-{space}.tsv",
    log:
        "logs/compare_all_pairs/{subject}_space-{space}.log",
    benchmark:
        "benchmarks/compare_all_pairs/{subject}_space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=all_pairs_mem_mb,
        runtime=all_pairs_runtime,
        disk_mb=10,
    params:
        models=STUDY.model_names,
        model_distances=[
            STUDY.model_row(model)["distance"] for model in STUDY.model_names
        ],
        rois=STUDY.config["rois"],
        native=native_atlases,
        least_ncsnr=STUDY.config["least_ncsnr"],
        distance=STUDY.config["brain_distance"],
        code=script_digest("compare_all_pairs.py"),
        provenance="results/provenance",
    message:
        "Comparing all models with the regions of {wildcards.subject} over all pairs of images, {wildcards.space}"
    script:
        "../../scripts/compare_all_pairs.py"


# Scores over all pairs of every subject, where the config asks for them.
ALL_PAIRS_SCORES = (
    every_subject(rules.compare_all_pairs.output.scores)
    if STUDY.config["pairs"] == "all"
    else []
)


rule estimate_roi_ceilings:
    """Agreement of the subjects' RDMs on the images that all saw three times."""
    input:
        rois=every_subject(rules.compute_roi_rdm.output.rdm),
    output:
        ceilings="results/ceilings/rois_space-{space}.tsv",
    log:
        "logs/estimate_roi_ceilings/space-{space}.log",
    benchmark:
        "benchmarks/estimate_roi_ceilings/space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * (400 + int(2 * input.size_mb)),
        runtime=lambda wildcards, attempt: attempt * 20,
        disk_mb=10,
    params:
        subjects=STUDY.subject_names,
        code=script_digest("estimate_roi_ceilings.py"),
        provenance="results/provenance",
    message:
        "Noise ceilings of the regions, {wildcards.space}"
    script:
        "../../scripts/estimate_roi_ceilings.py"


rule tabulate_roi_rsa:
    """Group results of every model and region: correlation, test, ceiling, ratio to the ceiling."""
    input:
        scores=every_model(rules.compare_roi_rdms.output.scores),
        all_pairs=ALL_PAIRS_SCORES,
        ceilings=rules.estimate_roi_ceilings.output.ceilings,
    output:
        table="results/tables/roi-rsa_space-{space}.tsv",
    log:
        "logs/tabulate_roi_rsa/space-{space}.log",
    benchmark:
        "benchmarks/tabulate_roi_rsa/space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        disk_mb=10,
    params:
        confidence=STUDY.config["confidence"],
        code=script_digest("tabulate_roi_rsa.py"),
        provenance="results/provenance",
    message:
        "Group table of models and regions, {wildcards.space}"
    script:
        "../../scripts/tabulate_roi_rsa.py"


rule tabulate_all_pairs:
    """r over all pairs beside the mean over image sets, for every model, region and subject."""
    input:
        scores=every_model(rules.compare_roi_rdms.output.scores),
        all_pairs=every_subject(rules.compare_all_pairs.output.scores),
    output:
        table="results/tables/all-pairs_space-{space}.tsv",
    log:
        "logs/tabulate_all_pairs/space-{space}.log",
    benchmark:
        "benchmarks/tabulate_all_pairs/space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        disk_mb=10,
    params:
        code=script_digest("tabulate_all_pairs.py"),
        provenance="results/provenance",
    message:
        "Table: all pairs and image sets, {wildcards.space}"
    script:
        "../../scripts/tabulate_all_pairs.py"


rule tables:
    """All tables."""
    input:
        rules.check_design.output.facts,
        rules.check_sentinel.output.sentinel,
        rules.tabulate_data_quality.output,
        in_roi_space(rules.tabulate_roi_rsa.output.table),
        (
            in_roi_space(rules.tabulate_all_pairs.output.table)
            if STUDY.config["pairs"] == "all"
            else []
        ),
    localrule: True
