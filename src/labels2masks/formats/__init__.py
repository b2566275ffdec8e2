"""Files and data sets <-> images with labels: one reader a layout, one loader of pixels, our own label file."""
