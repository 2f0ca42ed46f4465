"""What jobs demand whose inputs the study makes just before them: from the numbers of its config and tables alone.

Snakemake asks for the memory and the minutes of a group of jobs before any of them has run, so file sizes tell nothing yet. The
rules ask with `demands_of`, and the plan prints it; formulas and rates are in ``costs``.
"""

import math
from pathlib import Path
from typing import NamedTuple

from capcortex import costs
from capcortex.config import Study
from capcortex.encoding.decode import decoding_memory_mb
from capcortex.encoding.encode import UNITS_AT_ONCE, encoding_memory_mb
from capcortex.nsd import sizes
from capcortex.nsd.bookkeeping import MOST_SHARED, N_SUBJECTS, REPEATS
from capcortex.nsd.sessions import FSAVERAGE_VERTICES
from capcortex.rsa.rdm import n_pairs
from capcortex.rsa.sentinel import N_SHIFTS
from capcortex.text.dictionary import dictionary_memory_mb
from capcortex.text.models import NEED_VECTORS, SENTENCES_OF_CAPTIONS

# Of the miniature: fsaverage5 and volumes of about 33 x 41 x 31 voxels, of which 17,600 are in the mask.
MINIATURE_VERTICES = 10_242
MINIATURE_VOXELS, MINIATURE_BRAIN = 33 * 41 * 31, 17_600
NSD_IMAGES, NSD_TRIALS = 73_000, 40 * 750


class Demand(NamedTuple):
    """Memory in MB that a job asks for at its first attempt, and the seconds that it is expected to take on one core."""

    memory_mb: int
    seconds: float = costs.FIGURE_SECONDS


def is_miniature(study: Study) -> bool:
    """Whether the study makes its data up."""
    return bool(study.config["source"] == "miniature")


def n_vertices(study: Study) -> int:
    """Vertices of both hemispheres of fsaverage."""
    return 2 * (MINIATURE_VERTICES if is_miniature(study) else FSAVERAGE_VERTICES)


def n_text_images(study: Study) -> int:
    """Images that have captions: all of NSD's, or those that the miniature's eight subjects are to see."""
    if not is_miniature(study):
        return NSD_IMAGES
    most = max(row["sessions"] * row["trials_per_session"] for _, row in study.subjects.iterrows()) // REPEATS
    return int(N_SUBJECTS * most - (N_SUBJECTS - 1) * study.config["miniature"]["shared_images"])


def n_image_sets(study: Study) -> int:
    """Image sets of all subjects, and shared ones."""
    return int(study.subjects["image_sets"].sum()) + int(study.config["shared_image_sets"])


def n_rois(study: Study) -> int:
    """Regions of all atlases."""
    return sum(map(len, study.config["rois"].values()))


def roi_rdm_bytes(study: Study, subject: str) -> int:
    """Size of a subject's RDMs of all regions, own and shared image sets, float32."""
    n_sets = study.subject_row(subject)["image_sets"] + study.config["shared_image_sets"]
    return int(4 * n_rois(study) * n_sets * n_pairs(study.config["image_set_size"]))


def model_rdm_bytes(study: Study) -> int:
    """Size of a model's RDMs of all image sets, float32."""
    return 4 * n_image_sets(study) * n_pairs(study.config["image_set_size"])


def own_file_mb(study: Study, model: str) -> float:
    """Size in MB of a model's own file, which becomes its features or RDM; 0 where it has none, or is not made yet."""
    return 0.0 if study.model_row(model)["builder"] in NEED_VECTORS else _size_of_file(study, model)


def _size_of_file(study: Study, model: str) -> float:
    path = study.model_row(model)["path"]
    return Path(path).stat().st_size / 2**20 if path and Path(path).exists() else 0.0


