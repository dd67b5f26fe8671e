"""What a person can ask for, as plain values: amounts, budgets, options, a run's config, a device."""
