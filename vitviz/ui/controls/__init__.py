"""What a visitor chooses: photo, model, method, class, token."""
