"""What judges a running application: ours, and others'. Each is a ``Detector`` that is given the batches."""
