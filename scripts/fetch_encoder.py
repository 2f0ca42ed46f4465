"""Fetch a sentence encoder from the hub into the hub's cache, and record what was fetched."""

import json

from capcortex.files import atomic_path
from capcortex.jobs import job
from capcortex.text.encoders import fetch_encoder

if __name__ == "__main__":
    with job(snakemake):
        record = fetch_encoder(snakemake.params.source, snakemake.params.revision)
        with atomic_path(snakemake.output.record) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
