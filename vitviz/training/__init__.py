"""Training a model, or its last part."""
