"""Which image was seen when: NSD's bookkeeping, checked before anything rests on it.

Needs: nsd_expdesign.mat, nsd_stim_info_merged.csv, responses.tsv. Makes: results/design.
"""


rule check_design:
    """Count the facts of the dataset, compare them with the acceptance table, and stop at the first difference."""
    input:
        design=nsd_file(layout.EXPERIMENT_DESIGN),
        stimuli=nsd_file(layout.STIMULUS_TABLE),
        responses=[
            nsd_file(layout.responses(subject)) for subject in STUDY.subject_names
        ],
        acceptance=[
            study_file(path) for path in [STUDY.config["acceptance_table"]] if path
        ],
    output:
        facts="results/design/facts.tsv",
    log:
        "logs/check_design/check_design.log",
    benchmark:
        "benchmarks/check_design/check_design.tsv"
    # First of all jobs that are ready, so that the study stops early when the files are not what the table says. Extraction does not
    # wait for its output: facts are made anew whenever a subject comes or goes, and betas would be extracted again. Nor by
    # ancient(), which can hide other changes (docs/reruns.md).
    priority: 100
    group:
        GROUP_OF["check_design"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("check_design"),
        runtime=minutes_of("check_design"),
        disk_mb=10,
    params:
        subjects=STUDY.subject_names,
        # From the bucket, those of each subject are compared before its betas are fetched.
        compared=(
            FACTS_OF_ALL_SUBJECTS
            if STUDY.config["source"] == "bucket"
            else COUNTED_FACTS
        ),
        code=script_digest("check_design.py"),
        provenance="results/provenance",
    message:
        "Counting the facts of the dataset"
    script:
        "../../scripts/check_design.py"


rule tabulate_trials:
    """Tabulate the trials of one subject after checking them against the design and the stimulus table."""
    input:
        design=nsd_file(layout.EXPERIMENT_DESIGN),
        stimuli=nsd_file(layout.STIMULUS_TABLE),
        responses=lambda wildcards: nsd_file(layout.responses(wildcards.subject)),
    output:
        trials="results/design/trials/{subject}.tsv",
    log:
        "logs/tabulate_trials/{subject}.log",
    benchmark:
        "benchmarks/tabulate_trials/{subject}.tsv"
    group:
        GROUP_OF["tabulate_trials"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("tabulate_trials"),
        runtime=minutes_of("tabulate_trials"),
        disk_mb=table_disk_mb(max(map(n_trials_of, STUDY.subject_names))),
    params:
        # Of this subject, and nothing about image sets: from here all betas of the subject are extracted again.
        sessions=lambda wildcards: STUDY.subject_row(wildcards.subject)["sessions"],
        trials_per_session=trials_per_session,
        code=script_digest("tabulate_trials.py"),
        provenance="results/provenance",
    message:
        "Checking and tabulating the trials of {wildcards.subject}"
    script:
        "../../scripts/tabulate_trials.py"


rule draw_image_sets:
    """Draw the disjoint image sets of one subject, which all models share."""
    input:
        trials=rules.tabulate_trials.output.trials,
    output:
        image_sets="results/design/image_sets/{subject}.tsv",
    log:
        "logs/draw_image_sets/{subject}.log",
    benchmark:
        "benchmarks/draw_image_sets/{subject}.tsv"
    group:
        GROUP_OF["draw_image_sets"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("draw_image_sets"),
        runtime=minutes_of("draw_image_sets"),
        disk_mb=10,
    params:
        n_sets=lambda wildcards: STUDY.subject_row(wildcards.subject)["image_sets"],
        image_set_size=STUDY.config["image_set_size"],
        seed=STUDY.config["seed"],
        code=script_digest("draw_image_sets.py"),
        provenance="results/provenance",
    message:
        "Drawing sets of {params.image_set_size} images of {wildcards.subject}"
    script:
        "../../scripts/draw_image_sets.py"


rule draw_shared_image_sets:
    """Draw the disjoint sets of images that all subjects saw three times, and list all such images."""
    input:
        trials=every_subject(rules.tabulate_trials.output.trials),
    output:
        image_sets="results/design/image_sets/shared.tsv",
        all_shared="results/design/image_sets/shared-all.tsv",
    log:
        "logs/draw_shared_image_sets/draw_shared_image_sets.log",
    benchmark:
        "benchmarks/draw_shared_image_sets/draw_shared_image_sets.tsv"
    group:
        GROUP_OF["draw_shared_image_sets"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("draw_shared_image_sets"),
        runtime=minutes_of("draw_shared_image_sets"),
        disk_mb=10,
    params:
        n_sets=STUDY.config["shared_image_sets"],
        image_set_size=STUDY.config["image_set_size"],
        seed=STUDY.config["seed"],
        code=script_digest("draw_shared_image_sets.py"),
        provenance="results/provenance",
    message:
        "Drawing sets of {params.image_set_size} images that all subjects saw"
    script:
        "../../scripts/draw_shared_image_sets.py"


# Image sets of all subjects, then the shared ones.
EVERY_IMAGE_SET = [
    *every_subject(rules.draw_image_sets.output.image_sets),
    rules.draw_shared_image_sets.output.image_sets,
]
