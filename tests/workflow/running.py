"""Run the study's Snakefile in a folder of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/tiny/config.yaml"


def run_snakemake(folder: Path, *arguments: str, config: Path | None = TINY) -> subprocess.CompletedProcess:
    """Run Snakemake in ``folder``, by default on the tiny study."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    command += ["--profile", str(ROOT / "profiles/default"), "--cores", "2"]
    command += ["--configfile", str(config)] if config else []
    return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
