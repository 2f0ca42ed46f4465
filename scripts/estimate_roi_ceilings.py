"""Agreement of the subjects' RDMs on the images that all saw three times."""

import numpy as np

from capcortex.arrays import open_array
from capcortex.ids import require_equal
from capcortex.inference.group import SHARED, tabulate_ceilings
from capcortex.jobs import job
from capcortex.tables import write_table


def main(*, roi_rdms: list[str], subjects: list[str], ceilings: str) -> None:
    collected: dict[str, dict[str, list[np.ndarray]]] = {}
    ids: dict[str, np.ndarray] = {}
    for path in roi_rdms:
        with open_array(path, variables=["rdm", "id73k", "image_set", "roi"]) as file:
            for label in (str(name) for name in file["image_set"].to_numpy() if str(name).startswith(SHARED)):
                images = file["id73k"].sel(image_set=label).to_numpy()
                require_equal(
                    ids.setdefault(label, images), images, left_name=f"{roi_rdms[0]}, {label}", right_name=path
                )
                for roi in map(str, file["roi"].to_numpy()):
                    vector = file["rdm"].sel(roi=roi, image_set=label).to_numpy()
                    collected.setdefault(roi, {}).setdefault(label, []).append(vector)
    stacked = {roi: {label: np.array(vectors) for label, vectors in sets.items()} for roi, sets in collected.items()}
    write_table(tabulate_ceilings(stacked, subjects), ceilings)


if __name__ == "__main__":
    with job(snakemake):
        main(
            roi_rdms=list(snakemake.input.rois),
            subjects=list(snakemake.params.subjects),
            ceilings=snakemake.output.ceilings,
        )
