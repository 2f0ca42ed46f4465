"""Dissimilarities of the images of every set in each region of a subject."""

from pathlib import Path

import xarray as xr

from capcortex.arrays import write_array
from capcortex.jobs import job
from capcortex.nsd.betas import read_roi_betas
from capcortex.nsd.bookkeeping import read_image_sets
from capcortex.nsd.rois import read_label_names, read_surface_labels, roi_vertices
from capcortex.rsa.rdm import rdms_of_sets


def main(
    *,
    betas: str,
    image_sets: str,
    labels: list[str],
    names: list[str],
    rois: dict[str, list[str]],
    distance: str,
    subject: str,
    rdm: str,
) -> None:
    sets, set_labels = read_image_sets(image_sets, subject)
    parts = []
    for number, (atlas, atlas_rois) in enumerate(rois.items()):
        vertex_labels = read_surface_labels([Path(path) for path in labels[2 * number : 2 * number + 2]])
        label_names = read_label_names(names[number])
        for roi in atlas_rois:
            vertices = roi_vertices(vertex_labels, label_names, roi, atlas=atlas)
            patterns, n_left_out = read_roi_betas(betas, vertices)
            made = rdms_of_sets(patterns, sets, set_labels, distance, what=betas).expand_dims(roi=[roi])
            counts = {"n_vertices": patterns.sizes["vertex"], "n_vertices_left_out": n_left_out}
            parts.append(made.assign({key: ("roi", [value]) for key, value in counts.items()}))
    write_array(xr.concat(parts, dim="roi", data_vars="minimal").assign_attrs(subject=subject), rdm)


if __name__ == "__main__":
    with job(snakemake):
        main(
            betas=snakemake.input.betas,
            image_sets=snakemake.input.image_sets,
            labels=list(snakemake.input.labels),
            names=list(snakemake.input.names),
            rois=dict(snakemake.params.rois),
            distance=snakemake.params.distance,
            subject=snakemake.wildcards.subject,
            rdm=snakemake.output.rdm,
        )
