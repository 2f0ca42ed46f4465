"""The scorecard: what came out as published, what did not, and what these data cannot test; on the miniature, of what was planted.

Needs: config/claims.tsv, results/tables, results/design, results/maps, results/rdms/models; on the miniature results/check.tsv. Makes: results/scorecard.tsv.
"""

# On the miniature no claim about the brain can be tested, and nothing but the check is read.
SCORED_BRAINS = STUDY.config["source"] != "miniature"

# Maps that a claim can be about, with their kind and name there.
SCORED_MAPS = (
    {
        model: ("searchlight-map", model)
        for model in STUDY.config["searchlight"]["models"]
    }
    | {ENCODING + model: ("encoding-map", model) for model in STUDY.encoding_models}
    | {
        name: ("sentence-map", name.removeprefix(SENTENCES_OF))
        for name in STUDY.maps
        if name.startswith(SENTENCES_OF)
    }
    if SCORED_BRAINS
    else {}
)

# Pairs of models whose RDMs a claim compares, and all models of these.
SCORED_PAIRS = (
    pairs_of_claims(
        read_claims(STUDY_FOLDER / STUDY.config["claims_table"]), STUDY.model_names
    )
    if SCORED_BRAINS
    else []
)
SCORED_MODELS = sorted({model for pair in SCORED_PAIRS for model in pair})


# Tables of every kind that this configuration makes.
SCORED_TABLES = {
    "facts": [rules.check_design.output.facts],
    "image_sets": every_subject(rules.draw_image_sets.output.image_sets),
    "regions": [in_roi_space(rules.tabulate_roi_rsa.output.table)],
    "comparisons": (
        [in_roi_space(rules.compare_models.output.table)] if STUDY.comparisons else []
    ),
    "released": RELEASED_STATISTICS,
    "ceilings": [in_roi_space(rules.tabulate_ceilings.output.table)],
    "encoding": (
        [rules.tabulate_encoding.output.table] if STUDY.encoding_models else []
    ),
    "decoding": [rules.tabulate_decoding.output.table] if STUDY.decoding_models else [],
}


rule score_claims:
    """One row for every published number or claim, on the miniature for every planted effect or null: ours beside it, and a verdict."""
    input:
        **{
            kind: paths if SCORED_BRAINS else []
            for kind, paths in SCORED_TABLES.items()
        },
        check=[] if SCORED_BRAINS else [rules.check_truth.output.check],
        groups=expand(rules.compute_group_map.output.group, map=SCORED_MAPS),
        model_rdms=expand(rules.compute_model_rdm.output.rdm, model=SCORED_MODELS),
    output:
        scorecard=report(
            "results/scorecard.tsv",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"figure": "All claims", "format": "numbers"},
        ),
    log:
        "logs/score_claims/score_claims.log",
    benchmark:
        "benchmarks/score_claims/score_claims.tsv"
    group:
        GROUP_OF["score_claims"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("score_claims"),
        runtime=minutes_of("score_claims"),
        disk_mb=10,
    params:
        # Not an input, whose path from the folder of the results would change when that is moved.
        claims=file_digest(STUDY_FOLDER / STUDY.config["claims_table"]),
        kinds=list(SCORED_TABLES),
        maps=list(SCORED_MAPS.values()),
        models=SCORED_MODELS,
        pairs=SCORED_PAIRS,
        confidence=STUDY.config["confidence"],
        false_discovery_rate=STUDY.config["false_discovery_rate"],
        source=STUDY.config["source"],
        code=script_digest("score_claims.py"),
        provenance="results/provenance",
    message:
        "Scoring published claims"
    script:
        "../../scripts/score_claims.py"


rule plot_scorecard:
    """The scorecard at a glance: published beside ours, with a verdict."""
    input:
        scorecard=rules.score_claims.output.scorecard,
    output:
        pdf=report(
            "results/figures/scorecard.pdf",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"figure": "Scorecard", "format": "PDF"},
        ),
        png=report(
            "results/figures/scorecard.png",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"figure": "Scorecard", "format": "PNG"},
        ),
        tsv=report(
            "results/figures/scorecard.tsv",
            caption="../report/scorecard.rst",
            category="Scorecard",
            labels={"figure": "Scorecard", "format": "numbers"},
        ),
    log:
        "logs/plot_scorecard/plot_scorecard.log",
    benchmark:
        "benchmarks/plot_scorecard/plot_scorecard.tsv"
    group:
        GROUP_OF["plot_scorecard"]
    conda:
        "../../envs/analysis.yaml"
    threads: 1
    resources:
        mem_mb=memory_of("plot_scorecard"),
        runtime=minutes_of("plot_scorecard"),
        disk_mb=20,
    params:
        n_subjects=len(STUDY.subject_names),
        source=STUDY.config["source"],
        code=script_digest("plot_scorecard.py"),
        provenance="results/provenance",
    message:
        "Figure: scorecard"
    script:
        "../../scripts/plot_scorecard.py"


rule scorecard:
    """Which published numbers and claims came out again."""
    input:
        rules.score_claims.output,
        rules.plot_scorecard.output,
    localrule: True
