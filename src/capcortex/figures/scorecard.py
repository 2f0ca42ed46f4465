"""Figure "Scorecard": every published number or claim beside ours, with its verdict as colour and symbol.

Draws the table of ``scorecard.score_claims``.
"""

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from capcortex.claims import NOT_REPRODUCED, NOT_TESTABLE, REPRODUCED, VERDICTS
from capcortex.figures.style import NOTE, PALETTE, add_panel, new_figure, stamp

PLOTTED_COLUMNS = [
    *("figure", "text", "certainty", "roi", "subject", "relation", "value", "tolerance"),
    *("estimate", "low", "high", "verdict", "reason"),
]
"""Columns of `plotted_numbers`."""

SYMBOLS = {REPRODUCED: "✓", NOT_REPRODUCED: "✗", NOT_TESTABLE: "–"}
COLOURS = {REPRODUCED: PALETTE[2], NOT_REPRODUCED: PALETTE[6], NOT_TESTABLE: PALETTE[5]}
MINIATURE = "MINIATURE: THIS IS NOT THE BRAIN"
WARNING = "What is scored here was planted in made-up brains. It says that the study works, and nothing about people."

# Sizes on the page in inches.
EDGE, LINE, CELL, CELLS = 0.15, 0.175, 1.78, 4
FIGURE_WIDTH, TEXT_WIDTH, CERTAINTY_WIDTH = 0.85, 3.6, 0.85
HEAD, WARNING_HEAD, NOTE_LINE, NOTE_LETTERS = 0.75, 0.75, 0.13, 240
WIDTH = 2 * EDGE + FIGURE_WIDTH + TEXT_WIDTH + CERTAINTY_WIDTH + CELLS * CELL


