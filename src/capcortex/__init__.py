"""capcortex: the analyses of the study, as plain functions that know nothing of Snakemake."""

__version__ = "0.1.0"
