"""Where images and masks come from (`contract`), and how they are read."""
