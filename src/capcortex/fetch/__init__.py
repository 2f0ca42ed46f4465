"""Fetching public objects over HTTP: whole files that survive every interruption, and ranges of files that are not fetched.

It knows nothing of NSD's file names, of the study's configuration, or of Snakemake.
"""
