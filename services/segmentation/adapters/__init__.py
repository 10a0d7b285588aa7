"""How segmentation reaches its stores, its analytical engine and profiles."""
