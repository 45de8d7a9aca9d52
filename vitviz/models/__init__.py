"""A Vision Transformer, what it says of its own tokens, and what its transform does to a photo."""
