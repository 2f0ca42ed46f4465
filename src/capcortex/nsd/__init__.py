"""NSD's files: where they are, what they hold, how they are read; and the miniature twin of the dataset."""
