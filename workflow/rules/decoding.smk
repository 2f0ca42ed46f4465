"""Decoding: embeddings of the images that all subjects saw, predicted from responses; put into words by a dictionary of sentences.

Needs: results/betas, results/models/features, results/captions, results/design/trials. Makes: results/decoding, results/tables/decoding.tsv.
"""


rule embed_dictionary:
    """Vectors of the sentences that decoded embeddings are put into words with, and of single captions of the shared images."""
    input:
        unpack(encoder_record),
        captions=rules.prepare_captions.output.captions,
        # Whose captions are in the cache of sentences when they have been made.
        features=MODEL_FEATURES,
        trials=every_subject(rules.tabulate_trials.output.trials),
        dictionary=[path for path in [STUDY.config["decoding"]["dictionary"]] if path],
    output:
        **DICTIONARY,
    log:
        "logs/embed_dictionary/{model}.log",
    benchmark:
        "benchmarks/embed_dictionary/{model}.tsv"
    wildcard_constraints:
        model="|".join(
            [model for model in ENCODED_MODELS if STUDY.gives_sentences(model)]
        ),
    conda:
        "../../envs/embed.yaml"
    # Captions have their vectors already.
    threads: embedding_threads if STUDY.config["decoding"]["dictionary"] else 1
    resources:
        mem_mb=memory_of("embed_dictionary"),
        runtime=minutes_of("embed_dictionary"),
        disk_mb=dictionary_disk_mb,
    params:
        encoder=encoder_of_model,
        seed=lambda wildcards: seed_of_model(wildcards.model),
        cache="resources/sentence_vectors",
        code=script_digest("embed_dictionary.py"),
        provenance="results/provenance",
    message:
        "Dictionary of model {wildcards.model}, by its sentence encoder"
    script:
        "../../scripts/embed_dictionary.py"


rule decode_embeddings:
    """Predict the embeddings of the shared images from a subject's responses in all regions together, and score them."""
    input:
        unpack(dictionary_of),
        betas="results/betas/{subject}_space-fsaverage.nc",
        features=MODEL_FEATURES,
        # As for fit_encoding.
        trials=every_subject(rules.tabulate_trials.output.trials),
        labels=lambda wildcards: roi_labels(on_fsaverage(wildcards)),
        names=roi_names,
        indices=lambda wildcards: roi_indices(on_fsaverage(wildcards)),
        ncsnr=lambda wildcards: roi_ncsnr(on_fsaverage(wildcards)),
    output:
        decoding="results/decoding/{model}/{subject}.nc",
    log:
        "logs/decode_embeddings/{model}/{subject}.log",
    benchmark:
        "benchmarks/decode_embeddings/{model}/{subject}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("decode_embeddings"),
        runtime=minutes_of("decode_embeddings"),
        disk_mb=20 + int(features_mb(MOST_SHARED)),
    params:
        rois=STUDY.config["rois"],
        native=lambda wildcards: native_atlases(on_fsaverage(wildcards)),
        least_ncsnr=STUDY.config["least_ncsnr"],
        as_released=STUDY.config["as_released"],
        code=script_digest("decode_embeddings.py"),
        provenance="results/provenance",
    message:
        "Decoding model {wildcards.model} from {wildcards.subject}"
    script:
        "../../scripts/decode_embeddings.py"


rule tabulate_decoding:
    """Mean scores of the decoding of all models and subjects."""
    input:
        decodings=expand(
            rules.decode_embeddings.output.decoding,
            model=STUDY.decoding_models,
            subject=STUDY.subject_names,
        ),
        # As for compare_roi_rdms: no result of a brain as long as captions and objects do not fit together.
        sentinel=rules.check_sentinel.output.sentinel,
    output:
        table="results/tables/decoding.tsv",
    log:
        "logs/tabulate_decoding/tabulate_decoding.log",
    benchmark:
        "benchmarks/tabulate_decoding/tabulate_decoding.tsv"
    group:
        GROUP_OF["tabulate_decoding"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_decoding"),
        runtime=minutes_of("tabulate_decoding"),
        disk_mb=10,
    params:
        code=script_digest("tabulate_decoding.py"),
        provenance="results/provenance",
    message:
        "Table: decoding"
    script:
        "../../scripts/tabulate_decoding.py"


rule plot_decoding:
    """How well a model's embeddings are decoded, beside baselines and the agreement of captions; and in words."""
    input:
        decodings=every_subject("results/decoding/{{model}}/{subject}.nc"),
        table=rules.tabulate_decoding.output.table,
        captions=rules.prepare_captions.output.captions,
    output:
        pdf=report(
            "results/figures/decoding_{model}.pdf",
            caption="../report/decoding.rst",
            category="Decoding",
            labels={"figure": "Decoding: {model}", "format": "PDF"},
        ),
        png=report(
            "results/figures/decoding_{model}.png",
            caption="../report/decoding.rst",
            category="Decoding",
            labels={"figure": "Decoding: {model}", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/decoding_{model}.tsv",
            caption="../report/decoding.rst",
            category="Decoding",
            labels={"figure": "Decoding: {model}", "format": "numbers"},
        ),
    log:
        "logs/plot_decoding/{model}.log",
    benchmark:
        "benchmarks/plot_decoding/{model}.tsv"
    group:
        GROUP_OF["plot_decoding"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_decoding"),
        runtime=minutes_of("plot_decoding"),
        disk_mb=20 + table_disk_mb(4 * MOST_SHARED * len(STUDY.subject_names)),
    params:
        label=lambda wildcards: STUDY.model_row(wildcards.model)["label"],
        subjects=STUDY.subject_names,
        confidence=STUDY.config["confidence"],
        source=STUDY.config["source"],
        sentences=lambda wildcards: STUDY.gives_sentences(wildcards.model),
        code=script_digest("plot_decoding.py"),
        provenance="results/provenance",
    message:
        "Figure: decoding of model {wildcards.model}"
    script:
        "../../scripts/plot_decoding.py"


# Files of the decoding of all models.
DECODING_TABLE = rules.tabulate_decoding.output.table if STUDY.decoding_models else []
DECODING_FIGURES = expand(rules.plot_decoding.output, model=STUDY.decoding_models)


rule fig2b:
    """Decoding of the first model."""
    input:
        figure_of_decoding,
    localrule: True
