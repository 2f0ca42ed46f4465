"""Was the truth found? Compares results with what was planted; only the miniature has a truth.

Needs: resources/miniature/truth, results/rsa, results/rdms/models, results/searchlight, results/maps, results/tables/decoding.tsv. Makes: results/check.tsv.
"""

if STUDY.config["source"] == "miniature":

    # The subjects of the maps: all or, when no model is mapped, none.
    MAPPED_SUBJECTS = (
        STUDY.subject_names if STUDY.config["searchlight"]["models"] else []
    )

    rule check_truth:
        """One row for every planted effect or null: expected value, estimate, interval, verdict."""
        input:
            truth=study_file(STUDY.config["miniature"]["truth"]),
            latents=rules.make_miniature_experiment.output.latents,
            surfaces=[
                f"resources/miniature/truth/{subject}_surface.nc"
                for subject in STUDY.subject_names
            ],
            responses=rules.make_miniature_experiment.output.responses,
            models=every_model(rules.compute_model_rdm.output.rdm),
            scores=every_model(in_roi_space(rules.compare_roi_rdms.output.scores)),
            ceilings=in_roi_space(rules.estimate_roi_ceilings.output.ceilings),
            decoding=[DECODING_TABLE] if STUDY.decoding_models else [],
            decoded=expand(MODEL_FEATURES, model=STUDY.decoding_models),
            searchlight=scores_of_mapped_models,
            groups=expand(
                rules.compute_group_map.output.group,
                map=STUDY.config["searchlight"]["models"],
            ),
            surface_maps=expand(
                rules.project_searchlight.output.maps,
                model=STUDY.config["searchlight"]["models"],
            ),
            volumes=[
                f"resources/miniature/truth/{subject}_volume.nc"
                for subject in MAPPED_SUBJECTS
            ],
            masks=[
                nsd_file(layout.volume_file(subject, "brainmask"))
                for subject in MAPPED_SUBJECTS
            ],
            valid=[
                nsd_file(layout.volume_file(subject, "valid"))
                for subject in MAPPED_SUBJECTS
            ],
            transforms=[
                path
                for subject in MAPPED_SUBJECTS
                for path in depth_transforms(subject)
            ],
            indices=[
                path
                for subject in MAPPED_SUBJECTS
                for path in white_to_fsaverage(subject)
            ],
            encoding_maps=expand(
                rules.collect_encoding.output.maps, model=STUDY.encoding_models
            ),
            features=expand(MODEL_FEATURES, model=STUDY.encoding_models),
            sentence_maps=expand(
                SUBJECTS_MAPS, name=[SENTENCES_OF + group for group in SENTENCES]
            ),
            sentences=[rules.embed_sentences.output.features] if SENTENCES else [],
        output:
            check=report(
                "results/check.tsv",
                caption="../report/check.rst",
                category="Was the truth found?",
                labels={"figure": "Planted effects and nulls", "format": "numbers"},
            ),
        log:
            "logs/check_truth/check_truth.log",
        benchmark:
            "benchmarks/check_truth/check_truth.tsv"
        group:
            GROUP_OF["check_truth"]
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory_of("check_truth"),
            runtime=minutes_of("check_truth"),
            disk_mb=10,
        params:
            subjects=STUDY.subject_names,
            seed=STUDY.config["miniature"]["seed"],
            made_up_captions=STUDY.config["miniature"]["captions"] is None,
            # Expected values of regions are those of correlation distances in all vertices of the streams on fsaverage.
            checked_rois=(
                STUDY.config["rois"].get("streams", [])
                if STUDY.config["roi_space"] == "fsaverage"
                and STUDY.config["least_ncsnr"] is None
                and STUDY.config["brain_distance"] == "correlation"
                else []
            ),
            encoding_models=STUDY.encoding_models,
            groups=list(SENTENCES),
            sentence_model=STUDY.sentence_model,
            decoded_models=STUDY.decoding_models,
            mapped_models=STUDY.config["searchlight"]["models"],
            n_blocks=[len(image_set_blocks(subject)) for subject in STUDY.subject_names],
            radius=STUDY.config["searchlight"]["radius"],
            code=script_digest("check_truth.py"),
            provenance="results/provenance",
        message:
            "Comparing the results with the planted truth"
        script:
            "../../scripts/check_truth.py"


rule checks:
    """The check against the planted truth, where there is one."""
    input:
        rules.check_truth.output.check if STUDY.config["source"] == "miniature" else [],
    localrule: True
