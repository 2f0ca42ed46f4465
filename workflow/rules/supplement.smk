"""Figures of the paper's supplement: captions described, and models compared pair by pair.

Needs: results/captions, results/models/features, results/rsa. Makes: results/figures.
"""


rule plot_caption_statistics:
    """How many captions images have, how long and how alike they are, and what is odd about them."""
    input:
        captions=rules.prepare_captions.output.captions,
        counts=rules.prepare_captions.output.counts,
        features=f"results/models/features/{STUDY.sentinel_models[0]}.nc",
    output:
        pdf=report(
            "results/figures/caption-statistics.pdf",
            caption="../report/caption-statistics.rst",
            category="Captions",
            labels={"figure": "Captions in numbers", "format": "PDF"},
        ),
        png=report(
            "results/figures/caption-statistics.png",
            caption="../report/caption-statistics.rst",
            category="Captions",
            labels={"figure": "Captions in numbers", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/caption-statistics.tsv",
            caption="../report/caption-statistics.rst",
            category="Captions",
            labels={"figure": "Captions in numbers", "format": "numbers"},
        ),
    log:
        "logs/plot_caption_statistics/plot_caption_statistics.log",
    benchmark:
        "benchmarks/plot_caption_statistics/plot_caption_statistics.tsv"
    group:
        GROUP_OF["plot_caption_statistics"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_caption_statistics"),
        runtime=minutes_of("plot_caption_statistics"),
        disk_mb=20,
    params:
        encoder=lambda wildcards: STUDY.encoder_row(STUDY.sentinel_models[0])["encoder"],
        source=STUDY.config["source"],
        seed=STUDY.config["seed"],
        code=script_digest("plot_caption_statistics.py"),
        provenance="results/provenance",
    message:
        "Figure: captions in numbers"
    script:
        "../../scripts/plot_caption_statistics.py"


rule plot_caption_tsne:
    """Images in the plane, those with similar captions near each other, coloured by what they show."""
    input:
        categories=rules.prepare_captions.output.categories,
        features=f"results/models/features/{STUDY.sentinel_models[0]}.nc",
    output:
        pdf=report(
            "results/figures/caption-tsne.pdf",
            caption="../report/caption-tsne.rst",
            category="Captions",
            labels={"figure": "Embeddings in the plane", "format": "PDF"},
        ),
        png=report(
            "results/figures/caption-tsne.png",
            caption="../report/caption-tsne.rst",
            category="Captions",
            labels={"figure": "Embeddings in the plane", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/caption-tsne.tsv",
            caption="../report/caption-tsne.rst",
            category="Captions",
            labels={"figure": "Embeddings in the plane", "format": "numbers"},
        ),
    log:
        "logs/plot_caption_tsne/plot_caption_tsne.log",
    benchmark:
        "benchmarks/plot_caption_tsne/plot_caption_tsne.tsv"
    group:
        GROUP_OF["plot_caption_tsne"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_caption_tsne"),
        runtime=minutes_of("plot_caption_tsne"),
        disk_mb=20,
    params:
        encoder=lambda wildcards: STUDY.encoder_row(STUDY.sentinel_models[0])["encoder"],
        source=STUDY.config["source"],
        seed=STUDY.config["seed"],
        code=script_digest("plot_caption_tsne.py"),
        provenance="results/provenance",
    message:
        "Figure: caption embeddings in the plane"
    script:
        "../../scripts/plot_caption_tsne.py"


rule figS1:
    """Statistics of captions."""
    input:
        rules.plot_caption_statistics.output,
    localrule: True


rule figS2:
    """Caption embeddings in the plane, by t-SNE."""
    input:
        rules.plot_caption_tsne.output,
    localrule: True


rule plot_pairwise:
    """Every model of a figure of the control ladder against every other one, region by region."""
    input:
        # Scores over all pairs of images are of all models in one file, and must be of the same models.
        scores=lambda wildcards: expand(
            in_roi_space(rules.compare_roi_rdms.output.scores),
            model=(
                STUDY.model_names if ALL_PAIRS_SCORES else models_of(wildcards.figure)
            ),
        ),
        all_pairs=[in_roi_space(path) for path in ALL_PAIRS_SCORES],
        bootstrap=in_roi_space(rules.bootstrap_rois.output.bootstrap),
    output:
        pdf=report(
            "results/figures/pairwise-{figure}.pdf",
            caption="../report/pairwise.rst",
            category="Regions of interest",
            labels={"figure": "All pairs of models: {figure}", "format": "PDF"},
        ),
        png=report(
            "results/figures/pairwise-{figure}.png",
            caption="../report/pairwise.rst",
            category="Regions of interest",
            labels={"figure": "All pairs of models: {figure}", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/pairwise-{figure}.tsv",
            caption="../report/pairwise.rst",
            category="Regions of interest",
            labels={"figure": "All pairs of models: {figure}", "format": "numbers"},
        ),
    log:
        "logs/plot_pairwise/{figure}.log",
    benchmark:
        "benchmarks/plot_pairwise/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(STUDY.figures["figure"]),
    group:
        GROUP_OF["plot_pairwise"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_pairwise"),
        runtime=minutes_of("plot_pairwise"),
        disk_mb=20,
    params:
        title=lambda wildcards: f"{title_of_figure(wildcards.figure)}: every model against every other",
        labels=lambda wildcards: {
            model: STUDY.model_row(model)["label"]
            for model in models_of(wildcards.figure)
        },
        rois=STUDY.config["rois"],
        confidence=STUDY.config["confidence"],
        false_discovery_rate=STUDY.config["false_discovery_rate"],
        source=STUDY.config["source"],
        code=script_digest("plot_pairwise.py"),
        provenance="results/provenance",
    message:
        "Figure: {params.title}"
    script:
        "../../scripts/plot_pairwise.py"


rule figS12:
    """Every model of Fig. 3 against every other one."""
    input:
        panels_of_figure("fig3", "pairwise-"),
    localrule: True
