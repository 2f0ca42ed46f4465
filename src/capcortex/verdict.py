"""``python -m capcortex.verdict``: print the sentinel and the check against the planted truth; fail if one is not ok."""

import json
import sys
from pathlib import Path

from capcortex.tables import read_table


def verdict(results: Path) -> tuple[str, bool]:
    """Describe the sentinel and the check of a finished run.

    Parameters
    ----------
    results
        Folder ``results`` of the study.

    Returns
    -------
    text : str
    ok : bool
        False if the sentinel or a checked row is not ok. Rows that this study cannot check are counted with their reasons,
        and count neither as passed nor as failed. A study on real data has no planted truth and no check.
    """
    sentinel = read_table(results / "sentinel.tsv", columns=["r", "r_shifted_by_one", "distance_in_sd", "ok"]).iloc[0]
    lines = [
        f"Sentinel: captions and objects agree with r = {sentinel['r']:.3f}; moved on by one image r = "
        f"{sentinel['r_shifted_by_one']:.3f} ({sentinel['distance_in_sd']:.0f} standard deviations apart)."
    ]
    ok = bool(sentinel["ok"])
    check = results / "check.tsv"
    # An older check of the miniature may lie beside results of another source.
    source = json.loads((results / "provenance/plot_rdms.json").read_text(encoding="utf-8"))["params"]["source"]
    if source == "miniature":
        columns = ["check", "roi", "kind", "expected", "estimate", "low", "high", "n", "ok", "left_out"]
        table = read_table(check, columns=columns)
        checked, reasons = table[table["left_out"].isna()].drop(columns="left_out"), table["left_out"].dropna()
        good = checked["ok"] == "yes"
        lines += ["", "Was the planted truth found? (results/check.tsv)"]
        if len(checked):
            checked = checked.astype({"n": int})
            lines.append(checked.to_string(index=False, float_format=lambda value: f"{value:.3f}", na_rep=""))
            lines += ["", f"{good.sum()} of {len(checked)} planted effects and nulls came out as planted."]
        else:
            lines.append("None of the planted effects and nulls can be checked in this study.")
        if len(reasons):
            lines.append(f"Not checked: {len(reasons)} more.")
            lines += [f"  {n}: {reason}" for reason, n in reasons.value_counts(sort=False).items()]
        ok = ok and bool(good.all())
    else:
        lines.append("Real data have no planted truth; nothing more to check.")
    return "\n".join(lines), ok


if __name__ == "__main__":
    text, ok = verdict(Path("results"))
    print(text)
    sys.exit(0 if ok else 1)
