"""Betas on the surface and in the volume: from single-trial sessions to one averaged response per image and unit.

Needs: ?h.betas_sessionNN.mgh or betas_sessionNN.nii.gz (hdf5), brainmask.nii.gz, results/design/trials.tsv. Makes: results/betas.
"""


rule extract_surface_session:
    """Z-score the single trials of one session at each vertex."""
    input:
        betas=session_betas,
        trials=rules.check_design.output.trials,
    output:
        session=temp(
            "results/betas/sessions/{subject}_session-{session}_space-fsaverage.nc"
        ),
    log:
        "logs/extract_surface_session/{subject}_session-{session}.log",
    benchmark:
        "benchmarks/extract_surface_session/{subject}_session-{session}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt
        * surface_extraction_memory_mb(trials_per_session(wildcards)),
        runtime=lambda wildcards, input, attempt: attempt
        * (5 + int(input.size_mb // 200)),
        disk_mb=lambda wildcards, input: 1 + int(input.size_mb * 0.5),
    params:
        code=script_digest("extract_surface_session.py"),
        provenance="results/provenance",
    message:
        "Z-scoring {wildcards.subject}, session {wildcards.session}, surface"
    script:
        "../../scripts/extract_surface_session.py"


rule extract_volume_session:
    """Z-score the single trials of one session at each voxel of the brain mask."""
    input:
        betas=session_volume_betas,
        mask=brain_mask,
        trials=rules.check_design.output.trials,
    output:
        session=temp(
            "results/betas/sessions/{subject}_session-{session}_space-func1pt8mm.nc"
        ),
    log:
        "logs/extract_volume_session/{subject}_session-{session}.log",
    benchmark:
        "benchmarks/extract_volume_session/{subject}_session-{session}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * volume_extraction_memory_mb(
            trials_per_session(wildcards),
            input.size_mb,
            STUDY.config["volume_betas"],
        ),
        runtime=lambda wildcards, input, attempt: attempt
        * (5 + int(input.size_mb // 200)),
        disk_mb=lambda wildcards, input: 1 + int(input.size_mb * 2),
    params:
        code=script_digest("extract_volume_session.py"),
        provenance="results/provenance",
    message:
        "Z-scoring {wildcards.subject}, session {wildcards.session}, volume"
    script:
        "../../scripts/extract_volume_session.py"


rule average_repeats:
    """Average the three showings of each image."""
    input:
        sessions=extracted_sessions,
    output:
        betas="results/betas/{subject}_space-{space}.nc",
    log:
        "logs/average_repeats/{subject}_space-{space}.log",
    benchmark:
        "benchmarks/average_repeats/{subject}_space-{space}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=averaging_mem_mb,
        runtime=lambda wildcards, input, attempt: attempt
        * (5 + int(input.size_mb // 200)),
        disk_mb=lambda wildcards, input: 1 + int(input.size_mb * 0.7),
    params:
        incomplete_data=STUDY.config["incomplete_data"],
        code=script_digest("average_repeats.py"),
        provenance="results/provenance",
    message:
        "Averaging the repeats of {wildcards.subject}, {wildcards.space}"
    script:
        "../../scripts/average_repeats.py"
