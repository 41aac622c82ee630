"""Random views of an image, made on the device with one key a sample."""
