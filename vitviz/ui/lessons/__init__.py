"""The lessons, one file each; their texts are in the catalogue."""
