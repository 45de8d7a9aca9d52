"""The pages besides the lessons."""
