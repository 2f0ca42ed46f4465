"""Captions and annotations of the photographs, and what models make of them. Knows about words, not about brains."""
