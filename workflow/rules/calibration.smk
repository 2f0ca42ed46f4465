"""Calibration: do the tests of the study err as often as they say? Simulated studies, a target of its own that no other needs.

Needs: nothing. Makes: results/calibration, results/tables/calibration.*, results/figures/calibration.*.
"""


rule simulate_studies:
    """Studies with the structure of NSD and a known truth, and what the tests say of them."""
    output:
        block="results/calibration/blocks/{scenario}_block-{block}.tsv",
    log:
        "logs/simulate_studies/{scenario}_block-{block}.log",
    benchmark:
        "benchmarks/simulate_studies/{scenario}_block-{block}.tsv"
    wildcard_constraints:
        scenario="|".join(SCENARIOS),
        # Of all blocks of a scenario; global blocks, of image sets, have two digits.
        block=r"\d{4}",
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (SNAKEMAKE_MB + 400),
        # Minutes; a study of the slowest scenario takes 1 s.
        runtime=lambda wildcards, attempt: attempt * 20,
        disk_mb=10,
    params:
        scenario=lambda wildcards: wildcards.scenario,
        studies=calibration_block,
        seed=STUDY.config["seed"],
        code=script_digest("simulate_studies.py"),
        provenance="results/provenance",
    message:
        "Simulated studies, {wildcards.scenario}, block {wildcards.block}"
    script:
        "../../scripts/simulate_studies.py"


rule tabulate_calibration:
    """How often each test errs, each interval covers, and each effect is found."""
    input:
        blocks=calibration_blocks(),
    output:
        table="results/tables/calibration.tsv",
        markdown="results/tables/calibration.md",
    log:
        "logs/tabulate_calibration/tabulate_calibration.log",
    benchmark:
        "benchmarks/tabulate_calibration/tabulate_calibration.tsv"
    group:
        GROUP_OF["tabulate_calibration"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, input, attempt: attempt
        * (SNAKEMAKE_MB + 250 + int(20 * input.size_mb)),
        runtime=lambda wildcards, attempt: attempt * 10,
        disk_mb=10,
    params:
        code=script_digest("tabulate_calibration.py"),
        provenance="results/provenance",
    message:
        "Table: error rates of tests in simulated studies"
    script:
        "../../scripts/tabulate_calibration.py"


rule plot_calibration:
    """Error rates of the tests, coverage of intervals and power, in simulated studies."""
    input:
        table=rules.tabulate_calibration.output.table,
    output:
        pdf="results/figures/calibration.pdf",
        png="results/figures/calibration.png",
        tsv="results/figures/calibration.tsv",
    log:
        "logs/plot_calibration/plot_calibration.log",
    benchmark:
        "benchmarks/plot_calibration/plot_calibration.tsv"
    group:
        GROUP_OF["plot_calibration"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (SNAKEMAKE_MB + figure_memory_mb(0)),
        runtime=lambda wildcards, attempt: attempt * 10,
        disk_mb=20,
    params:
        code=script_digest("plot_calibration.py"),
        provenance="results/provenance",
    message:
        "Figure: calibration of the tests"
    script:
        "../../scripts/plot_calibration.py"


rule calibration:
    """Do the tests of the study err as often as they say? Table and figure; not part of `all`."""
    input:
        rules.tabulate_calibration.output,
        rules.plot_calibration.output,
    localrule: True
