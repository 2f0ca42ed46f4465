"""What needs a network: sentence encoders from the hub and, when source is bucket, what the study needs of NSD and of COCO's annotations.

Needs: config/encoders.tsv, config/datasets.tsv. Makes: resources/natural-scenes-dataset, resources/fetched.

All rules that need a network are here, and they are local rules: on a cluster they run where Snakemake does, because compute nodes
may have no network.

Neither the code nor the table of sources is a parameter here: what was fetched is checked against its published and its first checksum,
and another version of the code, or another mirror, would give the same bytes again. Facts that held do not cease to hold either.
"""


rule fetch_encoder:
    """Fetch a sentence encoder from the hub into the hub's cache, unless it is there."""
    output:
        record=ENCODER_RECORD,
    log:
        "logs/fetch_encoder/{encoder}.log",
    benchmark:
        "benchmarks/fetch_encoder/{encoder}.tsv"
    localrule: True
    conda:
        "../../envs/embed.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * FETCHING_MB,
        runtime=lambda wildcards, attempt: attempt * 30,
        disk_mb=2000,
        downloads=1,
    params:
        source=lambda wildcards: STUDY.encoder_named(wildcards.encoder)["source"],
        revision=lambda wildcards: STUDY.encoder_named(wildcards.encoder)["revision"],
        provenance="resources/fetched/provenance",
    message:
        "Fetching the sentence encoder {wildcards.encoder}"
    script:
        "../../scripts/fetch_encoder.py"


if STUDY.config["source"] == "bucket":

    rule fetch_nsd_file:
        """Fetch one of NSD's small files: design, trials, labels, transforms, masks, ncsnr."""
        output:
            file=nsd_file("{key}"),
        log:
            "logs/fetch_nsd_file/{key}.log",
        benchmark:
            "benchmarks/fetch_nsd_file/{key}.tsv"
        wildcard_constraints:
            key=r"nsddata/.+|nsddata_betas/.+ncsnr\.(mgh|nii\.gz)",
        # The facts of the dataset are counted first of all, so that a study on other data stops early.
        priority: 100
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * FETCHING_MB,
            runtime=lambda wildcards, attempt: attempt * 15,
            disk_mb=lambda wildcards: 1 + int(2 * fetched_mb(wildcards.key)),
            downloads=1,
        params:
            folder="resources/fetched",
            provenance="resources/fetched/provenance",
        message:
            "Fetching {wildcards.key}"
        script:
            "../../scripts/fetch_nsd_file.py"

    rule check_acceptance:
        """Check the facts of one subject before any of its betas is fetched, and stop at the first that does not hold."""
        input:
            files=lambda wildcards: [
                nsd_file(key) for key in acceptance_keys(wildcards)
            ],
        output:
            found="results/design/acceptance/{subject}.tsv",
        log:
            "logs/check_acceptance/{subject}.log",
        benchmark:
            "benchmarks/check_acceptance/{subject}.tsv"
        priority: 100
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory_of("check_acceptance"),
            runtime=minutes_of("check_acceptance"),
            disk_mb=10,
            downloads=1,
        params:
            # The rows of this subject, not the table.
            facts=lambda wildcards: facts_of_subject(FACTS, wildcards.subject),
            nsd_keys=acceptance_keys,
            betas_version=STUDY.config["betas_version"],
            provenance="results/provenance",
        message:
            "Checking the facts of {wildcards.subject}"
        script:
            "../../scripts/check_acceptance.py"

    rule fetch_session_betas:
        """Fetch the raw betas of one session: a hemisphere of a surface, or the volume."""
        input:
            accepted="results/design/acceptance/{subject}.tsv",
            # Extracted, so that its raw betas are dropped.
            earlier=session_extracted_before,
        output:
            file=raw_betas(
                nsd_file(
                    "nsddata_betas/ppdata/{subject}/{raw_space}/{version}/{part}betas_session{session}.{suffix}"
                )
            ),
        log:
            "logs/fetch_session_betas/{subject}/{raw_space}_{version}_{part}session-{session}.{suffix}.log",
        benchmark:
            "benchmarks/fetch_session_betas/{subject}/{raw_space}_{version}_{part}session-{session}.{suffix}.tsv"
        wildcard_constraints:
            raw_space="fsaverage|nativesurface|func1pt8mm",
            version="|".join(layout.BETAS_VERSIONS),
            part=r"([lr]h\.)?",
            suffix=r"mgh|hdf5|nii\.gz",
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * FETCHING_MB,
            runtime=fetching_runtime,
            disk_mb=lambda wildcards: 1
            + int(1.1 * fetched_mb(raw_betas_key(wildcards))),
            downloads=1,
        params:
            key=raw_betas_key,
            folder="resources/fetched",
            provenance="resources/fetched/provenance",
        message:
            "Fetching betas of {wildcards.subject}, session {wildcards.session}, {wildcards.raw_space} {wildcards.part}"
        script:
            "../../scripts/fetch_session_betas.py"

    rule fetch_coco_annotations:
        """Fetch COCO's captions and annotated objects, and take them out of their archive."""
        output:
            annotations=[
                nsd_file(layout.annotations(kind, split))
                for kind in ("captions", "instances")
                for split in layout.SPLITS
            ],
        log:
            "logs/fetch_coco_annotations/fetch_coco_annotations.log",
        benchmark:
            "benchmarks/fetch_coco_annotations/fetch_coco_annotations.tsv"
        localrule: True
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=lambda wildcards, attempt: attempt * FETCHING_MB,
            runtime=lambda wildcards, attempt: attempt * 30,
            disk_mb=lambda wildcards: int(6 * fetched_mb(layout.ANNOTATIONS_ARCHIVE)),
            downloads=1,
        params:
            key=layout.ANNOTATIONS_ARCHIVE,
            folder="resources/fetched",
            provenance="resources/fetched/provenance",
        message:
            "Fetching COCO's captions and annotated objects"
        script:
            "../../scripts/fetch_coco_annotations.py"
