"""Known accuracies and costs of architectures, read from benchmarks' files."""
