"""The tabs about which of its teacher's parts a student is made of."""
