"""A run: one training in a folder of its own, from its recipe to its report."""
