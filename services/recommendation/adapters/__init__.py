"""What the ports are in practice: documents, columns, faiss, files, a training process, the feed of profiles."""
