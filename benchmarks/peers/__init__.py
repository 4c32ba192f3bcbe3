"""graphmix's peers, for the benchmarks and the parity tests."""
