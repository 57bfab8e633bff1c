"""The one training function."""
