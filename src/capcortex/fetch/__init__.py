"""Getting files from where they are published: sources, downloads that resume and verify, archives."""
