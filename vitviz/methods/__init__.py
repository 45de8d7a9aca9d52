"""Explanation methods, one file each: from a recording to a heatmap."""
