"""From a folder of photos to a model of one's own, with a report."""
