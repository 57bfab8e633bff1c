"""Simulations on disk and in memory, and the batches that training draws from them."""
