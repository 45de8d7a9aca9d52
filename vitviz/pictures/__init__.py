"""From a heatmap to something to look at: overlays, figures, files."""
