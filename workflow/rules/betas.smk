"""Surface betas: from single-trial sessions to one averaged response per image and vertex.

Needs: ?h.betas_sessionNN.mgh, results/design/trials.tsv. Makes: results/betas.
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
        mem_mb=extraction_mem_mb,
        runtime=lambda wildcards, input, attempt: attempt
        * (5 + int(input.size_mb // 200)),
        disk_mb=lambda wildcards, input: 1 + int(input.size_mb * 0.5),
    params:
        code=script_digest("extract_surface_session.py"),
        provenance="results/provenance",
    message:
        "Z-scoring {wildcards.subject}, session {wildcards.session}"
    script:
        "../../scripts/extract_surface_session.py"


rule average_surface_repeats:
    """Average the three showings of each image."""
    input:
        sessions=extracted_sessions,
    output:
        betas="results/betas/{subject}_space-fsaverage.nc",
    log:
        "logs/average_surface_repeats/{subject}.log",
    benchmark:
        "benchmarks/average_surface_repeats/{subject}.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=averaging_mem_mb,
        runtime=lambda wildcards, input, attempt: attempt
        * (5 + int(input.size_mb // 200)),
        disk_mb=lambda wildcards, input: 1 + int(input.size_mb * 0.7),
    params:
        incomplete_vertices=STUDY.config["incomplete_vertices"],
        code=script_digest("average_surface_repeats.py"),
        provenance="results/provenance",
    message:
        "Averaging the repeats of {wildcards.subject}"
    script:
        "../../scripts/average_surface_repeats.py"
