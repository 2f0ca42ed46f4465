"""The miniature NSD: made up, with NSD's folders, names and formats, and a known truth. Only when source is miniature.

Makes: resources/nsd (what a reader of NSD sees), resources/miniature (the planted truth, read only by the final check).
"""

# Of all subjects in the table, not only of those that the study uses: leaving one out makes up nothing anew.
MINIATURE_SESSIONS = (
    read_table(
        study_file(STUDY.config["subjects_table"]), columns=["subject", "sessions"]
    )
    .set_index("subject")["sessions"]
    .to_dict()
)

if STUDY.config["source"] == "miniature":
    # What shapes the brains is a parameter, so that another check in the truth file makes no new brains.
    PLANTED = {
        key: value
        for key, value in yaml.safe_load(
            Path(study_file(STUDY.config["miniature"]["truth"])).read_text()
        ).items()
        if not key.endswith("checks") and key != "equivalence_bound"
    }

    rule make_miniature_experiment:
        """Draw scenes, phrase captions, render pictures, and plan who sees what when."""
        input:
            captions=[path for path in [STUDY.config["miniature"]["captions"]] if path],
        output:
            design=nsd_file(layout.EXPERIMENT_DESIGN),
            stimuli=nsd_file(layout.STIMULUS_TABLE),
            responses=[
                nsd_file(layout.responses(subject)) for subject in MINIATURE_SESSIONS
            ],
            captions=[
                nsd_file(layout.annotations("captions", split))
                for split in layout.SPLITS
            ],
            instances=[
                nsd_file(layout.annotations("instances", split))
                for split in layout.SPLITS
            ],
            brick=nsd_file(layout.IMAGE_BRICK),
            shared=directory(nsd_file(layout.SHARED_PICTURES)),
            scenes="resources/miniature/truth/scenes.tsv",
            latents="resources/miniature/truth/latents.nc",
            picture_attributes="resources/miniature/truth/picture_attributes.tsv",
            word_vectors="resources/miniature/word_vectors.txt",
        log:
            "logs/make_miniature_experiment/make_miniature_experiment.log",
        benchmark:
            "benchmarks/make_miniature_experiment/make_miniature_experiment.tsv"
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory_of("make_miniature_experiment"),
            runtime=minutes_of("make_miniature_experiment"),
            disk_mb=50 + n_text_images(STUDY) // 10,
        params:
            root=lambda wildcards, output: nsd_root_of(output.design),
            truth_folder=subpath(output.latents, parent=True),
            sessions=MINIATURE_SESSIONS,
            runs_per_session=STUDY.config["miniature"]["runs_per_session"],
            shared_images=STUDY.config["miniature"]["shared_images"],
            seed=STUDY.config["miniature"]["seed"],
            code=script_digest("make_miniature_experiment.py"),
            provenance="resources/miniature/provenance",
        message:
            "Miniature NSD: scenes, captions, pictures, design"
        script:
            "../../scripts/make_miniature_experiment.py"

    rule make_miniature_fsaverage:
        """Write the common cortex with its atlases."""
        output:
            labels=[
                nsd_file(layout.surface_label("fsaverage", hemisphere, atlas))
                for atlas in layout.ATLASES
                for hemisphere in layout.HEMISPHERES
            ],
            names=[
                nsd_file(layout.label_names("fsaverage", atlas))
                for atlas in layout.ATLASES
            ],
            surfaces=[
                nsd_file(layout.surface("fsaverage", hemisphere, name))
                for hemisphere in layout.HEMISPHERES
                for name in ("white", "pial", "inflated", "sphere", "sulc", "curv")
            ],
        log:
            "logs/make_miniature_fsaverage/make_miniature_fsaverage.log",
        benchmark:
            "benchmarks/make_miniature_fsaverage/make_miniature_fsaverage.tsv"
        conda:
            "../../envs/analysis.yaml"
        threads: 1
        resources:
            mem_mb=memory_of("make_miniature_fsaverage"),
            runtime=minutes_of("make_miniature_fsaverage"),
            disk_mb=50,
        params:
            root=lambda wildcards, output: nsd_root_of(output.labels[0]),
            seed=STUDY.config["miniature"]["seed"],
            code=script_digest("make_miniature_fsaverage.py"),
            provenance="resources/miniature/provenance",
        message:
            "Miniature NSD: cortex and atlases"
        script:
            "../../scripts/make_miniature_fsaverage.py"

    # The twins of the betas in NSD's other formats are large, so one subject has them, unless they are what is read.
    WITH_TWINS = (
        STUDY.subject_names
        if STUDY.config["volume_betas"] == "hdf5" or NATIVE_SURFACE
        else [min(MINIATURE_SESSIONS)]
    )
    # One rule for each subject, because an output list cannot depend on a wildcard and subjects differ in their sessions.
    for _subject in STUDY.subject_names:

        rule:
            name:
                f"make_miniature_brain_{_subject}"
            input:
                design=rules.make_miniature_experiment.output.design,
                latents=rules.make_miniature_experiment.output.latents,
            output:
                surface_betas=[
                    nsd_file(
                        layout.surface_betas(
                            _subject,
                            STUDY.config["betas_version"],
                            session,
                            hemisphere,
                        )
                    )
                    for session in STUDY.sessions(_subject)
                    for hemisphere in layout.HEMISPHERES
                ],
                volume_betas=[
                    nsd_file(
                        layout.volume_betas(
                            _subject, STUDY.config["betas_version"], session
                        )
                    )
                    for session in STUDY.sessions(_subject)
                ],
                volume_twins=[
                    nsd_file(
                        layout.volume_betas(
                            _subject,
                            STUDY.config["betas_version"],
                            session,
                            suffix="hdf5",
                        )
                    )
                    for session in STUDY.sessions(_subject)
                    if _subject in WITH_TWINS
                ],
                surface_twins=[
                    nsd_file(
                        layout.native_betas(
                            _subject,
                            STUDY.config["betas_version"],
                            session,
                            hemisphere,
                        )
                    )
                    for session in STUDY.sessions(_subject)
                    for hemisphere in layout.HEMISPHERES
                    if _subject in WITH_TWINS
                ],
                transforms=[
                    nsd_file(layout.transform(_subject, hemisphere, name))
                    for hemisphere in layout.HEMISPHERES
                    for name in (
                        *(f"func1pt8-to-{depth}" for depth in layout.DEPTHS),
                        "white-to-fsaverage",
                    )
                ],
                brainmask=nsd_file(layout.volume_file(_subject, "brainmask")),
                valid=nsd_file(layout.volume_file(_subject, "valid")),
                # What regions are read from: labels and their names, native to fsaverage, reliability.
                volume_labels=[
                    nsd_file(layout.volume_file(_subject, f"roi/{atlas}"))
                    for atlas in (*layout.ATLASES, *layout.SUBJECT_ATLASES)
                ],
                native_labels=[
                    nsd_file(layout.surface_label(_subject, hemisphere, atlas))
                    for atlas in layout.SUBJECT_ATLASES
                    for hemisphere in layout.HEMISPHERES
                ],
                names=[
                    nsd_file(layout.label_names(_subject, atlas))
                    for atlas in layout.SUBJECT_ATLASES
                ],
                volume_ncsnr=nsd_file(
                    layout.volume_ncsnr(_subject, STUDY.config["betas_version"])
                ),
                surface_ncsnr=[
                    nsd_file(
                        layout.surface_ncsnr(
                            _subject,
                            STUDY.config["betas_version"],
                            "fsaverage",
                            hemisphere,
                        )
                    )
                    for hemisphere in layout.HEMISPHERES
                ],
                surface_truth=f"resources/miniature/truth/{_subject}_surface.nc",
                volume_truth=f"resources/miniature/truth/{_subject}_volume.nc",
            log:
                f"logs/make_miniature_brain/{_subject}.log",
            benchmark:
                f"benchmarks/make_miniature_brain/{_subject}.tsv"
            conda:
                "../../envs/analysis.yaml"
            threads: 1
            resources:
                mem_mb=memory_of(f"make_miniature_brain_{_subject}"),
                runtime=minutes_of(f"make_miniature_brain_{_subject}"),
                disk_mb=made_brain_disk_mb(_subject, twins=_subject in WITH_TWINS),
            params:
                root=lambda wildcards, output: nsd_root_of(output.brainmask),
                truth_folder=subpath(output.surface_truth, parent=True),
                subject=_subject,
                twins=_subject in WITH_TWINS,
                planted=PLANTED,
                sessions=MINIATURE_SESSIONS,
                runs_per_session=STUDY.config["miniature"]["runs_per_session"],
                betas_version=STUDY.config["betas_version"],
                seed=STUDY.config["miniature"]["seed"],
                code=script_digest("make_miniature_brain.py"),
                provenance="resources/miniature/provenance",
            message:
                f"Miniature NSD: brain of {_subject}"
            script:
                "../../scripts/make_miniature_brain.py"
