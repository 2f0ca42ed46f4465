"""Captions to model features.

Needs: COCO annotations, nsd_stim_info_merged.csv, records of fetched encoders, word vectors. Makes: results/captions, results/models, results/sentinel.tsv,
results/tables/models.tsv.
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
        counts="results/captions/counts.tsv",
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


rule tag_captions:
    """Split captions into tokens, and find the part of speech of each; for models of one kind of word."""
    input:
        captions=rules.prepare_captions.output.captions,
    output:
        tags="results/captions/tags.tsv",
    log:
        "logs/tag_captions/tag_captions.log",
    benchmark:
        "benchmarks/tag_captions/tag_captions.tsv"
    conda:
        "../../envs/tag.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tag_captions"),
        runtime=minutes_of("tag_captions"),
        disk_mb=10 + int(captions_mb(n_text_images(STUDY))),
    params:
        tagger=STUDY.config["tagger"],
        code=script_digest("tag_captions.py"),
        provenance="results/provenance",
    message:
        "Finding the parts of speech of captions"
    script:
        "../../scripts/tag_captions.py"


rule embed_model:
    """Features of every image under one model that has a sentence encoder."""
    input:
        unpack(encoder_record),
        unpack(tagged_captions),
        captions=rules.prepare_captions.output.captions,
        categories=rules.prepare_captions.output.categories,
    output:
        features=MODEL_FEATURES,
    log:
        "logs/embed_model/{model}.log",
    benchmark:
        "benchmarks/embed_model/{model}.tsv"
    wildcard_constraints:
        model="|".join(ENCODED_MODELS),
    conda:
        "../../envs/embed.yaml"
    threads: embedding_threads
    resources:
        mem_mb=memory_of_model("embed_model"),
        runtime=embedding_runtime,
        disk_mb=embedding_disk_mb,
    params:
        model=lambda wildcards: identity_of_model(wildcards.model),
        encoder=encoder_of_model,
        seed=lambda wildcards: seed_of_model(wildcards.model),
        cache="resources/sentence_vectors",
        code=script_digest("embed_model.py"),
        provenance="results/provenance",
    message:
        "Features of model {wildcards.model}, by its sentence encoder"
    script:
        "../../scripts/embed_model.py"


rule build_model:
    """Features of every image under one model without a sentence encoder."""
    input:
        unpack(own_model_file),
        unpack(tagged_captions),
        captions=rules.prepare_captions.output.captions,
        categories=rules.prepare_captions.output.categories,
    output:
        features=MODEL_FEATURES,
    log:
        "logs/build_model/{model}.log",
    benchmark:
        "benchmarks/build_model/{model}.tsv"
    wildcard_constraints:
        model="|".join(BUILT_MODELS),
    group:
        GROUP_OF["build_model"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of_model("build_model"),
        runtime=minutes_of_model("build_model"),
        disk_mb=building_disk_mb,
    params:
        model=lambda wildcards: identity_of_model(wildcards.model),
        seed=lambda wildcards: seed_of_model(wildcards.model),
        code=script_digest("build_model.py"),
        provenance="results/provenance",
    message:
        "Features of model {wildcards.model}"
    script:
        "../../scripts/build_model.py"


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


rule tabulate_models:
    """What each model is, and how many images, captions and words it lacks something for."""
    input:
        features=every_model(MODEL_FEATURES),
    output:
        table="results/tables/models.tsv",
    log:
        "logs/tabulate_models/tabulate_models.log",
    benchmark:
        "benchmarks/tabulate_models/tabulate_models.tsv"
    group:
        GROUP_OF["tabulate_models"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_models"),
        runtime=minutes_of("tabulate_models"),
        disk_mb=1,
    params:
        labels={model: STUDY.model_row(model)["label"] for model in STUDY.model_names},
        code=script_digest("tabulate_models.py"),
        provenance="results/provenance",
    message:
        "Table of models"
    script:
        "../../scripts/tabulate_models.py"
