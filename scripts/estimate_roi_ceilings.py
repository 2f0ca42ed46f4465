"""Agreement of the subjects' RDMs on the images that all saw three times."""

from capcortex.arrays import open_array
from capcortex.ids import require_equal
from capcortex.inference.group import SHARED, tabulate_ceilings
from capcortex.jobs import job
from capcortex.rsa.rdm import subjects_of_rois
from capcortex.tables import write_table


def main(*, roi_rdms: list[str], subjects: list[str], measure: str, ceilings: str) -> None:
    of_subjects = {}
    for path, subject in zip(roi_rdms, subjects, strict=True):
        with open_array(path, variables=["rdm", "id73k", "image_set", "roi", "atlas", "analysed"]) as file:
            of_subjects[subject] = file.isel(image_set=file["image_set"].str.startswith(SHARED).to_numpy()).load()
        require_equal(
            of_subjects[subject]["id73k"].to_numpy().ravel(),
            of_subjects[subjects[0]]["id73k"].to_numpy().ravel(),
            left_name=f"{path}, shared image sets",
            right_name=roi_rdms[0],
        )
    labels = [str(label) for label in of_subjects[subjects[0]]["image_set"].to_numpy()]
    collected = {
        roi: {
            label: {subject: of_subjects[subject]["rdm"].sel(roi=roi, image_set=label).to_numpy() for subject in those}
            for label in labels
        }
        for roi, those in subjects_of_rois(of_subjects).items()
    }
    write_table(tabulate_ceilings(collected, measure), ceilings)


if __name__ == "__main__":
    with job(snakemake):
        main(
            roi_rdms=list(snakemake.input.rois),
            subjects=list(snakemake.params.subjects),
            measure=snakemake.params.measure,
            ceilings=snakemake.output.ceilings,
        )
