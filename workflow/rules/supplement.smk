"""Figures of the paper's supplement on captions.

Needs: results/captions, results/models/features. Makes: results/figures.
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
