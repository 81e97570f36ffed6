"""The engines that run exact models, each interchangeable with every other."""
