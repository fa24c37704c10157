"""Drawing of radiographs that never were: bones, defects, film. NumPy and Pillow only."""
