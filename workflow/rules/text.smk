"""Captions to model features.

Needs: COCO annotations, nsd_stim_info_merged.csv, records of fetched encoders. Makes: results/captions, results/models, results/sentinel.tsv.
"""


rule prepare_captions:
    """Collect the captions and annotated objects of every image."""
    input:
        stimulus_table=nsd_file(layout.STIMULUS_TABLE),
        captions=[
            nsd_file(layout.annotations("captions", split)) for split in layout.SPLITS
        ],
        instances=[
            nsd_file(layout.annotations("instances", split)) for split in layout.SPLITS
        ],
    output:
        captions="results/captions/captions.tsv",
        categories="results/captions/categories.tsv",
    log:
        "logs/prepare_captions/prepare_captions.log",
    benchmark:
        "benchmarks/prepare_captions/prepare_captions.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * (SNAKEMAKE_MB + captions_memory_mb(input.size_mb)),
        runtime=lambda wildcards, input, attempt: attempt
        * (15 + int(input.size_mb / 100)),
        disk_mb=lambda wildcards, input: 10 + int(input.size_mb * 0.2),
    params:
        code=script_digest("prepare_captions.py"),
        provenance="results/provenance",
    message:
        "Collecting captions and annotated objects"
    script:
        "../../scripts/prepare_captions.py"


rule embed_model:
    """Features of every image under one model."""
    input:
        unpack(own_model_file),
        unpack(encoder_record),
        captions=rules.prepare_captions.output.captions,
        categories=rules.prepare_captions.output.categories,
    output:
        features="results/models/features/{model}.nc",
    log:
        "logs/embed_model/{model}.log",
    benchmark:
        "benchmarks/embed_model/{model}.tsv"
    group:
        embedding_group
    conda:
        "../../envs/embed.yaml"
    threads: embedding_threads
    resources:
        mem_mb=lambda wildcards, attempt: attempt * embedding_mb(STUDY, wildcards.model),
        runtime=embedding_runtime,
        disk_mb=embedding_disk_mb,
    params:
        model=lambda wildcards: {
            key: STUDY.model_row(wildcards.model)[key] for key in ("model", "builder")
        },
        encoder=encoder_of_model,
        seed=lambda wildcards: (
            STUDY.config["seed"]
            if STUDY.model_row(wildcards.model)["builder"] in SEEDED
            else None
        ),
        cache="resources/sentence_vectors",
        code=script_digest("embed_model.py"),
        provenance="results/provenance",
    message:
        "Features of model {wildcards.model}"
    script:
        "../../scripts/embed_model.py"


rule check_sentinel:
    """Make sure that captions and objects belong to the same images, before any brain is looked at."""
    input:
        captions=f"results/models/features/{STUDY.sentinel_models[0]}.nc",
        categories=f"results/models/features/{STUDY.sentinel_models[1]}.nc",
        image_sets=EVERY_IMAGE_SET,
    output:
        sentinel="results/sentinel.tsv",
    log:
        "logs/check_sentinel/check_sentinel.log",
    benchmark:
        "benchmarks/check_sentinel/check_sentinel.tsv"
    # Ahead of other jobs that are ready: it can stop the study.
    priority: 100
    group:
        GROUP_OF["check_sentinel"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("check_sentinel"),
        runtime=minutes_of("check_sentinel"),
        disk_mb=1,
    params:
        code=script_digest("check_sentinel.py"),
        provenance="results/provenance",
    message:
        "Sentinel: do captions and objects belong to the same images?"
    script:
        "../../scripts/check_sentinel.py"
