"""Where images and masks come from, and how they are read."""
