"""Encoding on fsaverage: responses predicted from features of models, and from sentences of one's own.

Needs: results/betas, results/models/features, results/design/trials, ncsnr. Makes: results/encoding, results/maps, results/tables/encoding.tsv.
"""

ENCODING_FILE = "results/encoding/{model}/{subject}_space-fsaverage.nc"
RELEASED_ENCODING_FILE = (
    "results/encoding/{model}/{subject}_space-fsaverage_as-released.nc"
)
SENTENCES = STUDY.sentence_groups


rule fit_encoding:
    """Predict a subject's responses to the shared images from features of a model, at every vertex."""
    input:
        betas="results/betas/{subject}_space-fsaverage.nc",
        features=MODEL_FEATURES,
        # Which images all saw: not from the image sets, that another seed or size of sets fits nothing again.
        trials=every_subject(rules.tabulate_trials.output.trials),
    output:
        encoding=ENCODING_FILE,
    log:
        "logs/fit_encoding/{model}/{subject}.log",
    benchmark:
        "benchmarks/fit_encoding/{model}/{subject}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("fit_encoding"),
        runtime=minutes_of("fit_encoding"),
        disk_mb=encoding_disk_mb,
    params:
        code=script_digest("fit_encoding.py"),
        provenance="results/provenance",
    message:
        "Encoding of {wildcards.subject} by model {wildcards.model}"
    script:
        "../../scripts/fit_encoding.py"


rule fit_encoding_as_released:
    """The same with one fraction for all vertices, as the released code has it."""
    input:
        betas="results/betas/{subject}_space-fsaverage.nc",
        features=MODEL_FEATURES,
        trials=every_subject(rules.tabulate_trials.output.trials),
    output:
        encoding=RELEASED_ENCODING_FILE,
    log:
        "logs/fit_encoding_as_released/{model}/{subject}.log",
    benchmark:
        "benchmarks/fit_encoding_as_released/{model}/{subject}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("fit_encoding_as_released"),
        runtime=minutes_of("fit_encoding_as_released"),
        disk_mb=10 + 4 * n_vertices(STUDY) // 2**20,
    params:
        code=script_digest("fit_encoding_as_released.py"),
        provenance="results/provenance",
    message:
        "Encoding of {wildcards.subject} by model {wildcards.model}, as released"
    script:
        "../../scripts/fit_encoding_as_released.py"