def drawn_rows(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """Rows that are drawn: all, but on the miniature only those of the planted truth."""
    return table[table["certainty"] == "planted"] if source == "miniature" else table


def plotted_numbers(table: pd.DataFrame, source: str) -> pd.DataFrame:
    """List what `draw_scorecard` draws, with the columns `PLOTTED_COLUMNS`."""
    return drawn_rows(table, source)[PLOTTED_COLUMNS]


def draw_scorecard(table: pd.DataFrame, *, n_subjects: int, source: str) -> Figure:
    """Draw a line for every claim, with a cell for every region or subject that it is made of.

    Parameters
    ----------
    table
        From `capcortex.scorecard.score_claims`.
    n_subjects
        Subjects of the study, for the note.
    source
        Config key ``source``. On the miniature the planted truth is drawn, and the page says so in large letters.

    Returns
    -------
    Figure
    """
    drawn = drawn_rows(table, source)
    lines = _lines(drawn)
    notes = _notes(table, drawn, n_subjects)
    made_up = source == "miniature"
    head = HEAD + WARNING_HEAD * made_up
    height = head + LINE * len(lines) + NOTE_LINE * (len(notes) + 3)
    figure = new_figure(WIDTH, height)
    axes = add_panel(figure, "scorecard", (0, 0, WIDTH, height))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    if made_up:
        axes.text(EDGE, 0.38, MINIATURE, fontsize=22, fontweight="bold", color=COLOURS[NOT_REPRODUCED])
        axes.text(EDGE, 0.64, WARNING, fontsize=10.5, fontweight="bold")
    _draw_head(axes, drawn, head)
    previous = None
    for number, (name, text, certainty, cells) in enumerate(lines):
        y = head + LINE * (number + 0.5)
        if name != previous:
            axes.plot([EDGE, WIDTH - EDGE], [y - LINE / 2] * 2, color="0.75", linewidth=0.5)
            axes.text(EDGE, y, name, va="center", fontweight="bold")
        previous = name
        axes.text(EDGE + FIGURE_WIDTH, y, text, va="center", fontsize=7.5)
        axes.text(EDGE + FIGURE_WIDTH + TEXT_WIDTH, y, certainty, va="center", **NOTE)
        for place, cell in enumerate(cells):
            _draw_cell(axes, WIDTH - EDGE - (CELLS - place) * CELL, y, cell)
    for number, note in enumerate(notes):
        axes.text(EDGE, head + LINE * len(lines) + NOTE_LINE * (number + 1.5), note, **NOTE)
    stamp(figure, source)
    return figure


def _lines(table: pd.DataFrame) -> list[tuple[Any, str, str, list[dict[Any, Any]]]]:
    """Figure, text, certainty and cells of every line; what has more cells than a line goes on in the next."""
    lines: list[tuple[Any, str, str, list[dict[Any, Any]]]] = []
    for (name, text, certainty), rows in table.groupby(["figure", "text", "certainty"], sort=False):
        cells = rows.to_dict("records")
        for first in range(0, len(cells), CELLS):
            words = (str(text), str(certainty)) if first == 0 else ("", "")
            lines.append((name, *words, cells[first : first + CELLS]))
    return lines


def _draw_head(axes: Axes, drawn: pd.DataFrame, head: float) -> None:
    x = EDGE
    for verdict in VERDICTS:
        text = f"{SYMBOLS[verdict]} {(drawn['verdict'] == verdict).sum()} {verdict}"
        axes.text(x, head - 0.4, text, fontsize=13, fontweight="bold", color=COLOURS[verdict], va="center")
        x += 0.4 + 0.125 * len(text)
    x = EDGE + FIGURE_WIDTH
    for words, at in (
        ("claim", 0.0),
        ("certainty", TEXT_WIDTH),
        ("ours / claimed", TEXT_WIDTH + CERTAINTY_WIDTH + 0.03),
    ):
        axes.text(x + at, head - 0.1, words, va="center", **NOTE)


def _draw_cell(axes: Axes, x: float, y: float, cell: dict[Any, Any]) -> None:
    colour = COLOURS[cell["verdict"]]
    box = Rectangle((x, y - 0.45 * LINE), CELL - 0.04, 0.9 * LINE, facecolor=colour, alpha=0.16, linewidth=0)
    axes.add_patch(box)
    axes.text(x + 0.1, y, SYMBOLS[cell["verdict"]], color=colour, fontweight="bold", ha="center", va="center")
    where = next((cell[name] for name in ("roi", "subject") if isinstance(cell[name], str) and cell[name] != "all"), "")
    axes.text(x + 0.2, y, where, va="center", fontsize=6.5)
    axes.text(x + CELL - 0.08, y, f"{_ours(cell)} / {_claimed(cell)}", va="center", ha="right", fontsize=6.5)


def _ours(cell: dict[Any, Any]) -> str:
    return _number(cell["estimate"], cell["value"])


def _claimed(cell: dict[Any, Any]) -> str:
    signs = {"greater": "> 0", "less": "< 0", "unclear": "n.s."}
    if cell["relation"] in signs:
        return signs[cell["relation"]]
    if cell["relation"] == "equal":
        bound = "" if np.isnan(cell["tolerance"]) else f" ± {cell['tolerance']:g}"
        return f"{cell['value']:g}{bound}"
    return _number(cell["value"], cell["value"])


def _number(number: float, beside: float) -> str:
    if np.isnan(number):
        return "–"
    counted = max(abs(number), abs(beside) if np.isfinite(beside) else 0) >= 10
    # 0.0 added: what rounds to -0 is printed as 0.
    return f"{number:,.0f}" if counted else f"{round(number, 3) + 0.0:.3f}"


def _notes(table: pd.DataFrame, drawn: pd.DataFrame, n_subjects: int) -> list[str]:
    notes = [f"Subjects: {n_subjects}. Intervals, p-values, tolerances and their reasons: results/scorecard.tsv."]
    if len(table) > len(drawn):
        reasons = ", ".join(table.drop(drawn.index)["reason"].unique())
        notes.append(
            f"Not drawn: {len(table) - len(drawn)} published claims, none of which can be tested here ({reasons})."
        )
    if (drawn["relation"] == "unclear").any():
        notes.append("n.s.: not significant, there and, where reproduced, here; that shows no equality.")
    for verdict in (NOT_REPRODUCED, NOT_TESTABLE):
        counts = drawn.loc[drawn["verdict"] == verdict, "reason"].value_counts(sort=False)
        said = "; ".join(f"{reason} ({n})" for reason, n in counts.items())
        notes += [f"{verdict.capitalize()}: {said}."] if said else []
    return [line for note in notes for line in textwrap.wrap(note, NOTE_LETTERS)]
