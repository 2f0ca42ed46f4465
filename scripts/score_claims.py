"""Score the published numbers and claims, on the miniature the planted truth."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from capcortex.arrays import open_array
from capcortex.claims import read_claims
from capcortex.inference.ceilings import SUMMARY_COLUMNS
from capcortex.inference.comparisons import COMPARISON_COLUMNS
from capcortex.inference.released import RELEASED_COLUMNS
from capcortex.jobs import job
from capcortex.nsd.image_sets import SET_COLUMNS
from capcortex.scorecard import (
    DECODING_COLUMNS,
    ENCODING_COLUMNS,
    EVIDENCE_COLUMNS,
    REGION_COLUMNS,
    evidence_of_ceilings,
    evidence_of_comparisons,
    evidence_of_encoding,
    evidence_of_facts,
    evidence_of_map,
    evidence_of_model_rdms,
    evidence_of_regions,
    evidence_of_released,
    evidence_of_subjects,
    score_claims,
)
from capcortex.tables import read_table, write_table
from capcortex.truth import COLUMNS as CHECK_COLUMNS


def evidence_of_tables(tables: dict[str, list[str]], confidence: float) -> Iterator[pd.DataFrame]:
    """Yield what the tables of the study hold; those that it does not make are empty lists."""
    facts = (read_table(path, columns=["fact", "subject", "found"]) for path in tables["facts"])
    image_sets = pd.concat([read_table(path, columns=SET_COLUMNS) for path in tables["image_sets"]])
    n_sets = image_sets.groupby("subject")["image_set"].nunique().to_dict()
    yield from (evidence_of_facts(table, n_sets) for table in facts)
    for kind, columns, evidence in (
        ("regions", REGION_COLUMNS, evidence_of_regions),
        ("comparisons", COMPARISON_COLUMNS, evidence_of_comparisons),
        ("released", RELEASED_COLUMNS, evidence_of_released),
        ("ceilings", SUMMARY_COLUMNS, evidence_of_ceilings),
        ("encoding", ENCODING_COLUMNS, lambda table: evidence_of_encoding(table, confidence)),
        ("decoding", DECODING_COLUMNS, lambda table: evidence_of_subjects("decoding", table, confidence)),
    ):
        yield from (evidence(read_table(path, columns=columns)) for path in tables[kind])


def evidence_of_maps(
    groups: list[str], maps: list[tuple[str, str]], false_discovery_rate: float
) -> Iterator[pd.DataFrame]:
    """Yield the peaks of group maps; `maps` has kind and name of each."""
    for path, (table, name) in zip(groups, maps, strict=True):
        with open_array(path, variables=["mean", "p", "p_fdr", "n_subjects"]) as file:
            values = {key: file[key].to_numpy() for key in ("mean", "p", "p_fdr")}
            values["n_at_vertices"], n_subjects = file["n_subjects"].to_numpy(), int(file.attrs["n_subjects"])
        yield evidence_of_map(table, name, **values, n_subjects=n_subjects, false_discovery_rate=false_discovery_rate)


def evidence_of_models(
    model_rdms: dict[str, str], pairs: list[tuple[str, str]], confidence: float
) -> Iterator[pd.DataFrame]:
    """Yield the agreement of the RDMs of pairs of models."""
    for pair in pairs:
        rdms = {}
        for model in pair:
            with open_array(model_rdms[model], variables=["rdm", "image_set", "id73k"]) as file:
                rdms[model] = file.load()
        yield evidence_of_model_rdms(*pair, rdms, confidence)


def main(
    *,
    claims: Path,
    check: str | None,
    tables: dict[str, list[str]],
    groups: list[str],
    maps: list[tuple[str, str]],
    model_rdms: dict[str, str],
    pairs: list[tuple[str, str]],
    confidence: float,
    false_discovery_rate: float,
    scorecard: str,
) -> None:
    evidence = [pd.DataFrame(columns=EVIDENCE_COLUMNS)]
    if check is None:
        evidence += evidence_of_tables(tables, confidence)
        evidence += evidence_of_maps(groups, maps, false_discovery_rate)
        evidence += evidence_of_models(model_rdms, pairs, confidence)
    scored = score_claims(
        read_claims(claims),
        pd.DataFrame([row for part in evidence for row in part.to_dict("records")], columns=EVIDENCE_COLUMNS),
        check=read_table(check, columns=CHECK_COLUMNS) if check else None,
        false_discovery_rate=false_discovery_rate,
    )
    write_table(scored, scorecard)


if __name__ == "__main__":
    with job(snakemake):
        main(
            claims=Path(snakemake.scriptdir).parent / snakemake.config["claims_table"],
            check=next(iter(snakemake.input.check), None),
            tables={kind: list(snakemake.input.get(kind)) for kind in snakemake.params.kinds},
            groups=list(snakemake.input.groups),
            maps=[tuple(each) for each in snakemake.params.maps],
            model_rdms=dict(zip(snakemake.params.models, snakemake.input.model_rdms, strict=True)),
            pairs=[tuple(pair) for pair in snakemake.params.pairs],
            confidence=snakemake.params.confidence,
            false_discovery_rate=snakemake.params.false_discovery_rate,
            scorecard=snakemake.output.scorecard,
        )