def demands_of_model(study: Study, model: str) -> dict[str, Demand]:
    """Find what the jobs of a model demand, by their rules: `embed_model` or `build_model`, and `compute_model_rdm`."""
    n_images, n_sets, size = n_text_images(study), n_image_sets(study), study.config["image_set_size"]
    builder = study.model_row(model)["builder"]
    own_mb, encoder = own_file_mb(study, model), study.encoder_row(model)
    if encoder is None:
        seconds = costs.FIGURE_SECONDS + own_mb / costs.OWN_FILE_MB_PER_SECOND
        words_mb = 0.0
        if builder in NEED_VECTORS:
            words_mb = costs.words_mb(n_images)
            # Of gzipped text a third is left.
            seconds += 3 * _size_of_file(study, model) / costs.VECTORS_MB_PER_SECOND
            seconds += costs.WORD_SECONDS * costs.CAPTIONS_OF_IMAGE * costs.WORDS_OF_CAPTION * n_images
        found = {"build_model": Demand(costs.building_memory_mb(n_images, own_mb, words_mb), seconds)}
    else:
        sentence = costs.SENTENCE_SECONDS.get(encoder["encoder"], max(costs.SENTENCE_SECONDS.values()))
        n_texts = costs.CAPTIONS_OF_IMAGE if builder in SENTENCES_OF_CAPTIONS else 1
        found = {"embed_model": Demand(costs.embedding_memory_mb(n_images), sentence * n_texts * n_images)}
    # A file of one's own is read as it is or, if it is compressed, at most twice its size.
    of_model = max(costs.features_mb(n_images), 2 * own_mb)
    found["compute_model_rdm"] = Demand(
        costs.model_rdm_memory_mb(of_model, n_sets, size), n_sets * n_pairs(size) * costs.FEATURES * costs.PAIR_SECONDS
    )
    return _with_snakemake(found)


def demands_of(study: Study) -> dict[str, Demand]:
    """Find what the jobs of a study demand, by the names of their rules.

    Returns
    -------
    dict
        Of rules whose jobs all ask alike; of subjects with different numbers the largest counts.
    """
    of_script = _of_trials(study) | _of_regions(study) | _of_maps(study) | _of_decoding(study) | _of_figures(study)
    if is_miniature(study):
        of_script |= _of_miniature(study)
    return _with_snakemake(of_script)


def _with_snakemake(of_script: dict[str, Demand]) -> dict[str, Demand]:
    return {rule: each._replace(memory_mb=costs.SNAKEMAKE_MB + each.memory_mb) for rule, each in of_script.items()}


def _n_trials(study: Study) -> int:
    """Trials in the file of a subject: all that were recorded, also where fewer sessions are used."""
    most = int((study.subjects["sessions"] * study.subjects["trials_per_session"]).max())
    return most if is_miniature(study) else max(most, NSD_TRIALS)


def _of_trials(study: Study) -> dict[str, Demand]:
    n_images, n_trials = n_text_images(study), _n_trials(study)
    n_all = len(study.subject_names) * n_trials
    return {
        "check_design": Demand(costs.design_memory_mb(n_all, n_images)),
        "check_acceptance": Demand(costs.design_memory_mb(n_trials, n_images)),
        "tabulate_trials": Demand(costs.design_memory_mb(n_trials, n_images)),
        "draw_image_sets": Demand(costs.design_memory_mb(n_trials)),
        "draw_shared_image_sets": Demand(costs.design_memory_mb(n_all)),
        "tag_captions": Demand(
            costs.tagging_memory_mb(n_images),
            costs.FIGURE_SECONDS + costs.CAPTIONS_OF_IMAGE * n_images * costs.TAGGED_CAPTION_SECONDS,
        ),
        "tabulate_models": Demand(costs.table_memory_mb(len(study.model_names))),
        "tabulate_data_quality": Demand(costs.quality_memory_mb(len(study.subject_names))),
    }


