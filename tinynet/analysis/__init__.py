"""What a trained model does, measured and shown: figures, explanations, the data themselves."""
