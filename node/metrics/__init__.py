"""What an operator looks at first, for Prometheus."""
