"""Make the miniature's scenes, captions, pictures and design."""

from pathlib import Path

from capcortex.jobs import job
from capcortex.nsd.miniature.experiment import write_experiment

if __name__ == "__main__":
    with job(snakemake):
        write_experiment(
            Path(snakemake.params.root),
            Path(snakemake.params.truth_folder),
            Path(snakemake.output.word_vectors),
            sessions=dict(snakemake.params.sessions),
            runs_per_session=snakemake.params.runs_per_session,
            shared_images=snakemake.params.shared_images,
            seed=snakemake.params.seed,
            captions=next(map(Path, snakemake.input.captions), None),
        )
