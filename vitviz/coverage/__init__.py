"""Which families of timm's models can be shown, checked by running them."""