def _of_regions(study: Study) -> dict[str, Demand]:
    config, size, measure = study.config, study.config["image_set_size"], study.config["rdm_comparison"]
    n_subjects, n_models = len(study.subject_names), len(study.model_names)
    n_sets, n_shared_sets = n_image_sets(study), config["shared_image_sets"]
    rois_mb = sum(roi_rdm_bytes(study, subject) for subject in study.subject_names) / 2**20
    model_mb = model_rdm_bytes(study) / 2**20
    of_ceilings = costs.ceilings_mb(n_shared_sets, size, MOST_SHARED)
    n_of_subjects = n_subjects * n_rois(study)
    second = costs.comparison_seconds(measure, size)
    # Every subject with the mean of all and of the others, on shared sets over all images and for three repeats.
    ceiling_seconds = n_of_subjects * n_shared_sets * 8 * second
    bootstrapped = config["bootstrap_draws"] * n_shared_sets * n_models * n_of_subjects
    permuted = config["image_permutations"] * n_sets * n_rois(study)
    shared_sets_mb = (n_of_subjects + n_models) * 4 * n_shared_sets * n_pairs(size) / 2**20
    table = Demand(costs.table_memory_mb(n_scores(study)))
    return {
        "check_sentinel": Demand(
            costs.sentinel_memory_mb(n_text_images(study), n_sets, size),
            costs.SHIFTED_SET_SECONDS * (1 + N_SHIFTS) * n_sets * (size / 100) ** 2,
        ),
        "compare_roi_rdms": Demand(
            costs.comparison_memory_mb(rois_mb + model_mb), costs.FIGURE_SECONDS + n_sets * n_rois(study) * second
        ),
        "bootstrap_rois": Demand(costs.bootstrap_memory_mb(rois_mb + n_models * model_mb), bootstrapped * second),
        "permute_images": Demand(costs.permutation_memory_mb(rois_mb + model_mb), permuted * second),
        "estimate_roi_ceilings": Demand(
            costs.estimation_memory_mb(n_of_subjects * of_ceilings + shared_sets_mb),
            costs.FIGURE_SECONDS + ceiling_seconds,
        ),
        "tabulate_ceilings": Demand(costs.table_memory_mb(n_ceilings(study))),
        "tabulate_roi_rsa": table,
        "tabulate_all_pairs": table,
        "tabulate_permutations": Demand(costs.table_memory_mb(n_models * n_of_subjects)),
        "compare_models": table,
        "tabulate_released_statistics": table,
        "tabulate_multiverse": Demand(costs.table_memory_mb(n_universe_rows(study))),
    }


def n_scores(study: Study) -> int:
    """Rows of all tables of scores of models in regions: image sets, and all pairs of every subject."""
    n_of_models = len(study.model_names) * n_rois(study)
    # A shared set is each subject's.
    n_sets = int(study.subjects["image_sets"].sum())
    return n_of_models * (n_sets + len(study.subject_names) * (study.config["shared_image_sets"] + 1))


def n_universe_rows(study: Study) -> int:
    """Rows of all tables of universes: two models and their difference for every subject, region and universe."""
    multiverse = study.multiverse
    return 3 * len(study.subject_names) * multiverse.n_rois * multiverse.n_universes if multiverse else 0


def universes_seconds(study: Study, subject: str, n_units: int) -> float:
    """Seconds of the job of a subject and space, beside reading: RDMs of the regions, and their comparison with two models.

    Parameters
    ----------
    study
        A study with a multiverse.
    subject
        Name.
    n_units
        Vertices or voxels of the space, of which the regions of an atlas together have at most all.
    """
    multiverse, size = study.multiverse, study.config["image_set_size"]
    if multiverse is None:
        return 0.0
    levels = {axis: len(of_axis) for axis, of_axis in multiverse.axes.items()}
    n_rdms = math.prod(
        levels[axis] for axis in ("betas_version", "zscore", "draw", "distance", "least_ncsnr", "within")
    )
    n_rdms *= study.subject_row(subject)["image_sets"]
    rdms = n_rdms * n_pairs(size) * len(multiverse.rois) * n_units * costs.UNIVERSE_PAIR_SECONDS
    of_measures = sum(costs.universe_comparison_seconds(measure, size) for measure in multiverse.axes["measure"])
    return rdms + n_rdms * multiverse.n_rois * len(multiverse.models) * of_measures


