"""The model run again on something changed, or doing something else."""
