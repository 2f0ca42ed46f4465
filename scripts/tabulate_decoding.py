"""Mean scores of all models' and subjects' decoding."""

import pandas as pd

from capcortex.arrays import open_array
from capcortex.inference.decoding import tabulate_decoding
from capcortex.jobs import job
from capcortex.tables import write_table


def main(*, decodings: list[str], table: str) -> None:
    parts = []
    for path in decodings:
        with open_array(path, variables=["r", "fraction", "id73k"]) as file:
            parts.append(tabulate_decoding(file))
    write_table(pd.concat(parts, ignore_index=True), table)


if __name__ == "__main__":
    with job(snakemake):
        main(decodings=list(snakemake.input.decodings), table=snakemake.output.table)
