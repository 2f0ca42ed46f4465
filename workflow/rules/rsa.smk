"""Representational similarity analysis of models and regions, on image sets or over all pairs of a subject's images.

Needs: results/betas, results/models/features, results/design/image_sets. Makes: results/rdms, results/rsa, results/tables.
"""


rule compute_model_rdm:
    """Dissimilarities of the images of every set under one model."""
    input:
        features=MODEL_FEATURES,
        image_sets=EVERY_IMAGE_SET,
    output:
        rdm="results/rdms/models/{model}.nc",
    log:
        "logs/compute_model_rdm/{model}.log",
    benchmark:
        "benchmarks/compute_model_rdm/{model}.tsv"
    group:
        GROUP_OF["compute_model_rdm"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of_model("compute_model_rdm"),
        runtime=minutes_of_model("compute_model_rdm"),
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
        disk_mb=10 + int((RDM_MB + CEILING_MB) * n_rois(STUDY)),
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
    """Compare a model's RDMs with those of every region and subject."""
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
    group:
        GROUP_OF["compare_roi_rdms"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("compare_roi_rdms"),
        runtime=minutes_of("compare_roi_rdms"),
        disk_mb=table_disk_mb(n_scores(STUDY) // len(STUDY.model_names)),
    params:
        model=lambda wildcards: wildcards.model,
        subjects=STUDY.subject_names,
        measure=STUDY.config["rdm_comparison"],
        code=script_digest("compare_roi_rdms.py"),
        provenance="results/provenance",
    message:
        "Comparing model {wildcards.model} with the regions of all subjects, {wildcards.space}"
    script:
        "../../scripts/compare_roi_rdms.py"


rule bootstrap_rois:
    """Covariances of the models' scores over draws of subjects and of images of the shared sets, for every region."""
    input:
        rois=every_subject(rules.compute_roi_rdm.output.rdm),
        models=every_model(rules.compute_model_rdm.output.rdm),
        # As for compare_roi_rdms.
        sentinel=rules.check_sentinel.output.sentinel,
    output:
        bootstrap="results/rsa/bootstrap_space-{space}.nc",
    log:
        "logs/bootstrap_rois/space-{space}.log",
    benchmark:
        "benchmarks/bootstrap_rois/space-{space}.tsv"
    group:
        GROUP_OF["bootstrap_rois"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("bootstrap_rois"),
        runtime=minutes_of("bootstrap_rois"),
        disk_mb=table_disk_mb(len(STUDY.model_names) ** 2 * n_rois(STUDY)),
    params:
        subjects=STUDY.subject_names,
        models=STUDY.model_names,
        measure=STUDY.config["rdm_comparison"],
        n_draws=STUDY.config["bootstrap_draws"],
        seed=STUDY.config["seed"],
        code=script_digest("bootstrap_rois.py"),
        provenance="results/provenance",
    message:
        "Drawing subjects and images {params.n_draws} times, {wildcards.space}"
    script:
        "../../scripts/bootstrap_rois.py"


rule permute_images:
    """Compare a model with every region of each subject under permutations of the images in the subject's own sets."""
    input:
        model=rules.compute_model_rdm.output.rdm,
        rois=every_subject(rules.compute_roi_rdm.output.rdm),
        # As for compare_roi_rdms.
        sentinel=rules.check_sentinel.output.sentinel,
    output:
        permutations="results/rsa/permutations/{model}_space-{space}.tsv",
    log:
        "logs/permute_images/{model}_space-{space}.log",
    benchmark:
        "benchmarks/permute_images/{model}_space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("permute_images"),
        runtime=minutes_of("permute_images"),
        disk_mb=table_disk_mb(len(STUDY.subject_names) * n_rois(STUDY)),
    params:
        model=lambda wildcards: wildcards.model,
        subjects=STUDY.subject_names,
        measure=STUDY.config["rdm_comparison"],
        n_permutations=STUDY.config["image_permutations"],
        seed=STUDY.config["seed"],
        code=script_digest("permute_images.py"),
        provenance="results/provenance",
    message:
        "Permuting the images of model {wildcards.model} {params.n_permutations} times, {wildcards.space}"
    script:
        "../../scripts/permute_images.py"


rule compare_all_pairs:
    """Correlate the RDMs of a subject's regions with those of all models over all pairs of the subject's images."""
    input:
        betas="results/betas/{subject}_space-{space}.nc",
        labels=roi_labels,
        names=roi_names,
        indices=roi_indices,
        mask=roi_mask,
        ncsnr=roi_ncsnr,
        features=every_model(MODEL_FEATURES),
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
    """Every kind of noise ceiling of the regions: between subjects, as released, over repeats, and of single units."""
    input:
        rois=every_subject(rules.compute_roi_rdm.output.rdm),
        # Which pairs of images each of them defines.
        models=every_model(rules.compute_model_rdm.output.rdm),
        of_ceilings=every_subject(rules.compute_roi_rdm.output.ceilings),
    output:
        ceilings="results/ceilings/rois_space-{space}.tsv",
    log:
        "logs/estimate_roi_ceilings/space-{space}.log",
    benchmark:
        "benchmarks/estimate_roi_ceilings/space-{space}.tsv"
    group:
        GROUP_OF["estimate_roi_ceilings"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("estimate_roi_ceilings"),
        runtime=minutes_of("estimate_roi_ceilings"),
        disk_mb=table_disk_mb(n_ceilings(STUDY)),
    params:
        subjects=STUDY.subject_names,
        models=STUDY.model_names,
        measure=STUDY.config["rdm_comparison"],
        code=script_digest("estimate_roi_ceilings.py"),
        provenance="results/provenance",
    message:
        "Noise ceilings of the regions, {wildcards.space}"
    script:
        "../../scripts/estimate_roi_ceilings.py"


rule tabulate_ceilings:
    """Every kind of noise ceiling of the regions, over subjects."""
    input:
        ceilings=rules.estimate_roi_ceilings.output.ceilings,
    output:
        table="results/tables/ceilings_space-{space}.tsv",
    log:
        "logs/tabulate_ceilings/space-{space}.log",
    benchmark:
        "benchmarks/tabulate_ceilings/space-{space}.tsv"
    group:
        GROUP_OF["tabulate_ceilings"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_ceilings"),
        runtime=minutes_of("tabulate_ceilings"),
        disk_mb=10,
    params:
        confidence=STUDY.config["confidence"],
        code=script_digest("tabulate_ceilings.py"),
        provenance="results/provenance",
    message:
        "Table: noise ceilings of the regions, {wildcards.space}"
    script:
        "../../scripts/tabulate_ceilings.py"


rule tabulate_roi_rsa:
    """Group results of every model and region: agreement, test, ceiling, ratio to the ceiling."""
    input:
        scores=every_model(rules.compare_roi_rdms.output.scores),
        all_pairs=ALL_PAIRS_SCORES,
        ceilings=rules.estimate_roi_ceilings.output.ceilings,
        bootstrap=rules.bootstrap_rois.output.bootstrap,
    output:
        table="results/tables/roi-rsa_space-{space}.tsv",
    log:
        "logs/tabulate_roi_rsa/space-{space}.log",
    benchmark:
        "benchmarks/tabulate_roi_rsa/space-{space}.tsv"
    group:
        GROUP_OF["tabulate_roi_rsa"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_roi_rsa"),
        runtime=minutes_of("tabulate_roi_rsa"),
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
    group:
        GROUP_OF["tabulate_all_pairs"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_all_pairs"),
        runtime=minutes_of("tabulate_all_pairs"),
        disk_mb=10,
    params:
        code=script_digest("tabulate_all_pairs.py"),
        provenance="results/provenance",
    message:
        "Table: all pairs and image sets, {wildcards.space}"
    script:
        "../../scripts/tabulate_all_pairs.py"


rule tabulate_permutations:
    """Permutation tests of all models, regions and subjects, corrected together."""
    input:
        permutations=every_model(rules.permute_images.output.permutations),
    output:
        table="results/tables/image-permutations_space-{space}.tsv",
    log:
        "logs/tabulate_permutations/space-{space}.log",
    benchmark:
        "benchmarks/tabulate_permutations/space-{space}.tsv"
    group:
        GROUP_OF["tabulate_permutations"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_permutations"),
        runtime=minutes_of("tabulate_permutations"),
        disk_mb=10,
    params:
        code=script_digest("tabulate_permutations.py"),
        provenance="results/provenance",
    message:
        "Table of permutation tests, {wildcards.space}"
    script:
        "../../scripts/tabulate_permutations.py"


rule compare_models:
    """Differences of models in every region, paired by subject, in the families of tests that the config declares."""
    input:
        scores=every_model(rules.compare_roi_rdms.output.scores),
        all_pairs=ALL_PAIRS_SCORES,
        bootstrap=rules.bootstrap_rois.output.bootstrap,
    output:
        table="results/tables/model-comparisons_space-{space}.tsv",
    log:
        "logs/compare_models/space-{space}.log",
    benchmark:
        "benchmarks/compare_models/space-{space}.tsv"
    group:
        GROUP_OF["compare_models"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("compare_models"),
        runtime=minutes_of("compare_models"),
        disk_mb=10,
    params:
        families=STUDY.comparisons,
        confidence=STUDY.config["confidence"],
        code=script_digest("compare_models.py"),
        provenance="results/provenance",
    message:
        "Comparing models with each other, {wildcards.space}"
    script:
        "../../scripts/compare_models.py"


rule tabulate_released_statistics:
    """Statistics of the released code, beside paired tests of the same numbers."""
    input:
        scores=every_model(rules.compare_roi_rdms.output.scores),
        ceilings=rules.estimate_roi_ceilings.output.ceilings,
    output:
        table="results/tables/released_space-{space}.tsv",
    log:
        "logs/tabulate_released_statistics/space-{space}.log",
    benchmark:
        "benchmarks/tabulate_released_statistics/space-{space}.tsv"
    group:
        GROUP_OF["tabulate_released_statistics"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_released_statistics"),
        runtime=minutes_of("tabulate_released_statistics"),
        disk_mb=10,
    params:
        confidence=STUDY.config["confidence"],
        code=script_digest("tabulate_released_statistics.py"),
        provenance="results/provenance",
    message:
        "Statistics as released, {wildcards.space}"
    script:
        "../../scripts/tabulate_released_statistics.py"


# The table of the released statistics, where the config asks for it.
RELEASED_STATISTICS = (
    [in_roi_space(rules.tabulate_released_statistics.output.table)]
    if STUDY.config["as_released"]
    else []
)


rule tables:
    """All tables."""
    input:
        rules.check_design.output.facts,
        rules.check_sentinel.output.sentinel,
        rules.tabulate_models.output.table,
        rules.tabulate_data_quality.output,
        in_roi_space(rules.tabulate_roi_rsa.output.table),
        in_roi_space(rules.tabulate_ceilings.output.table),
        in_roi_space(rules.tabulate_permutations.output.table),
        in_roi_space(rules.compare_models.output.table) if STUDY.comparisons else [],
        RELEASED_STATISTICS,
        "results/tables/encoding.tsv" if STUDY.encoding_models else [],
        DECODING_TABLE,
        (
            in_roi_space(rules.tabulate_all_pairs.output.table)
            if STUDY.config["pairs"] == "all"
            else []
        ),
        ["results/tables/multiverse.tsv"] if STUDY.multiverse else [],
    localrule: True
