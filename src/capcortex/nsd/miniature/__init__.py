"""The miniature NSD: a small synthetic twin of the dataset, file by file, with a known truth planted in it.

``experiment`` writes what the subjects saw and did, ``cortex`` the common surface with its atlases, ``brain`` one
subject's responses. The package has its own arithmetic for image ids and trials, written apart from the rest of the
library on purpose: a slip there must not find its equal here and cancel.
"""
