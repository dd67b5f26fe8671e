"""The calculator: shapes, tensors, parameters, FLOPs, bytes and time, by arithmetic alone."""