rule collect_encoding:
    """Encoding maps of all subjects in one file."""
    input:
        encodings=every_subject(ENCODING_FILE),
        # As for searchlights: no map as long as captions and objects do not fit together.
        sentinel=rules.check_sentinel.output.sentinel,
    output:
        maps=f"results/maps/{ENCODING}{{model}}/subjects_space-fsaverage.nc",
        gifti=[
            f"results/maps/{ENCODING}{{model}}/{hemisphere}.subjects_space-fsaverage.func.gii"
            for hemisphere in layout.HEMISPHERES
        ],
    log:
        "logs/collect_encoding/{model}.log",
    benchmark:
        "benchmarks/collect_encoding/{model}.tsv"
    group:
        GROUP_OF["collect_encoding"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("collect_encoding"),
        runtime=minutes_of("collect_encoding"),
        disk_mb=surface_maps_disk_mb(len(STUDY.subject_names)),
    params:
        subjects=STUDY.subject_names,
        code=script_digest("collect_encoding.py"),
        provenance="results/provenance",
    message:
        "Encoding maps of model {wildcards.model}"
    script:
        "../../scripts/collect_encoding.py"


rule estimate_agreement:
    """Agreement of each subject's responses with those of the others at every vertex, and the ceiling by ncsnr."""
    input:
        betas=every_subject("results/betas/{subject}_space-fsaverage.nc"),
        trials=every_subject(rules.tabulate_trials.output.trials),
        left_ncsnr=quality_files()["left_ncsnr"],
        right_ncsnr=quality_files()["right_ncsnr"],
    output:
        agreements="results/encoding/agreement_space-fsaverage.nc",
    log:
        "logs/estimate_agreement/estimate_agreement.log",
    benchmark:
        "benchmarks/estimate_agreement/estimate_agreement.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("estimate_agreement"),
        runtime=minutes_of("estimate_agreement"),
        disk_mb=surface_maps_disk_mb(2 * len(STUDY.subject_names)),
    params:
        subjects=STUDY.subject_names,
        code=script_digest("estimate_agreement.py"),
        provenance="results/provenance",
    message:
        "Agreement of subjects' responses at every vertex"
    script:
        "../../scripts/estimate_agreement.py"


rule tabulate_encoding:
    """How well the vertices of each region are predicted, beside the agreement of subjects and the ceiling by ncsnr."""
    input:
        encodings=[
            path
            for model in STUDY.encoding_models
            for path in expand(ENCODING_FILE, model=model, subject=STUDY.subject_names)
        ],
        released=[
            path
            for model in STUDY.encoding_models
            for path in expand(
                RELEASED_ENCODING_FILE, model=model, subject=STUDY.subject_names
            )
            if STUDY.config["as_released"]
        ],
        agreements=rules.estimate_agreement.output.agreements,
        betas=every_subject("results/betas/{subject}_space-fsaverage.nc"),
        labels=of_every_subject_on_fsaverage(roi_labels),
        names=of_every_subject_on_fsaverage(roi_names),
        indices=of_every_subject_on_fsaverage(roi_indices),
        ncsnr=of_every_subject_on_fsaverage(roi_ncsnr),
    output:
        table="results/tables/encoding.tsv",
    log:
        "logs/tabulate_encoding/tabulate_encoding.log",
    benchmark:
        "benchmarks/tabulate_encoding/tabulate_encoding.tsv"
    group:
        GROUP_OF["tabulate_encoding"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_encoding"),
        runtime=minutes_of("tabulate_encoding"),
        disk_mb=1,
    params:
        models=STUDY.encoding_models,
        subjects=STUDY.subject_names,
        rois=STUDY.config["rois"],
        native=native_atlases(SimpleNamespace(space="fsaverage")),
        least_ncsnr=STUDY.config["least_ncsnr"],
        code=script_digest("tabulate_encoding.py"),
        provenance="results/provenance",
    message:
        "Table of encoding in regions"
    script:
        "../../scripts/tabulate_encoding.py"


rule plot_encoding_agreement:
    """Encoding of every vertex beside the agreement of subjects there, and both in regions."""
    input:
        maps=rules.collect_encoding.output.maps,
        agreements=rules.estimate_agreement.output.agreements,
        table=rules.tabulate_encoding.output.table,
        labels=outlined_regions()[0],
        names=outlined_regions()[1],
    output:
        pdf=report(
            "results/figures/encoding-agreement_{model}.pdf",
            caption="../report/encoding-agreement.rst",
            category="Encoding",
            subcategory="{model}",
            labels={"figure": "Encoding and agreement", "format": "PDF"},
        ),
        png=report(
            "results/figures/encoding-agreement_{model}.png",
            caption="../report/encoding-agreement.rst",
            category="Encoding",
            subcategory="{model}",
            labels={"figure": "Encoding and agreement", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/encoding-agreement_{model}.tsv",
            caption="../report/encoding-agreement.rst",
            category="Encoding",
            subcategory="{model}",
            labels={"figure": "Encoding and agreement", "format": "numbers"},
        ),
    log:
        "logs/plot_encoding_agreement/{model}.log",
    benchmark:
        "benchmarks/plot_encoding_agreement/{model}.tsv"
    group:
        GROUP_OF["plot_encoding_agreement"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_encoding_agreement"),
        runtime=minutes_of("plot_encoding_agreement"),
        disk_mb=20 + n_vertices(STUDY) // 2**13,
    params:
        title=lambda wildcards: STUDY.map_label(ENCODING + wildcards.model),
        atlas=STUDY.outlined_atlas,
        rois=STUDY.config["rois"].get(STUDY.outlined_atlas),
        confidence=STUDY.config["confidence"],
        source=STUDY.config["source"],
        code=script_digest("plot_encoding_agreement.py"),
        provenance="results/provenance",
    message:
        "Figure: encoding by model {wildcards.model}, and agreement of subjects"
    script:
        "../../scripts/plot_encoding_agreement.py"


if SENTENCES:

    rule embed_sentences:
        """Mean vector of the sentences of each group, by the sentence encoder of the model that predicts from sentences."""
        input:
            **encoder_record(SimpleNamespace(model=STUDY.sentence_model)),
        output:
            features="results/encoding/sentences.nc",
        log:
            "logs/embed_sentences/embed_sentences.log",
        benchmark:
            "benchmarks/embed_sentences/embed_sentences.tsv"
        group:
            GROUP_OF["embed_sentences"]
        conda:
            "../../envs/embed.yaml"
        threads: 1
        resources:
            mem_mb=memory_of("embed_sentences"),
            runtime=minutes_of("embed_sentences"),
            disk_mb=10,
        params:
            sentences=SENTENCES,
            encoder=encoder_of_model(SimpleNamespace(model=STUDY.sentence_model)),
            seed=seed_of_model(STUDY.sentence_model),
            cache="resources/sentence_vectors",
            code=script_digest("embed_sentences.py"),
            provenance="results/provenance",
        message:
            "Vectors of sentences: {params.sentences}"
        script:
            "../../scripts/embed_sentences.py"

    rule predict_sentences:
        """Responses of every vertex of every subject that encoding predicts for the sentences of a group."""
        input:
            features=rules.embed_sentences.output.features,
            encodings=expand(
                ENCODING_FILE,
                model=STUDY.sentence_model,
                subject=STUDY.subject_names,
            ),
            # As for all maps: none as long as captions and objects do not fit together.
            sentinel=rules.check_sentinel.output.sentinel,
        output:
            maps=[
                f"results/maps/{SENTENCES_OF}{group}/subjects_space-fsaverage.nc"
                for group in SENTENCES
            ],
        log:
            "logs/predict_sentences/predict_sentences.log",
        benchmark:
            "benchmarks/predict_sentences/predict_sentences.tsv"
        group:
            GROUP_OF["predict_sentences"]
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory_of("predict_sentences"),
            runtime=minutes_of("predict_sentences"),
            disk_mb=surface_maps_disk_mb(len(STUDY.subject_names) * len(SENTENCES)),
        params:
            groups=list(SENTENCES),
            subjects=STUDY.subject_names,
            code=script_digest("predict_sentences.py"),
            provenance="results/provenance",
        message:
            "Responses predicted for sentences"
        script:
            "../../scripts/predict_sentences.py"
