"""What train.py is made of beside its loop."""
