"""Fine-tuning on one's own annotated images and videos."""
