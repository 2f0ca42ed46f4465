"""Representational similarity: dissimilarity matrices and their comparison. Knows arrays, not files."""
