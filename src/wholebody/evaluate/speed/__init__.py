"""Speed benchmarks: one picture compared with rtmlib, and one network in every precision and runtime."""
