"""What happens between photo and class: tokens, positions, heads, layers, classifier, cost."""
