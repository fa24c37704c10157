"""What a network is: layers, graph, model, model file, architectures. Plain NumPy."""
