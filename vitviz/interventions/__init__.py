"""The model run again on something changed."""
