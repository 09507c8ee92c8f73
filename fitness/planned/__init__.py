"""A forward without a network: plans interpreted by an eager or a compiled backend."""
