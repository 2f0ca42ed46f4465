"""Linear models between features of images and responses to them, in both directions, on plain arrays."""
