"""Run the study's Snakefile in a folder of its own."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = ROOT / "tests/tiny/config.yaml"


def command(folder: Path, config: Path | None = TINY) -> list[str]:
    """Return the command that runs Snakemake in ``folder``, by default on the tiny study."""
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder)]
    words += ["--profile", str(ROOT / "profiles/default"), "--cores", "2"]
    return words + (["--configfile", str(config)] if config else [])


def run_snakemake(folder: Path, *arguments: str, config: Path | None = TINY) -> subprocess.CompletedProcess:
    """Run Snakemake in ``folder``, by default on the tiny study."""
    return subprocess.run([*command(folder, config), *arguments], capture_output=True, text=True, check=False)
