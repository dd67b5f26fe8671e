"""How much of its teacher's attention a student has."""
