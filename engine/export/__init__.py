"""Found networks as folders that hold what training needs."""
