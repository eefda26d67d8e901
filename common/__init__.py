"""The ground floor: what needs neither TensorFlow nor anything else of this project."""
