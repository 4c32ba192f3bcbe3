"""What the benchmarks and the parity tests know of graphmix's peers."""
