"""Figures: each as PDF and PNG, with the plotted numbers beside it as TSV.

Needs: results/tables, results/rsa, results/rdms, results/captions, results/models/features. Makes: results/figures.
"""


rule plot_roi_rsa:
    """Bars of models in every region, with subjects and ceilings: of all models, or of those of a figure, the first compared with the others."""
    input:
        table=in_roi_space(rules.tabulate_roi_rsa.output.table),
        comparisons=lambda wildcards: (
            in_roi_space(rules.compare_models.output.table)
            if wildcards.figure in STUDY.ladder_figures and STUDY.comparisons
            else []
        ),
        # Scores over all pairs are of all models in one file, and must be of the same models.
        scores=lambda wildcards: expand(
            in_roi_space(rules.compare_roi_rdms.output.scores),
            model=(
                STUDY.model_names if ALL_PAIRS_SCORES else models_of(wildcards.figure)
            ),
        ),
        all_pairs=[in_roi_space(path) for path in ALL_PAIRS_SCORES],
    output:
        pdf=report(
            "results/figures/{figure}.pdf",
            caption="../report/roi-rsa.rst",
            category="Regions of interest",
            labels={"figure": "Models and regions: {figure}", "format": "PDF"},
        ),
        png=report(
            "results/figures/{figure}.png",
            caption="../report/roi-rsa.rst",
            category="Regions of interest",
            labels={"figure": "Models and regions: {figure}", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/{figure}.tsv",
            caption="../report/roi-rsa.rst",
            category="Regions of interest",
            labels={"figure": "Models and regions: {figure}", "format": "numbers"},
        ),
    log:
        "logs/plot_roi_rsa/{figure}.log",
    benchmark:
        "benchmarks/plot_roi_rsa/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(["roi-rsa", *STUDY.figures["figure"]]),
    group:
        GROUP_OF["plot_roi_rsa"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_roi_rsa"),
        runtime=minutes_of("plot_roi_rsa"),
        disk_mb=20 + table_disk_mb(n_scores(STUDY)),
    params:
        title=lambda wildcards: title_of_figure(wildcards.figure),
        labels=lambda wildcards: {
            model: STUDY.model_row(model)["label"]
            for model in models_of(wildcards.figure)
        },
        rois=STUDY.config["rois"],
        false_discovery_rate=STUDY.config["false_discovery_rate"],
        confidence=STUDY.config["confidence"],
        n_subjects=len(STUDY.subject_names),
        space=STUDY.config["roi_space"],
        source=STUDY.config["source"],
        seed=STUDY.config["seed"],
        image_set_size=STUDY.config["image_set_size"],
        code=script_digest("plot_roi_rsa.py"),
        provenance="results/provenance",
    message:
        "Figure: {params.title}"
    script:
        "../../scripts/plot_roi_rsa.py"


rule plot_model_comparisons:
    """Differences of models in every region, on own and on shared images, and as released where that is asked for."""
    input:
        table=in_roi_space(rules.compare_models.output.table),
        released=RELEASED_STATISTICS,
    output:
        pdf=report(
            "results/figures/model-comparisons.pdf",
            caption="../report/model-comparisons.rst",
            category="Regions of interest",
            labels={"figure": "Comparisons of models", "format": "PDF"},
        ),
        png=report(
            "results/figures/model-comparisons.png",
            caption="../report/model-comparisons.rst",
            category="Regions of interest",
            labels={"figure": "Comparisons of models", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/model-comparisons.tsv",
            caption="../report/model-comparisons.rst",
            category="Regions of interest",
            labels={"figure": "Comparisons of models", "format": "numbers"},
        ),
    log:
        "logs/plot_model_comparisons/plot_model_comparisons.log",
    benchmark:
        "benchmarks/plot_model_comparisons/plot_model_comparisons.tsv"
    group:
        GROUP_OF["plot_model_comparisons"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_model_comparisons"),
        runtime=minutes_of("plot_model_comparisons"),
        disk_mb=20,
    params:
        labels={model: STUDY.model_row(model)["label"] for model in STUDY.model_names},
        rois=STUDY.config["rois"],
        level=STUDY.config["false_discovery_rate"],
        confidence=STUDY.config["confidence"],
        space=STUDY.config["roi_space"],
        source=STUDY.config["source"],
        code=script_digest("plot_model_comparisons.py"),
        provenance="results/provenance",
    message:
        "Figure: comparisons of models"
    script:
        "../../scripts/plot_model_comparisons.py"


rule plot_rdms:
    """Pictures of model and brain RDMs on the same images."""
    input:
        models=every_model(rules.compute_model_rdm.output.rdm),
        rois=every_subject(in_roi_space(rules.compute_roi_rdm.output.rdm)),
    output:
        pdf=report(
            "results/figures/rdms.pdf",
            caption="../report/rdms.rst",
            category="Dissimilarity matrices",
            labels={"figure": "Models and regions", "format": "PDF"},
        ),
        png=report(
            "results/figures/rdms.png",
            caption="../report/rdms.rst",
            category="Dissimilarity matrices",
            labels={"figure": "Models and regions", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/rdms.tsv",
            caption="../report/rdms.rst",
            category="Dissimilarity matrices",
            labels={"figure": "Models and regions", "format": "numbers"},
        ),
    log:
        "logs/plot_rdms/plot_rdms.log",
    benchmark:
        "benchmarks/plot_rdms/plot_rdms.tsv"
    group:
        GROUP_OF["plot_rdms"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_rdms"),
        runtime=minutes_of("plot_rdms"),
        disk_mb=20
        + table_disk_mb(
            (len(STUDY.model_names) + n_rois(STUDY))
            * n_pairs(STUDY.config["image_set_size"])
        ),
    params:
        models=STUDY.model_names,
        labels={model: STUDY.model_row(model)["label"] for model in STUDY.model_names},
        rois=STUDY.config["rois"],
        source=STUDY.config["source"],
        code=script_digest("plot_rdms.py"),
        provenance="results/provenance",
    message:
        "Figure: dissimilarity matrices"
    script:
        "../../scripts/plot_rdms.py"


rule plot_captions:
    """Example captions with their nearest neighbours in embedding space."""
    input:
        captions=rules.prepare_captions.output.captions,
        features=f"results/models/features/{STUDY.sentinel_models[0]}.nc",
        image_sets=EVERY_IMAGE_SET,
        brick=image_brick(),
    output:
        pdf=report(
            "results/figures/captions.pdf",
            caption="../report/captions.rst",
            category="Captions",
            labels={"figure": "Neighbours in embedding space", "format": "PDF"},
        ),
        png=report(
            "results/figures/captions.png",
            caption="../report/captions.rst",
            category="Captions",
            labels={"figure": "Neighbours in embedding space", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/captions.tsv",
            caption="../report/captions.rst",
            category="Captions",
            labels={"figure": "Neighbours in embedding space", "format": "numbers"},
        ),
    log:
        "logs/plot_captions/plot_captions.log",
    benchmark:
        "benchmarks/plot_captions/plot_captions.tsv"
    group:
        GROUP_OF["plot_captions"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_captions"),
        runtime=minutes_of("plot_captions"),
        disk_mb=20,
    params:
        encoder=lambda wildcards: STUDY.encoder_row(STUDY.sentinel_models[0])["encoder"],
        source=STUDY.config["source"],
        seed=STUDY.config["seed"],
        code=script_digest("plot_captions.py"),
        provenance="results/provenance",
    message:
        "Figure: captions and their neighbours"
    script:
        "../../scripts/plot_captions.py"


rule plot_data_quality:
    """Reliability of responses, and share of voxels, vertices and trials used, subject by subject."""
    input:
        table=rules.tabulate_data_quality.output.table,
        ncsnr=rules.tabulate_data_quality.output.ncsnr,
    output:
        pdf=report(
            "results/figures/data-quality.pdf",
            caption="../report/data-quality.rst",
            category="Data quality",
            labels={"figure": "Data quality", "format": "PDF"},
        ),
        png=report(
            "results/figures/data-quality.png",
            caption="../report/data-quality.rst",
            category="Data quality",
            labels={"figure": "Data quality", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/data-quality.tsv",
            caption="../report/data-quality.rst",
            category="Data quality",
            labels={"figure": "Data quality", "format": "numbers"},
        ),
    log:
        "logs/plot_data_quality/plot_data_quality.log",
    benchmark:
        "benchmarks/plot_data_quality/plot_data_quality.tsv"
    group:
        GROUP_OF["plot_data_quality"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_data_quality"),
        runtime=minutes_of("plot_data_quality"),
        disk_mb=20,
    params:
        source=STUDY.config["source"],
        code=script_digest("plot_data_quality.py"),
        provenance="results/provenance",
    message:
        "Figure: data quality"
    script:
        "../../scripts/plot_data_quality.py"


rule figures:
    """All figures."""
    input:
        expand(rules.plot_roi_rsa.output, figure=["roi-rsa", *STUDY.ladder_figures]),
        rules.plot_model_comparisons.output if STUDY.comparisons else [],
        expand(rules.plot_pairwise.output, figure=STUDY.panels("fig3")),
        rules.plot_rdms.output,
        rules.plot_captions.output,
        rules.plot_caption_statistics.output,
        rules.plot_caption_tsne.output,
        rules.plot_data_quality.output,
        rules.plot_multiverse.output if MULTIVERSE else [],
        expand(rules.plot_group_map.output, map=STUDY.maps),
        expand(rules.plot_subject_maps.output, map=STUDY.maps),
        expand(rules.plot_encoding_agreement.output, model=STUDY.encoding_models),
        DECODING_FIGURES,
    localrule: True


rule fig3:
    """Captions beside categories, nouns and verbs, and averages of words."""
    input:
        panels_of_figure("fig3"),
    localrule: True


rule figS9:
    """Captions beside kinds of their words."""
    input:
        panels_of_figure("figS9"),
    localrule: True


rule figS10:
    """Captions beside scrambled ones."""
    input:
        panels_of_figure("figS10"),
    localrule: True


rule figS11:
    """Captions by several encoders."""
    input:
        panels_of_figure("figS11"),
    localrule: True


rule fig1b:
    """Group map of the first model of the searchlight."""
    input:
        figures_of_maps("group-map", MAPPED_FIRST, "searchlight: models"),
    localrule: True


rule fig1c:
    """Group map of the first encoding model."""
    input:
        figures_of_maps("group-map", ENCODED_FIRST, ENCODING_KEYS),
    localrule: True


rule figS3:
    """Maps of every subject of the first model of the searchlight."""
    input:
        figures_of_maps("subject-maps", MAPPED_FIRST, "searchlight: models"),
    localrule: True


rule figS4:
    """Maps of every subject of the first encoding model."""
    input:
        figures_of_maps("subject-maps", ENCODED_FIRST, ENCODING_KEYS),
    localrule: True


rule contrasts:
    """Group maps of all contrasts of two models: of searchlights as in Fig. 4c and 4d, and of encoding."""
    input:
        figures_of_maps("group-map", STUDY.contrast_maps, CONTRAST_KEYS),
    localrule: True


rule figS6:
    """Group maps of all contrasts but the first."""
    input:
        figures_of_maps("group-map", STUDY.contrast_maps[1:], CONTRAST_KEYS),
    localrule: True


rule figS8:
    """Encoding by names of objects and its contrasts with other models, and decoding of these names where the study decodes them."""
    input:
        figures_of_maps(
            "group-map", ENCODED_BY_NAMES, f"{ENCODING_KEYS}, for category-words"
        ),
        expand(
            rules.plot_decoding.output,
            model=[name for name in STUDY.decoding_models if name == "category-words"],
        ),
    localrule: True


rule fig1d:
    """Encoding by the first encoding model beside the agreement of subjects."""
    input:
        figures_of_maps("encoding-agreement", STUDY.encoding_models[:1], ENCODING_KEYS),
    localrule: True


rule fig2a:
    """Group maps of what encoding predicts for groups of sentences."""
    input:
        figures_of_maps("group-map", PREDICTED, SENTENCE_KEYS),
    localrule: True
