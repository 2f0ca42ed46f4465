"""Figures of the study. Draws what tables and arrays hold; imported by the plot scripts alone, last in the graph."""
