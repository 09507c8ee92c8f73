"""The inputs of a network: batches of images or words, and the sources that they come from."""
