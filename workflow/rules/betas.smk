"""Betas on the surface and in the volume: from single-trial sessions to one averaged response per image and unit.

Needs: ?h.betas_sessionNN.mgh (or hdf5 and ?h.white-to-fsaverage.mgz) or betas_sessionNN.nii.gz (hdf5), brainmask.nii.gz, results/design. Makes: results/betas, results/tables/data-quality.tsv.
"""


rule extract_surface_session:
    """Z-score the single trials of one session at each vertex."""
    input:
        betas=session_betas,
        indices=session_indices,
        trials=rules.tabulate_trials.output.trials,
    output:
        session=temp(
            "results/betas/sessions/{subject}_session-{session}_space-fsaverage.nc"
        ),
    log:
        "logs/extract_surface_session/{subject}_session-{session}.log",
    benchmark:
        "benchmarks/extract_surface_session/{subject}_session-{session}.tsv"
    priority: 10
    group:
        extraction_group
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=surface_extraction_mem_mb,
        runtime=lambda wildcards, input, attempt: attempt
        * (3 + int(input.size_mb // 200)),
        disk_mb=surface_extraction_disk_mb,
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
        trials=rules.tabulate_trials.output.trials,
    output:
        session=temp(
            "results/betas/sessions/{subject}_session-{session}_space-func1pt8mm.nc"
        ),
    log:
        "logs/extract_volume_session/{subject}_session-{session}.log",
    benchmark:
        "benchmarks/extract_volume_session/{subject}_session-{session}.tsv"
    priority: 10
    group:
        extraction_group
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=volume_extraction_mem_mb,
        runtime=lambda wildcards, input, attempt: attempt
        * (3 + int(input.size_mb // 200)),
        disk_mb=lambda wildcards, input: 1 + int(input.size_mb * 2),
    params:
        code=script_digest("extract_volume_session.py"),
        provenance="results/provenance",
    message:
        "Z-scoring {wildcards.subject}, session {wildcards.session}, volume"
    script:
        "../../scripts/extract_volume_session.py"


rule average_repeats:
    """Average the three showings of each image, and keep the single ones of some images."""
    input:
        sessions=extracted_sessions,
        # Says which images are shared, whoever is in the study.
        design=nsd_file(layout.EXPERIMENT_DESIGN),
    output:
        betas="results/betas/{subject}_space-{space}.nc",
        repeats="results/betas/{subject}_space-{space}_repeats.nc",
    log:
        "logs/average_repeats/{subject}_space-{space}.log",
    benchmark:
        "benchmarks/average_repeats/{subject}_space-{space}.tsv"
    # Extracted sessions are dropped when they are averaged, and raw betas when they are extracted: before more is fetched.
    priority: 20
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=averaging_mem_mb,
        runtime=lambda wildcards, input, attempt: attempt
        * (5 + int(input.size_mb // 200)),
        disk_mb=averaging_disk_mb,
        averaging=1,
    params:
        repeats=whose_repeats,
        incomplete_data=STUDY.config["incomplete_data"],
        code=script_digest("average_repeats.py"),
        provenance="results/provenance",
    message:
        "Averaging the repeats of {wildcards.subject}, {wildcards.space}"
    script:
        "../../scripts/average_repeats.py"


rule tabulate_data_quality:
    """Trials, voxels and vertices used of every subject, and how reliable their responses are."""
    input:
        **quality_files(),
        trials=every_subject(rules.tabulate_trials.output.trials),
        facts=rules.check_design.output.facts,
        volume_betas=(
            every_subject("results/betas/{subject}_space-func1pt8mm.nc")
            if "func1pt8mm" in STUDY.spaces
            else []
        ),
        surface_betas=(
            every_subject("results/betas/{subject}_space-fsaverage.nc")
            if "fsaverage" in STUDY.spaces
            else []
        ),
    output:
        table="results/tables/data-quality.tsv",
        ncsnr="results/tables/data-quality_ncsnr.tsv",
    log:
        "logs/tabulate_data_quality/tabulate_data_quality.log",
    benchmark:
        "benchmarks/tabulate_data_quality/tabulate_data_quality.tsv"
    group:
        GROUP_OF["tabulate_data_quality"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_data_quality"),
        runtime=minutes_of("tabulate_data_quality"),
        disk_mb=10,
    params:
        subjects=STUDY.subject_names,
        code=script_digest("tabulate_data_quality.py"),
        provenance="results/provenance",
    message:
        "Table: data quality of every subject"
    script:
        "../../scripts/tabulate_data_quality.py"
