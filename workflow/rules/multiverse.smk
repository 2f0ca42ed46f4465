"""Multiverse: how much the agreement of a model with a region depends on choices that could have been made otherwise.

Needs: results/betas, results/models/features, results/design, labels of regions. Makes: results/multiverse, results/tables, results/figures.
"""


rule compute_universes:
    """Compare the regions of a subject in one space with two models in every universe."""
    input:
        betas="results/betas/{subject}_space-{space}.nc",
        image_sets=rules.draw_image_sets.output.image_sets,
        trials=rules.tabulate_trials.output.trials,
        features=(expand(MODEL_FEATURES, model=MULTIVERSE.models) if MULTIVERSE else []),
        labels=multiverse_labels,
        names=multiverse_names,
        indices=multiverse_indices,
        mask=roi_mask,
        ncsnr=roi_ncsnr,
        within=multiverse_within,
        raw=multiverse_raw,
        raw_indices=multiverse_raw_indices,
        # As for compare_roi_rdms.
        sentinel=rules.check_sentinel.output.sentinel,
    output:
        scores="results/multiverse/{subject}_space-{space}.tsv",
    log:
        "logs/compute_universes/{subject}_space-{space}.log",
    benchmark:
        "benchmarks/compute_universes/{subject}_space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=universes_mem_mb,
        runtime=universes_runtime,
        disk_mb=table_disk_mb(n_universe_rows(STUDY)),
    params:
        models=MULTIVERSE.models if MULTIVERSE else [],
        model_distances=(
            [STUDY.model_row(model)["distance"] for model in MULTIVERSE.models]
            if MULTIVERSE
            else []
        ),
        rois=MULTIVERSE.rois if MULTIVERSE else {},
        native=multiverse_native,
        axes=MULTIVERSE_AXES,
        raw_versions=MULTIVERSE.raw_versions if MULTIVERSE else [],
        n_sessions=lambda wildcards: STUDY.subject_row(wildcards.subject)["sessions"],
        incomplete_data=STUDY.config["incomplete_data"],
        seed=STUDY.config["seed"],
        code=script_digest("compute_universes.py"),
        provenance="results/provenance",
    message:
        "Universes of {wildcards.subject}, {wildcards.space}"
    script:
        "../../scripts/compute_universes.py"


rule tabulate_multiverse:
    """The headline in every universe, and how much it depends on each choice."""
    input:
        scores=scores_of_universes,
    output:
        table="results/tables/multiverse.tsv",
        axes="results/tables/multiverse_axes.tsv",
    log:
        "logs/tabulate_multiverse/tabulate_multiverse.log",
    benchmark:
        "benchmarks/tabulate_multiverse/tabulate_multiverse.tsv"
    group:
        GROUP_OF["tabulate_multiverse"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_multiverse"),
        runtime=minutes_of("tabulate_multiverse"),
        disk_mb=table_disk_mb(n_universe_rows(STUDY)),
    params:
        own=(
            {axis: level_name(levels[0]) for axis, levels in MULTIVERSE.axes.items()}
            if MULTIVERSE
            else {}
        ),
        confidence=STUDY.config["confidence"],
        code=script_digest("tabulate_multiverse.py"),
        provenance="results/provenance",
    message:
        "Table: the multiverse"
    script:
        "../../scripts/tabulate_multiverse.py"


rule plot_multiverse:
    """Specification curve: estimates of all universes in order, their choices below, and how much each choice matters."""
    input:
        table=rules.tabulate_multiverse.output.table,
        axes=rules.tabulate_multiverse.output.axes,
    output:
        pdf=report(
            "results/figures/multiverse.pdf",
            caption="../report/multiverse.rst",
            category="Regions of interest",
            labels={"figure": "Multiverse", "format": "PDF"},
        ),
        png=report(
            "results/figures/multiverse.png",
            caption="../report/multiverse.rst",
            category="Regions of interest",
            labels={"figure": "Multiverse", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/multiverse.tsv",
            caption="../report/multiverse.rst",
            category="Regions of interest",
            labels={"figure": "Multiverse", "format": "numbers"},
        ),
    log:
        "logs/plot_multiverse/plot_multiverse.log",
    benchmark:
        "benchmarks/plot_multiverse/plot_multiverse.tsv"
    group:
        GROUP_OF["plot_multiverse"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_multiverse"),
        runtime=minutes_of("plot_multiverse"),
        disk_mb=20,
    params:
        labels=(
            {model: STUDY.model_row(model)["label"] for model in MULTIVERSE.models}
            if MULTIVERSE
            else {}
        ),
        confidence=STUDY.config["confidence"],
        source=STUDY.config["source"],
        levels=(
            {axis: list(map(level_name, of)) for axis, of in MULTIVERSE.axes.items()}
            if MULTIVERSE
            else {}
        ),
        code=script_digest("plot_multiverse.py"),
        provenance="results/provenance",
    message:
        "Figure: the multiverse"
    script:
        "../../scripts/plot_multiverse.py"


rule multiverse:
    """How much the headline depends on choices that could have been made otherwise."""
    input:
        files_of_multiverse,
    localrule: True
