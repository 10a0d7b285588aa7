"""What segmentation computes from arrays: associations, clusters, lookalikes."""
