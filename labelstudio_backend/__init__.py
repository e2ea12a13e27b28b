"""The Label Studio ML backend: requests and regions to annotation sessions and back."""