def n_ceilings(study: Study) -> int:
    """Rows of the table of ceilings, at most: lower and upper of each kind, on every shared set and over all images."""
    n_kinds = 2 * (len(study.model_names) + 4)
    return n_kinds * n_rois(study) * len(study.subject_names) * (study.config["shared_image_sets"] + 1)


def _own_width(study: Study, model: str) -> int:
    """Features of a model's own file, at most: of text files more than there are."""
    return int(own_file_mb(study, model) * 2**20 / (4 * n_text_images(study)))


def _of_maps(study: Study) -> dict[str, Demand]:
    n_subjects, n_all = len(study.subject_names), n_vertices(study)
    n_sets = int(study.subjects["image_sets"].max())
    width = max([costs.FEATURES, *(_own_width(study, model) for model in study.encoding_models)])
    n_images = int((study.subjects["sessions"] * study.subjects["trials_per_session"]).max()) // REPEATS
    if is_miniature(study):
        n_voxels, n_volume = MINIATURE_BRAIN, MINIATURE_VOXELS
    else:
        n_voxels = max(map(sizes.estimated_voxels, study.subject_names))
        n_volume = max(math.prod(sizes.VOLUME_SHAPES[subject]) for subject in study.subject_names)
    drawn = costs.drawn_maps_memory_mb(n_subjects, n_all)
    encoding_seconds = costs.COMPILING_SECONDS
    encoding_seconds += n_all * costs.ENCODED_VERTEX_SECONDS * max(1.0, (width / costs.FEATURES) ** 2)
    return {
        "average_searchlight": Demand(costs.averaged_map_memory_mb(n_sets, n_voxels)),
        "project_searchlight": Demand(
            costs.projection_memory_mb(n_subjects, n_all, n_volume),
            costs.FIGURE_SECONDS + n_subjects * n_all * costs.PROJECTED_VERTEX_SECONDS,
        ),
        "fit_encoding": Demand(
            encoding_memory_mb(n_images, width, n_all),
            encoding_seconds,
        ),
        "fit_encoding_as_released": Demand(encoding_memory_mb(n_images, width, 0), 1.5 * encoding_seconds),
        "estimate_agreement": Demand(
            costs.agreement_memory_mb(n_subjects, n_images, MOST_SHARED, UNITS_AT_ONCE, n_all),
            costs.FIGURE_SECONDS + n_subjects * n_all * costs.AGREEING_VERTEX_SECONDS,
        ),
        "tabulate_encoding": Demand(costs.projection_memory_mb(4 * n_subjects, n_all, 0)),
        "embed_sentences": Demand(costs.embedding_memory_mb(0), 2 * costs.FIGURE_SECONDS),
        "predict_sentences": Demand(costs.sentence_maps_memory_mb(n_subjects, n_all, len(study.sentence_groups))),
        "collect_encoding": Demand(costs.projection_memory_mb(n_subjects, n_all, 0)),
        "compute_group_map": Demand(costs.group_map_memory_mb(n_subjects, n_all)),
        "plot_encoding_agreement": Demand(drawn, 2 * costs.FIGURE_SECONDS),
        "plot_group_map": Demand(drawn, costs.FIGURE_SECONDS + 2 * n_all * costs.DRAWN_VERTEX_SECONDS),
        "plot_subject_maps": Demand(
            drawn, costs.FIGURE_SECONDS + (1 + n_subjects) * n_all * costs.DRAWN_VERTEX_SECONDS
        ),
    }


def n_dictionary_sentences(study: Study) -> int:
    """Sentences of the dictionary: captions of all images, or at most as many as a user's file could have lines of 20 bytes."""
    path = study.config["decoding"]["dictionary"]
    if path is None:
        return costs.CAPTIONS_OF_IMAGE * n_text_images(study)
    return Path(path).stat().st_size // 20 if Path(path).exists() else 0


