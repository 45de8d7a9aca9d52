"""One forward pass watched, and the exact attention maps that follow from it."""
