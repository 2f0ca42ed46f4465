"""Which image was seen when: NSD's bookkeeping, checked before anything rests on it.

Needs: nsd_expdesign.mat, nsd_stim_info_merged.csv, responses.tsv. Makes: results/design.
"""


rule check_design:
    """Compare the study's tables, NSD's own files and the acceptance table; stop at the first difference."""
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
        trials="results/design/trials.tsv",
        facts="results/design/facts.tsv",
    log:
        "logs/check_design/check_design.log",
    benchmark:
        "benchmarks/check_design/check_design.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
        disk_mb=100,
    params:
        subjects=STUDY.subjects.to_dict("records"),
        image_set_size=STUDY.config["image_set_size"],
        shared_image_sets=STUDY.config["shared_image_sets"],
        code=script_digest("check_design.py"),
        provenance="results/provenance",
    message:
        "Checking trials and images against the design"
    script:
        "../../scripts/check_design.py"


rule draw_image_sets:
    """Draw the disjoint image sets that all models share."""
    input:
        trials=rules.check_design.output.trials,
    output:
        image_sets="results/design/image_sets.tsv",
    log:
        "logs/draw_image_sets/draw_image_sets.log",
    benchmark:
        "benchmarks/draw_image_sets/draw_image_sets.tsv"
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=5,
        disk_mb=10,
    params:
        image_set_size=STUDY.config["image_set_size"],
        seed=STUDY.config["seed"],
        code=script_digest("draw_image_sets.py"),
        provenance="results/provenance",
    message:
        "Drawing sets of {params.image_set_size} images"
    script:
        "../../scripts/draw_image_sets.py"
