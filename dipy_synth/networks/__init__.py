"""Networks for images of rank 2 and 3, in one code path; they import only Keras."""
