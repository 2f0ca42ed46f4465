"""Group results of every model and region."""

from capcortex.arrays import open_array
from capcortex.inference.ceilings import CEILING_COLUMNS
from capcortex.inference.group import add_tests_on_shared_images, leave_out_zero, tabulate_group
from capcortex.inference.pairs import choose_scores
from capcortex.jobs import job
from capcortex.rsa.rdm import SCORE_COLUMNS
from capcortex.tables import read_table, write_table

if __name__ == "__main__":
    with job(snakemake):
        of_sets, over_all_pairs = (
            [read_table(path, columns=SCORE_COLUMNS) for path in paths]
            for paths in (snakemake.input.scores, snakemake.input.all_pairs)
        )
        ceilings = read_table(snakemake.input.ceilings, columns=CEILING_COLUMNS)
        with open_array(snakemake.input.bootstrap, variables=["score", "model", "roi"]) as file:
            bootstrap = file.load()
        confidence = snakemake.params.confidence
        table = tabulate_group(choose_scores(of_sets, over_all_pairs), ceilings, confidence)
        tested = add_tests_on_shared_images(table, bootstrap, confidence)
        write_table(leave_out_zero(tested), snakemake.output.table)
