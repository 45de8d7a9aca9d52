"""The lessons, one file or folder each; their texts are in the catalogue."""
