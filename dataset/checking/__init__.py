"""What dataset/check.py is made of."""