def _of_decoding(study: Study) -> dict[str, Demand]:
    n_subjects, n_sentences = len(study.subject_names), n_dictionary_sentences(study)
    width = max([costs.FEATURES, *(_own_width(study, model) for model in study.decoding_models)])
    n_images = int((study.subjects["sessions"] * study.subjects["trials_per_session"]).max()) // REPEATS
    n_rows = 20 * n_subjects * len(study.decoding_models)
    encoded = [study.encoder_row(model) for model in study.decoding_models if study.gives_sentences(model)]
    second = max(
        [costs.SENTENCE_SECONDS.get(row["encoder"], max(costs.SENTENCE_SECONDS.values())) for row in encoded if row],
        default=0.0,
    )
    # Captions are in the cache; a file of one's own is encoded.
    new = 0 if study.config["decoding"]["dictionary"] is None else n_sentences
    texts_mb = 400 * n_sentences // 2**20
    return {
        "embed_dictionary": Demand(
            dictionary_memory_mb(n_sentences, costs.FEATURES),
            costs.FIGURE_SECONDS + n_sentences * costs.DICTIONARY_SENTENCE_SECONDS + new * second,
        ),
        "decode_embeddings": Demand(
            texts_mb + decoding_memory_mb(n_images, MOST_SHARED, width),
            costs.COMPILING_SECONDS
            + costs.DECODED_CUBE_SECONDS * n_images**3
            + costs.COMPARED_SENTENCE_SECONDS * n_sentences,
        ),
        "tabulate_decoding": Demand(costs.table_memory_mb(n_rows)),
        "plot_decoding": Demand(costs.figure_memory_mb(costs.captions_mb(n_text_images(study)))),
    }


def _of_figures(study: Study) -> dict[str, Demand]:
    size, n_panels = study.config["image_set_size"], len(study.model_names) + n_rois(study)
    return {
        "plot_roi_rsa": Demand(costs.figure_memory_mb(n_scores(study) / 3000)),
        "plot_model_comparisons": Demand(costs.figure_memory_mb(n_scores(study) / 3000)),
        "plot_pairwise": Demand(costs.figure_memory_mb(n_scores(study) / 3000)),
        "plot_rdms": Demand(costs.figure_memory_mb(n_panels * costs.rdms_mb(1, size))),
        "plot_captions": Demand(costs.figure_memory_mb(costs.features_mb(n_text_images(study)))),
        "plot_caption_statistics": Demand(
            costs.figure_memory_mb(costs.features_mb(n_text_images(study)) + costs.captions_mb(n_text_images(study)))
        ),
        "plot_caption_tsne": Demand(
            costs.figure_memory_mb(costs.features_mb(n_text_images(study))),
            costs.FIGURE_SECONDS + costs.LAYOUT_SECONDS,
        ),
        "plot_data_quality": Demand(costs.figure_memory_mb(0)),
        "score_claims": Demand(
            costs.table_memory_mb(n_scores(study))
            + 3 * 8 * n_vertices(study) // 2**20
            + int(4 * costs.rdms_mb(n_image_sets(study), size))
        ),
        "plot_scorecard": Demand(costs.figure_memory_mb(0)),
        "plot_multiverse": Demand(costs.figure_memory_mb(n_universe_rows(study) / 3000)),
    }


def _of_miniature(study: Study) -> dict[str, Demand]:
    n_subjects, size = len(study.subject_names), study.config["image_set_size"]
    scores = 4 * len(study.config["searchlight"]["models"]) * int(study.subjects["image_sets"].sum()) * MINIATURE_BRAIN
    found = {
        "make_miniature_experiment": Demand(costs.made_experiment_memory_mb(n_text_images(study))),
        "make_miniature_fsaverage": Demand(costs.made_experiment_memory_mb(0)),
        "check_truth": Demand(
            costs.check_memory_mb(
                n_subjects,
                n_scores(study),
                scores / 2**20 + len(study.model_names) * costs.rdms_mb(n_image_sets(study), size),
            ),
            20.0,
        ),
    }
    for subject in study.subject_names:
        row = study.subject_row(subject)
        made = costs.made_brain_memory_mb(row["sessions"] * row["trials_per_session"], n_vertices(study))
        found[f"make_miniature_brain_{subject}"] = Demand(made, 8.0)
    return found
