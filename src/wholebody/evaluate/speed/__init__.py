"""How fast: one picture beside rtmlib, and one network in every precision and runtime."""
