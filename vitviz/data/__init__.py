"""What comes with Vitviz: the bundled models and the sample photos."""
