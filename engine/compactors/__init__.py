"""The algebra of Weight-Inherited Distillation, and its schedule of cuts."""
