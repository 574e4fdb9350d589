"""What takes several trainings: cross-validation, tuning, ensembles, the reference systems."""
