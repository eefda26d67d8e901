"""What labelling tools and published data sets write, a module each; see `contract`."""
