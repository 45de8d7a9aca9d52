"""The same attention on words, and photos beside them: a text Transformer recorded like a ViT."""
