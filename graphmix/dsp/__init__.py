"""Tensor mathematics: transforms, filters, envelopes, energies. Knows neither graphs nor processors."""
